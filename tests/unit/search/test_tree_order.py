"""Points in the order of the stage tree: simulated workers never wait while they need not."""

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import optuna
import pytest
from optuna import Study
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import TrialState

from stagetree.search.grid import GridSampler
from stagetree.search.parameter import Choice, Parameter
from stagetree.search.samplers import Samplers
from stagetree.search.space import Space, suggest
from stagetree.search.tree_order import Order, TreeOrder

DEPENDENCE = {
    "finetune": frozenset({"lr"}),
    "prune": frozenset({"lr", "heads"}),
    "distill": frozenset({"lr", "heads", "t"}),
}
SECONDS = {"finetune": 10.0, "prune": 3.0, "distill": 2.0}


def space(**axes: Sequence[object]) -> Space:
    """Return a discrete space with its keys in this order."""
    return Space(
        tuple(
            Parameter(
                name,
                name,
                CategoricalDistribution(values),
                tuple(Choice(value, str(value)) for value in values),
            )
            for name, values in axes.items()
        )
    )


@dataclass
class Crew:
    """Workers on a virtual clock, each of which waits for a stage that another computes.

    Attributes:
        waited: Seconds for which they did.
        needless: How often one would have had to wait for none of another point's stages.
        points: What they ran.
    """

    study: Study
    space: Space
    known: Sequence[dict[str, object]]
    sampler: Callable[[int], BaseSampler]
    ready: dict[tuple[object, ...], float] = field(default_factory=dict)
    waited: float = 0.0
    needless: int = 0
    points: list[dict[str, object]] = field(default_factory=list)

    def work(self, workers: int, trials: int) -> float:
        """Run trials, ended ones told when the clock passes their end; return the time it took."""
        free = [(0.0, worker) for worker in range(workers)]
        running: list[tuple[float, int, optuna.Trial]] = []
        for _ in range(trials):
            now, worker = heapq.heappop(free)
            while running and running[0][0] <= now:
                self._tell(heapq.heappop(running)[2])
            self.study.sampler = self.sampler(len(self.study.trials))
            trial = self.study.ask()
            point = suggest(trial, self.space)
            self.points.append(point)
            if self._is_busy(now, point):
                self.needless += not all(self._is_busy(now, other) for other in self._free())
            now = self._run(now, point)
            heapq.heappush(running, (now, trial.number, trial))
            heapq.heappush(free, (now, worker))
        for _, _, trial in running:
            self._tell(trial)
        return max(free)[0]

    def _free(self) -> list[dict[str, object]]:
        left = [repr(point) for point in self.points]
        return [point for point in self.known if repr(point) not in left]

    def _is_busy(self, now: float, point: dict[str, object]) -> bool:
        keys = ((stage, *(point[name] for name in sorted(DEPENDENCE[stage]))) for stage in SECONDS)
        return any(self.ready.get(key, 0.0) > now for key in keys)

    def _run(self, now: float, point: dict[str, object]) -> float:
        for stage, names in DEPENDENCE.items():
            key = (stage, *(point[name] for name in sorted(names)))
            if key not in self.ready:
                self.ready[key] = now + SECONDS[stage]
                now = self.ready[key]
            elif self.ready[key] > now:
                self.waited += self.ready[key] - now
                now = self.ready[key]
        return now

    def _tell(self, trial: optuna.Trial) -> None:
        trial.set_user_attr("notes", {"stages": [{"name": name} for name in DEPENDENCE]})
        self.study.tell(trial, 1.0)


def crew(axes: Space, *, ordered: bool) -> Crew:
    """Return workers on a new study of a grid."""
    order = TreeOrder(DEPENDENCE) if ordered else None
    sampler = GridSampler(axes, order=order)
    return Crew(optuna.create_study(), axes, axes.points, lambda number: sampler)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("keys", list(itertools.permutations(["lr", "heads", "t"])))
