"""Pipelines that run here, in as many processes as asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from stagetree.core.reporting import Reporter, RunInfo, StageInfo
from stagetree.pipeline import commandline, runner
from stagetree.pipeline.compose import compose
from stagetree.pipeline.nodes import Pipeline
from stagetree.pipeline.record import Record
from stagetree.pipeline.store import Store

WORDS = ("model=tiny", "numerics=fp32", "data.max_train=41", "data.max_validation=24")
"""41 rows in batches of 8 leave a last batch of one row: fewer than there are processes."""

STAGE = ("dropout=0", "batch_size=8", "epochs=2", "evaluations=2", "max_length=64")


def _processes_of(parent: int) -> dict[int, int]:
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            environment = (place / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # ended meanwhile
        if b"stagetree.pipeline.rank" in words and str(parent).encode() in words:
            ranks = [int(word[5:]) for word in environment if word.startswith(b"RANK=")]
            found[ranks[0]] = int(place.name)
    return found


@dataclass
class Hearing(Reporter):
    """Notes what it hears, and does at an evaluation what the test wants."""

    then: Callable[[float], None] = lambda fraction: None
    losses: list[float] = field(default_factory=list)
    fractions: list[float] = field(default_factory=list)

    def stepped(self, stage: StageInfo, step: int, total: int, logs: Any) -> None:
        self.losses.append(logs["loss"])

    def evaluated(self, stage: StageInfo, fraction: float, metrics: Any) -> None:
        self.fractions.append(fraction)
        self.then(fraction)


@dataclass
class Runs:
    """Runs pipelines below one directory."""

    root: Path

    def pipeline(self, stage: str, *words: str) -> Pipeline:
        options = [f"stages.{stage}.{option}" for option in STAGE]
        line = [f"stage={stage}", *WORDS, *options, f"paths.root={self.root}", *words]
        return compose(commandline.load(line))

    def run(self, pipeline: Pipeline, hearing: Hearing | None = None) -> Record:
        """Return the record of the last stage."""
        store = Store(self.root / "store")
        info = RunInfo("test", self.root, {})
        runner.run(pipeline, store, self.root / "cache", hearing or Hearing(), info)
        record = store.get(pipeline.nodes[-1].signature)
        assert record is not None
        assert self.processes() == {}
        return record

    @staticmethod
    def hearing(
        then: Callable[[float], None] = lambda fraction: None, hear: Hearing | None = None
    ) -> Hearing:
        """Return what listens, having heard what another one heard."""
        return Hearing(then, list(hear.losses) if hear else [])

    @staticmethod
    def processes(parent: int | None = None) -> dict[int, int]:
        """Return the processes that compute for ``parent``, this one: ids by place."""
        return _processes_of(parent or os.getpid())

    def model(self, record: Record) -> Path:
        return Store(self.root / "store").model_dir(record.signature)


@pytest.fixture(scope="session")
def shared_runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("processes"))


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)
