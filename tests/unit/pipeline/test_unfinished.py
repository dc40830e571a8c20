"""What is kept for later runs to go on from, in real pipelines: exact, bounded, and said."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from stagetree.core.errors import ConfigError, TrialPruned
from stagetree.core.kept import Kept
from stagetree.core.reporting import Reporter, RunInfo, StageInfo
from stagetree.pipeline import collect, runner, unfinished
from stagetree.pipeline.budget import Budget
from stagetree.pipeline.compose import compose
from stagetree.pipeline.record import Record
from stagetree.pipeline.store import Store

LINE = ("stage=finetune", "model=tiny", "numerics=fp32", "data.max_train=48", "data.max_test=8")
SMALL = ("data.max_validation=16", "tracker=none")
STABLE = (
    "stages.finetune.schedule=warmup_stable_decay",
    "stages.finetune.warmup_steps=2",
    "stages.finetune.evaluate_every=1",
)


@dataclass
class Listening(Reporter):
    """Notes the steps it hears of; ends the run at a fraction of the stage."""

    prune_at: float = 2.0
    steps: list[int] = field(default_factory=list)
    told: list[tuple[float, Mapping[str, float]]] = field(default_factory=list)

    def stepped(self, stage: StageInfo, step: int, total: int, logs: Mapping[str, float]) -> None:
        self.steps.append(step)

    def evaluated(self, stage: StageInfo, fraction: float, metrics: Mapping[str, float]) -> None:
        self.told.append((fraction, dict(metrics)))
        if fraction >= self.prune_at:
            raise TrialPruned("its peers do better")


@pytest.fixture
def go(in_project: Any, tmp_path: Path) -> Callable[..., tuple[Listening, Record, Any]]:
    """Run a pipeline of one stage in a store; return what was heard, the record, the weights."""

    def run(store: Store, *words: str, prune_at: float = 2.0) -> tuple[Listening, Record, Any]:
        pipeline = compose(in_project([*LINE, *SMALL, *words]))
        heard = Listening(prune_at)
        info = RunInfo("run", tmp_path, {})
        runner.limit_threads(1)
        runner.run(pipeline, store, tmp_path / "cache", heard, info)
        record = store.get(pipeline.nodes[-1].signature)
        assert record is not None
        place = store.model_dir(record.signature) / "model.safetensors"
        weights = {name: value.numpy().tobytes() for name, value in load_file(place).items()}
        return heard, record, weights

    return run


def stored(store: Store) -> list[str]:
    return sorted(place.name for place in (store.root / "trunks").glob("*/step-*"))


def test_a_pruned_trial_goes_on_where_it_was_ended(go: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(TrialPruned):
        go(store, "stages.finetune.epochs=5", prune_at=0.4)
    again, record, weights = go(store, "stages.finetune.epochs=5")
    alone, _, others = go(Store(tmp_path / "other"), "stages.finetune.epochs=5")
    assert again.steps == [step for step in alone.steps if step > 6]
    assert again.told == alone.told
    assert weights == others
    assert record.forked == {}


def test_a_longer_run_forks_and_its_record_says_from_where(go: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(TrialPruned):  # what was ended has left its part all the same
        go(store, *STABLE, "stages.finetune.epochs=2", prune_at=0.5)
    longer, record, weights = go(store, *STABLE, "stages.finetune.epochs=4")
    alone, first, others = go(Store(tmp_path / "other"), *STABLE, "stages.finetune.epochs=4")
    assert longer.steps == [step for step in alone.steps if step > 3]
    assert longer.told == alone.told
    assert weights == others
    assert (record.forked["step"], record.forked["of"]) == (3, 12)
    assert record.whole_seconds == record.seconds + record.forked["seconds"] > record.seconds
    assert first.forked["why"].startswith("no checkpoint of its first 10 steps")


def test_nothing_is_kept_where_there_is_no_room_for_it(go: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", unfinished=0)
    with pytest.raises(TrialPruned):
        go(store, *STABLE, "stages.finetune.epochs=2", prune_at=0.5)
    again, _, _ = go(store, *STABLE, "stages.finetune.epochs=2")
    assert again.steps[0] == 1
    assert stored(store) == []


def checkpoint(root: Path, trunk: str, step: int, *, idle: float, fork: bool = False) -> Path:
    place = root / "trunks" / trunk / f"step-{step:09d}"
    place.mkdir(parents=True)
    (place / "model.safetensors").write_bytes(b"x" * 1000)
    os.link(place / "model.safetensors", place / "best.safetensors")
    if fork:
        (place / unfinished.FORK).touch()
    past = time.time() - idle
    for path in (*place.iterdir(), place):
        os.utime(path, (past, past))
    return place


def pruned(root: Path, signature: str, *, idle: float) -> Path:
    scratch = root / "partial" / signature / "scratch"
    scratch.mkdir(parents=True)
    (scratch / "weights").write_bytes(b"x" * 1000)
    (scratch / unfinished.PRUNED).touch()
    past = time.time() - idle
    for path in (scratch / "weights", scratch / unfinished.PRUNED, scratch, scratch.parent):
        os.utime(path, (past, past))
    return scratch.parent


def test_points_that_runs_only_passed_go_first_then_what_was_longest_unused(
    tmp_path: Path,
) -> None:
    passed = checkpoint(tmp_path, "a", 10, idle=1)
    old = checkpoint(tmp_path, "a", 20, idle=300, fork=True)
    ended = pruned(tmp_path, "b" * 64, idle=200)
    fresh = checkpoint(tmp_path, "c", 20, idle=100, fork=True)
    assert unfinished.size(tmp_path) == 4000
    gone = [passed, old, ended, fresh]
    for count, limit in enumerate((3500, 2500, 1500, 500), start=1):
        assert unfinished.trim(tmp_path, limit) == 1000
        assert [place.exists() for place in gone] == [False] * count + [True] * (4 - count)
    assert list((tmp_path / "trunks").iterdir()) == []


def test_partial_work_that_somebody_has_or_that_was_not_pruned_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.open("a" * 64) as work:
        (work.scratch / "weights").write_bytes(b"x" * 1000)
        (work.scratch / unfinished.PRUNED).touch()
        assert unfinished.trim(tmp_path, 0) == 0
    other = pruned(tmp_path, "b" * 64, idle=1)
    (other / "scratch" / unfinished.PRUNED).unlink()
    assert unfinished.trim(tmp_path, 0) == 1000
    assert other.exists()


def test_trunks_count_in_the_disk_budget_and_go_before_results(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.open("a" * 64) as work:
        (work.output / "model.bin").write_bytes(b"x" * 5000)
        work.publish(Record("a" * 64, "finetune", "a", 1, {}, [], "d", 1))
    size = store.size("a" * 64)
    for step in range(1, 6):
        checkpoint(tmp_path, "a", step, idle=10 - step)
    assert Budget(store, size + 3000, Kept).settle() == 3000
    assert stored(store) == [f"step-{step:09d}" for step in (4, 5)]
    assert store.here("a" * 64)


def test_collection_tells_and_removes_trunks_that_nobody_used_lately(tmp_path: Path) -> None:
    store = Store(tmp_path)
    checkpoint(tmp_path, "a", 1, idle=100)
    checkpoint(tmp_path, "a", 2, idle=10)
    litter = tmp_path / "trunks" / "a" / ".half"
    litter.mkdir()
    assert collect.leavings_of(store, 50, dry=True) == {collect.TRUNKS: 1000}
    assert len(stored(store)) == 2
    assert collect.leavings_of(store, 50, dry=False) == {collect.TRUNKS: 1000}
    assert stored(store) == ["step-000000002"]
    assert collect.leavings_of(store, -1, dry=False) == {collect.TRUNKS: 1000}
    assert not litter.exists()


def test_the_room_for_it_is_checked(in_project: Any) -> None:
    with pytest.raises(ConfigError, match=r"store.unfinished_gb: expected gigabytes"):
        compose(in_project([*LINE, "store.unfinished_gb=-1"]))
