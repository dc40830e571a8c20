"""Plans of searches: exact where points are known, and bounds that hold where they are not."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from optuna.trial import TrialState

from stagetree.core.errors import ConfigError, StudyMismatchError
from stagetree.pipeline import commandline
from stagetree.pipeline.compose import compose
from stagetree.search import question, versions
from stagetree.search.composer import Composer
from stagetree.search.forecast import Forecast, forecast
from stagetree.search.places import Places
from stagetree.search.preview import Preview, preview
from stagetree.search.samplers import build_sampler
from stagetree.search.simulation import foreseeable
from stagetree.search.study import seed_of

SHORT = ("debug=short", "model=tiny", "numerics=fp32", "tracker=none")
TEMPERATURE = "stages.distill.temperature=interval(1,4)"
RATE = "stages.finetune.learning_rate=1e-3,3e-3"


@pytest.fixture
def words(in_project, tmp_path: Path) -> tuple[str, ...]:
    """What every line here shares."""
    return (*SHORT, f"paths.root={tmp_path / 'runs'}")


def look(*words: str, stored: Callable[[str], bool] = lambda _: False) -> tuple[Preview, Forecast]:
    config = commandline.compose_search(words)
    found = preview(config, GlobalHydra.instance().config_loader(), "run.py")
    return found, forecast(found, compose, stored)


def count(found: Forecast, *, fewest: bool = False) -> dict[str, int]:
    kinds = dict.fromkeys((work.kind for work in found.work), 0)
    for work in found.work:
        kinds[work.kind] += work.fewest if fewest else work.most
    return kinds


def run(found: Preview, trials: int, values: random.Random) -> list[set[str]]:
    """Search for real, with scores drawn from ``values`` in place of training."""
    reading, place = found.reading, question.directory(found.app.config, found.name)
    study = versions.open_or_create(
        place, found.name, reading.question, reading.space, None, 13
    ).study
    places = Places(
        study,
        place,
        trials,
        reading.space,
        lambda n: build_sampler(reading.sampler, reading.space, seed_of(study), n),
        first=reading.first,
    )
    composer, ran = Composer(found.app, reading.fixed), []
    while (claim := places.claim()) is not None:
        pipeline = compose(composer.compose(reading.space.overrides(claim.params)))
        ran.append({node.signature for node in pipeline.nodes})
        study.tell(claim.trial, values.random())
        claim.lease.release()
    return ran


@pytest.mark.parametrize(
    ("sampler", "seeded", "trials"),
    [
        ({"_target_": "stagetree.search.grid.GridSampler"}, False, float("inf")),
        ({"_target_": "optuna.samplers.RandomSampler"}, True, float("inf")),
        ({"_target_": "optuna.samplers.RandomSampler"}, False, 0),
        ({"_target_": "optuna.samplers.QMCSampler"}, True, float("inf")),
        ({"_target_": "optuna.samplers.TPESampler"}, True, 10),
        ({"_target_": "optuna.samplers.TPESampler", "n_startup_trials": 4}, True, 4),
        ({"_target_": "optuna.samplers.GPSampler"}, True, 10),
        ({"_target_": "optuna.samplers.CmaEsSampler"}, True, 1),
        ({"_target_": "optuna.samplers.NSGAIISampler", "population_size": 7}, True, 7),
        ({"_target_": "optuna.samplers.BruteForceSampler"}, True, 0),
    ],
)
def test_what_is_known_of_a_sampler_beforehand(sampler, seeded, trials) -> None:
    assert foreseeable(sampler, seeded=seeded) == trials


def test_a_stage_whose_parameters_are_all_fixed_is_counted_exactly(words) -> None:
    with commandline.composer():
        _, found = look(*words, TEMPERATURE, "sampler=tpe", "hydra.sweeper.n_trials=30")
    assert found.trials == 30
    assert not found.exact
    assert count(found) == {"finetune": 1, "distill": 30}
    assert count(found, fewest=True) == {"finetune": 1, "distill": 10}
    assert found.reused == (29, 49)


def test_a_choice_bounds_a_stage_by_its_values_however_many_trials_there_are(words) -> None:
    with commandline.composer():
        _, found = look(
            *words, RATE, TEMPERATURE, "sampler=tpe",
            "sampler.n_startup_trials=0", "hydra.sweeper.defaults_first=false",
            "hydra.sweeper.n_trials=8",
        )  # fmt: skip
    assert count(found) == {"finetune": 2, "distill": 8}
    assert count(found, fewest=True) == {"finetune": 1, "distill": 0}


def test_stages_that_are_stored_are_reused(words) -> None:
    with commandline.composer():
        _, fresh = look(*words, RATE)
        known = {node.signature for work in fresh.work for _, node in work.examples}
        _, again = look(*words, RATE, stored=known.__contains__)
    assert count(fresh) == {"finetune": 2, "distill": 2}
    assert fresh.reused == (0, 0)
    assert again.work == ()
    assert again.reused == (4, 4)
    assert fresh.exact


@pytest.mark.parametrize(
    "limit", ["pruner=median", "hydra.sweeper.timeout=60", "hydra.sweeper.device_hours=1"]
)
def test_what_may_end_trials_early_makes_the_count_an_upper_bound(words, limit) -> None:
    with commandline.composer():
        _, found = look(*words, RATE, limit)
    assert found.may_end_early
    assert not found.exact
    assert count(found) == {"finetune": 2, "distill": 2}


def test_points_to_run_first_are_counted(words) -> None:
    unseeded = ("hydra.sweeper.seed=null", "sampler=random", "hydra.sweeper.n_trials=3")
    enqueued = "hydra.sweeper.enqueue=[{distill.temperature:3.0},{distill.temperature:3.5}]"
    with commandline.composer():
        _, found = look(*words, TEMPERATURE, *unseeded, enqueued)
    assert count(found) == count(found, fewest=True) == {"finetune": 1, "distill": 3}
    assert found.exact


def test_a_seed_that_is_not_drawn_yet_leaves_bounds(words) -> None:
    with commandline.composer():
        _, found = look(
            *words, TEMPERATURE, "sampler=random", "hydra.sweeper.seed=null",
            "hydra.sweeper.defaults_first=false", "hydra.sweeper.n_trials=3",
        )  # fmt: skip
    assert count(found) == {"finetune": 1, "distill": 3}
    assert count(found, fewest=True) == {"finetune": 1, "distill": 0}


@pytest.mark.parametrize("seed", range(3))
def test_the_bounds_hold_for_whatever_is_scored(words, seed: int) -> None:
    line = (
        *words, RATE, "stages.distill.temperature=1,2,4", "stages.distill.alpha=0.2,0.8",
        "sampler=tpe", "sampler.n_startup_trials=3", "hydra.sweeper.n_trials=14",
    )  # fmt: skip
    with commandline.composer():
        search, found = look(*line)
        ran = run(search, 14, random.Random(seed))
        _, finished = look(*line)
    executed = len(set.union(*ran))
    assert sum(count(found, fewest=True).values()) <= executed <= sum(count(found).values())
    reused = sum(map(len, ran)) - executed
    assert found.reused[0] <= reused <= found.reused[1]
    assert not found.exact
    assert (finished.trials, finished.done, finished.work) == (0, 14, ())


def test_only_the_missing_trials_of_a_study_are_counted(words) -> None:
    line = (*words, RATE, TEMPERATURE, "sampler=random", "hydra.sweeper.n_trials=9")
    with commandline.composer():
        search, whole = look(*line)
        ran = run(search, 4, random.Random(0))
        known = set.union(*ran)
        _, rest = look(*line, stored=known.__contains__)
        ran += run(search, 9, random.Random(1))
    assert (rest.trials, rest.done) == (5, 4)
    assert rest.exact
    assert sum(count(rest).values()) == len(set.union(*ran) - known)
    assert sum(count(whole).values()) == len(set.union(*ran))


def test_an_interrupted_trial_is_still_to_be_run(words) -> None:
    line = (*words, TEMPERATURE, "sampler=tpe", "hydra.sweeper.n_trials=2")
    with commandline.composer():
        search, _ = look(*line)
        run(search, 1, random.Random(0))
        place = question.directory(search.app.config, search.name)
        study = versions.open_or_create(
            place, search.name, search.reading.question, search.reading.space, None, 13
        ).study
        study.ask(search.reading.space.distributions)
        assert study.trials[-1].state == TrialState.RUNNING
        before = sorted(path for path in place.rglob("*"))
        _, found = look(*line)
        assert sorted(path for path in place.rglob("*")) == before
    assert (found.trials, found.done) == (1, 1)
    assert count(found) == {"finetune": 1, "distill": 1}


def test_a_study_that_asked_something_else_is_refused_like_by_the_search(words) -> None:
    name = "hydra.sweeper.study_name=s"
    with commandline.composer():
        search, _ = look(*words, RATE, name)
        run(search, 1, random.Random(0))
        with pytest.raises(StudyMismatchError, match="seed"):
            look(*words, RATE, name, "seed=1")


def test_every_fault_is_reported_at_once(words) -> None:
    with commandline.composer(), pytest.raises(ConfigError) as caught:
        look(*words, "stages.finetune.lerning_rate=1,2", "stages.distill.alpha=high,0.1")
    paths = [fault.path for fault in caught.value.faults]
    assert paths == ["stages.finetune.lerning_rate", "stages.distill.alpha"]
