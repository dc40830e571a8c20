"""Runs that are the same up to some step: the weights of each are those of a run all alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stagetree.core.signature import digest, result_fields
from stagetree.pipeline.nodes import Node
from stagetree.pipeline.trunks import StageTrunks
from stagetree.stages.finetune import Finetune, FinetuneConfig
from stagetree.training.config import Phase, Schedule
from stagetree.training.forks import forked

PER_EPOCH = 10
STABLE: dict[str, Any] = {
    "schedule": Schedule.warmup_stable_decay,
    "warmup_steps": 4,
    "decay": 0.25,
    "evaluate_every": 1.0,
}
Go = Callable[..., Any]


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


class Outcome:
    """What a run came to: its weights, its evaluations, the steps it made, the fork."""

    def __init__(self, weights: Any, best: Any, context: Any) -> None:
        self.weights = weights
        self.best = best
        self.told = context.evaluations
        self.steps = [step for step, *_ in context.steps]
        self.forked = forked(context.scratch)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def go(make_model: Any, heard: Any, run: Any, weights: Any, store: Path) -> Go:
    """Train: with ``alone`` from nothing, else with what other runs left."""
    count = 0

    def train(*, alone: bool = False, limit: float = 1e9, name: str = "", **options: Any) -> Any:
        nonlocal count
        count += 1
        options = {**STABLE, **options}
        seed = options.pop("seed", 5)
        interrupt = options.pop("interrupt", lambda fraction: None)
        config = FinetuneConfig(**{"batch_size": 8, "learning_rate": 3e-3, **options})
        fields = Finetune.fields(config, {})
        node = Node("a", "a", Finetune, config, fields, {}, (), seed, digest(result_fields(config)))
        model = make_model()
        context = heard(name or f"run{count}", seed=seed, interrupt=interrupt)
        trunks = None if alone else StageTrunks(store, node, "data", limit)
        best = run(model, context, trunks=trunks, **options)
        return Outcome(weights(model), best, context)

    return train


@pytest.fixture
def same(difference: Any) -> Callable[[Any, Any], bool]:
    def compare(one: Any, other: Any) -> bool:
        return (
            difference(one.weights, other.weights) == 0.0
            and one.told == other.told
            and one.best == other.best
        )

    return compare


def stored(store: Path) -> list[int]:
    return sorted(int(place.name[5:]) for place in (store / "trunks").glob("*/step-*"))


def test_the_constant_part_of_rising_horizons_is_trained_once(
    go: Go, same: Any, store: Path
) -> None:
    forks = []
    for epochs in (2, 4, 6):
        shared, alone = go(epochs=epochs), go(epochs=epochs, alone=True)
        assert same(shared, alone)
        assert shared.steps == alone.steps[shared.forked.get("step", 0) :]
        forks.append(shared.forked.get("step"))
    assert forks == [None, 15, 30]
    assert {15, 30, 45} <= set(stored(store))


def test_a_shorter_run_starts_from_what_a_longer_one_passed(go: Go, same: Any) -> None:
    go(epochs=4)
    shared = go(epochs=2)
    assert shared.forked["step"] == PER_EPOCH
    assert shared.forked["of"] == 2 * PER_EPOCH
    assert shared.forked["seconds"] > 0
    assert same(shared, go(epochs=2, alone=True))


@pytest.mark.parametrize(
    ("first", "second", "step"),
    [
        ({"decay": 0.2}, {"decay": 0.5}, 10),
        ({"schedule": Schedule.constant, "epochs": 2}, {"schedule": Schedule.constant}, 20),
        ({"schedule": Schedule.constant, "epochs": 2}, {"epochs": 4}, 20),
        ({"epochs": 2}, {"max_steps": 27}, 15),
        ({"epochs": 2, "micro_batch_size": 2}, {"micro_batch_size": 2}, 15),
        ({"epochs": 2, "unfreeze": [Phase(1.0, 1)]}, {"unfreeze": [Phase(1.0, 1)]}, 15),
        ({"decay": 0.2, "unfreeze": [Phase(0.2, 0), Phase(1.0)]}, None, 10),
        ({"epochs": 2, "evaluate_every": 0.5}, {"evaluate_every": 1.5, "patience": 1}, 15),
        ({"epochs": 2, "evaluate_every": 9.0}, {"evaluate_every": 9.0}, 15),
    ],
    ids=[
        *("decay", "constant", "constant-to-decay", "mid-epoch", "accumulation"),
        *("frozen", "phases", "fewer-evaluations", "no-evaluation"),
    ],
)
def test_forks_are_exact(go: Go, same: Any, first: Any, second: Any, step: int) -> None:
    second = {**first, "decay": 0.5} if second is None else second
    go(**{"epochs": 3, **first})
    shared, alone = go(**{"epochs": 3, **second}), go(**{"epochs": 3, **second}, alone=True)
    assert shared.forked["step"] == step
    assert shared.steps[0] == step + 1
    assert same(shared, alone)


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ({}, {"fork": False}, "fork=false"),
        ({}, {"seed": 6}, "no checkpoint of its first 22 steps is stored"),
        ({}, {"warmup_steps": 5}, "no checkpoint"),
        ({"warmup_steps": 0}, {"warmup_steps": 0}, "no checkpoint"),
        ({}, {"learning_rate": 1e-3}, "no checkpoint"),
        ({}, {"micro_batch_size": 4}, "no checkpoint"),
        ({}, {"evaluate_every": 0.7}, "scored after other steps"),
        ({"unfreeze": [Phase(0.2, 0), Phase(1.0)]}, None, "no checkpoint"),
    ],
    ids=["off", "seed", "warmup", "fraction", "rate", "accumulation", "evaluations", "phases"],
)
def test_what_differs_is_not_shared_and_it_is_said_why(
    go: Go, same: Any, first: Any, second: Any, why: str
) -> None:
    second = first if second is None else second
    go(epochs=2, **first)
    own = go(epochs=3, **second)
    assert own.forked["why"].startswith(why)
    assert own.steps[0] == 1


def test_a_rate_that_falls_from_the_start_shares_nothing(go: Go, store: Path) -> None:
    assert go(epochs=2, schedule=Schedule.linear).forked == {}
    assert not store.exists()


def test_evaluations_by_number_share_as_far_as_they_fall_on_the_same_steps(
    go: Go, same: Any
) -> None:
    spread = {"evaluate_every": 0.0, "evaluations": 4}
    go(epochs=2, **spread)
    shared = go(epochs=4, **spread)
    assert same(shared, go(epochs=4, **spread, alone=True))
    assert shared.forked["step"] in {5, 10, 15}


def test_a_run_stops_early_where_it_would_have_alone(go: Go, same: Any) -> None:
    hopeless = {"learning_rate": 1e-12, "evaluate_every": 0.5}
    go(epochs=4, **hopeless)
    patient = go(epochs=4, patience=2, **hopeless)
    assert same(patient, go(epochs=4, patience=2, **hopeless, alone=True))
    assert len(patient.told) == 3


@pytest.mark.parametrize("harm", ["cut", "flip", "manifest", "missing"])
def test_a_damaged_trunk_is_not_used(
    go: Go, same: Any, store: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    go(epochs=2)
    [furthest] = (store / "trunks").glob(f"*/step-{15:09d}")
    file = furthest / ("checkpoint.json" if harm == "manifest" else "optimizer.safetensors")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.unlink()  # linked files share their content
    if harm != "missing":
        file.write_bytes(content if harm == "flip" else content[: len(content) // 2])
    shared = go(epochs=3)
    assert "damaged or gone" in caplog.text
    assert shared.forked["step"] == PER_EPOCH
    assert same(shared, go(epochs=3, alone=True))


def test_a_killed_run_goes_on_from_the_further_of_its_own_and_the_trunk(go: Go, same: Any) -> None:
    def kill(fraction: float) -> None:
        raise Killed

    with pytest.raises(Killed):
        go(epochs=4, name="killed", interrupt=kill)
    go(epochs=3)
    again = go(epochs=4, name="killed")
    assert again.forked["step"] == 22
    whole = go(epochs=4, alone=True)
    assert again.best == whole.best
    assert again.told == whole.told
    assert again.steps[0] == 23


def test_a_run_that_went_on_in_another_way_leaves_nothing(go: Go, store: Path) -> None:
    def kill(fraction: float) -> None:
        raise Killed

    with pytest.raises(Killed):
        go(epochs=4, name="killed", interrupt=kill)
    assert stored(store) == [10]
    go(epochs=4, name="killed", micro_batch_size=4)
    assert stored(store) == [10]


def test_what_is_kept_is_bounded_and_forks_stay_longest(go: Go, same: Any, store: Path) -> None:
    go(epochs=3)
    assert stored(store) == [10, 20, 22]
    [fork] = (store / "trunks").glob(f"*/step-{22:09d}")
    room = sum(path.stat().st_size for path in fork.iterdir())
    go(epochs=3, learning_rate=1e-3, limit=2.2 * room)
    assert stored(store) == [22, 22]