def test_nobody_waits_while_another_point_needs_no_waiting(workers: int, keys: list[str]) -> None:
    axes = {"lr": [1, 2, 3], "heads": [0.25, 0.5], "t": [1, 2]}
    grid = space(**{key: axes[key] for key in keys})
    made, plain = crew(grid, ordered=True), crew(grid, ordered=False)
    taken, before = made.work(workers, 12), plain.work(workers, 12)
    assert made.needless == 0
    assert made.waited == 0
    assert taken <= 1.03 * before
    assert sorted(map(repr, made.points)) == sorted(map(repr, grid.points))


def test_the_order_of_the_command_line_makes_workers_wait() -> None:
    grid = space(lr=[1, 2, 3, 4], heads=[0.25, 0.5], t=[1, 2])
    made, plain = crew(grid, ordered=True), crew(grid, ordered=False)
    assert made.work(2, 16) == 2 * (10 + 2 * 3 + 4 * 2)
    assert plain.work(2, 16) > 1.2 * 48
    assert made.waited == 0 < plain.waited


def test_without_room_for_another_branch_none_is_begun_ahead() -> None:
    grid = space(lr=[1, 2, 3], heads=[0.25, 0.5], t=[1, 2])
    made, strict = crew(grid, ordered=True), crew(grid, ordered=False)
    sampler = GridSampler(grid, order=TreeOrder(DEPENDENCE, ahead=False))
    strict.sampler = lambda number: sampler
    made.work(2, 12)
    strict.work(2, 12)
    assert made.waited == 0 < strict.waited
    assert strict.needless == 0
    branches = [point["lr"] for point in strict.points]
    assert set(branches[:8]) == {1, 2}


def test_one_worker_takes_keys_in_stage_order_as_they_come() -> None:
    grid = space(lr=[1, 2, 3], heads=[0.25, 0.5], t=[1, 2])
    made = crew(grid, ordered=True)
    made.work(1, 12)
    assert made.points == list(grid.points)


def test_one_worker_stays_on_a_branch_whatever_the_order_of_the_keys() -> None:
    made = crew(space(t=[1, 2], heads=[0.25, 0.5], lr=[1, 2, 3]), ordered=True)
    made.work(1, 12)
    branches = [point["lr"] for point in made.points]
    assert branches == sorted(branches)
    assert [point["heads"] for point in made.points] == [0.25, 0.25, 0.5, 0.5] * 3


def test_a_study_goes_on_from_what_its_trials_say() -> None:
    grid = space(t=[1, 2], heads=[0.25, 0.5], lr=[1, 2, 3])
    first = crew(grid, ordered=True)
    first.work(1, 5)
    sampler = GridSampler(grid, order=TreeOrder(DEPENDENCE))
    left = [point for point in grid.points if point not in first.points]
    later = Crew(first.study, grid, left, lambda number: sampler)
    later.ready = dict.fromkeys(first.ready, 0.0)
    later.work(2, 7)
    assert later.needless == 0
    assert later.points[0] == {"t": 2, "heads": 0.25, "lr": 2}  # the branch that is begun
    assert sorted(map(repr, first.points + later.points)) == sorted(map(repr, grid.points))


def test_a_pruned_trial_paid_for_the_stages_that_it_finished() -> None:
    grid = space(lr=[1, 2], heads=[0.25, 0.5], t=[1, 2])
    study = optuna.create_study(sampler=GridSampler(grid, order=TreeOrder(DEPENDENCE)))
    study.enqueue_trial({"lr": 2, "heads": 0.5, "t": 1})
    trial = study.ask()
    suggest(trial, grid)
    trial.set_user_attr("notes", {"stages": [{"name": "finetune"}]})
    study.tell(trial, state=TrialState.PRUNED)
    assert suggest(study.ask(), grid) == {"lr": 2, "heads": 0.25, "t": 1}


def test_a_stage_counts_once_a_later_one_has_reported() -> None:
    grid = space(lr=[1, 2], heads=[0.25, 0.5], t=[1, 2])
    study = optuna.create_study(sampler=GridSampler(grid, order=TreeOrder(DEPENDENCE, ahead=False)))
    trial = study.ask()
    assert suggest(trial, grid) == {"lr": 1, "heads": 0.25, "t": 1}
    trial.set_user_attr("stagetree:stage:0", ["finetune", "a"])
    trial.set_user_attr("stagetree:stage:1", ["prune", "b"])
    assert suggest(study.ask(), grid) == {"lr": 1, "heads": 0.5, "t": 1}


def drawn(axes: Space, total: int, *, ordered: bool) -> Samplers:
    """Return the samplers of a random search."""
    node = {"_target_": f"{RandomSampler.__module__}.{RandomSampler.__qualname__}"}
    dependence = DEPENDENCE if ordered else None
    return Samplers(node, axes, 7, dependence=dependence, total=total, order=Order.ahead)


def by_number(axes: Space, total: int) -> list[dict[str, object]]:
    """Return the points that trials have by their numbers."""
    samplers = Samplers({"_target_": "optuna.samplers.RandomSampler"}, axes, 7)
    return [
        suggest(optuna.create_study(sampler=samplers(number)).ask(), axes)
        for number in range(total)
    ]


AXES = space(lr=[1, 2, 3], heads=[0.25, 0.5], t=[1, 2, 3, 4])


def test_random_points_are_those_of_their_numbers_and_one_worker_takes_them_in_order() -> None:
    made = Crew(optuna.create_study(), AXES, by_number(AXES, 20), drawn(AXES, 20, ordered=False))
    made.work(1, 20)
    assert made.points == by_number(AXES, 20)


def test_several_workers_take_the_same_random_points_branch_by_branch() -> None:
    made = Crew(optuna.create_study(), AXES, by_number(AXES, 20), drawn(AXES, 20, ordered=True))
    plain = Crew(optuna.create_study(), AXES, by_number(AXES, 20), drawn(AXES, 20, ordered=False))
    made.work(2, 20)
    plain.work(2, 20)
    assert made.needless == 0 < plain.needless
    assert made.waited < plain.waited
    assert sorted(map(repr, made.points)) == sorted(map(repr, by_number(AXES, 20)))


def test_a_batch_that_is_left_with_another_number_of_workers_runs_each_point_once() -> None:
    study = optuna.create_study()
    first = Crew(study, AXES, by_number(AXES, 24), drawn(AXES, 20, ordered=True))
    first.work(3, 8)
    rest = Crew(study, AXES, by_number(AXES, 24), drawn(AXES, 24, ordered=False))
    rest.work(1, 16)
    everything = first.points + rest.points
    assert sorted(map(repr, everything)) == sorted(map(repr, by_number(AXES, 24)))


def test_a_point_that_a_person_enqueued_takes_the_place_of_its_number() -> None:
    study = optuna.create_study()
    study.enqueue_trial({"lr": 2, "heads": 0.5, "t": 4})
    study.enqueue_trial({"lr": 3})
    made = Crew(study, AXES, by_number(AXES, 24), drawn(AXES, 6, ordered=False))
    made.work(1, 6)
    assert made.points[0] == {"lr": 2, "heads": 0.5, "t": 4}
    assert made.points[1]["lr"] == 3
    assert made.points[2:] == by_number(AXES, 6)[2:]


def test_asking_is_quick_among_many_points_and_trials() -> None:
    draw = random.Random(0)
    many = space(lr=list(range(10)), heads=list(range(10)), t=list(range(10)))
    order = TreeOrder(DEPENDENCE)
    points = list(many.points)
    draw.shuffle(points)
    trials = [
        optuna.trial.create_trial(
            params=dict(point), distributions=many.distributions, value=1.0,
            user_attrs={"notes": {"stages": [{"name": "finetune"}]}},
        )
        for point in points[:500]
    ]  # fmt: skip
    for number, trial in enumerate(trials):
        trial.number = number
    assert order.best(points[500:], trials) == order.best(points[500:], trials) == points[500]
