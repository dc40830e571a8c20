"""What every tracker promises: it hears a run, changes nothing, and a fault is one warning."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from stagetree.core.errors import TrialPruned
from stagetree.core.reporting import SEEDS, Reporter, Reporters, RunInfo, StageInfo, StageOutcome
from stagetree.tracking import mlflow
from stagetree.tracking.base import TRACKERS, trackers
from stagetree.tracking.record import read

LIBRARIES = {"wandb": "wandb", "tensorboard": "tensorboard", "mlflow": "mlflow"}
"""Trackers that need a library to mirror to."""

STATUSES = ("complete", "pruned", "failed", "interrupted")


class Cut(Reporter):
    """Ends a run in the middle, as a pruner does."""

    def evaluated(self, *_: Any) -> None:
        raise TrialPruned("its peers do better")


def stage(name: str, index: int = 0, *, reused: bool = False) -> StageInfo:
    return StageInfo(name, name.partition("@")[0], index, 3, "ab" * 32, reused)


def events(hears: Reporter, run: RunInfo, status: str = "complete") -> None:
    """Tell of a run over two seeds: stages run, reused, and of odd names and numbers."""
    hears.run_started(run)
    for index, name in enumerate(("finetune@13", "finetune@14")):
        told = stage(name, index, reused=index == 1)
        hears.stage_started(told)
        if not told.reused:
            for step in range(1, 6):
                hears.stepped(told, step, 5, {"loss": 1 / step, "learning_rate": 1e-3})
        hears.evaluated(told, 0.5, {"f1": 0.4, "loss": float("nan")})
        hears.evaluated(told, 1.0, {"f1": 0.6, "loss": float("inf")})
        hears.stage_finished(told, StageOutcome({"f1": 0.6, "bytes": 9}, 2.5, Path("/model")))
        hears.evaluated(stage(SEEDS, 2), (index + 1) / 2, {"f1": 0.6})
    summary = {"value": [0.6, 9.0], "std": [0.0, 0.0], "model_dir": "/model"}
    hears.run_finished(status, summary if status == "complete" else {"error": "x", "stages": 1})


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of MLflow: making one takes seconds."""
    root = tmp_path_factory.mktemp("empty")
    run = RunInfo("a/0", root / "run", {}, study="a", number=0)
    listen("mlflow", root).run_started(run)
    return root / "mlflow" / "mlflow.db"


@pytest.fixture(params=list(TRACKERS))
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    if library := LIBRARIES.get(request.param):
        pytest.importorskip(library)
    if request.param == "mlflow":
        (tmp_path / "mlflow").mkdir()
        shutil.copy(request.getfixturevalue("database"), tmp_path / "mlflow")
    monkeypatch.setattr(mlflow, "_lost", set())
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return str(request.param)


@pytest.fixture
def run(tmp_path: Path) -> RunInfo:
    return RunInfo(
        name="ner/7",
        directory=tmp_path / "studies" / "ner" / "7",
        config={
            "stages": {"finetune": {"learning_rate": 3e-4, "unfreeze": [], "note": None}},
            "objective": {"metric": ["f1", "bytes"]},
            "paths": {"root": Path("/somewhere")},
        },
        study="ner",
        number=7,
        params={"finetune.learning_rate": 3e-4, "stage": "distill"},
        command="python run.py",
    )


def listen(kind: str, root: Path) -> Reporters:
    return Reporters(trackers(OmegaConf.structured(TRACKERS[kind].Config), root))


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what we warned of; threads of a service that an earlier test hung up speak, too."""
    ours = [said for said in caplog.records if said.name.startswith("stagetree")]
    return [said.getMessage() for said in ours if said.levelno >= logging.WARNING]


def records(run: RunInfo) -> list[Any]:
    found: list[Any] = [dict(event) for event in read(run.directory)]
    for event in found:
        event.pop("time")
    return found


@pytest.mark.parametrize("status", STATUSES)
def test_a_run_is_heard_and_its_record_is_as_without_a_tracker(
    kind: str, run: RunInfo, tmp_path: Path, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    events(listen("none", tmp_path), run, status)
    expected = records(run)
    (run.directory / "record.jsonl").unlink()
    with caplog.at_level(logging.WARNING):
        events(listen(kind, tmp_path), run, status)
    assert records(run) == expected
    assert warned(caplog) == []


def test_a_run_may_end_anywhere_and_start_again(
    kind: str, run: RunInfo, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hears = Reporters([*listen(kind, tmp_path).reporters, Cut()])
    hears.run_started(run)
    hears.stage_started(stage("finetune"))
    with pytest.raises(TrialPruned):
        hears.evaluated(stage("finetune"), 0.5, {"f1": 0.1})
    hears.run_finished("pruned", {"error": "", "stages": 0})
    with caplog.at_level(logging.WARNING):
        events(listen(kind, tmp_path), run)
    assert warned(caplog) == []
    assert json.loads((run.directory / "summary.json").read_text())["status"] == "complete"


@pytest.mark.parametrize("status", STATUSES)
def test_a_place_that_cannot_be_written_is_one_warning(
    kind: str, run: RunInfo, tmp_path: Path, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "root").write_text("a file is in the way")
    with caplog.at_level(logging.WARNING):
        events(listen(kind, tmp_path / "root"), run, status)
    said = warned(caplog)
    assert len(said) == (kind != "none"), said
    assert all("goes on without it" in line for line in said)
    assert records(run)[-1]["status"] == status


def test_nothing_is_printed(
    kind: str, run: RunInfo, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    events(listen(kind, tmp_path), run)
    assert capfd.readouterr() == ("", "")


def test_its_options_are_sound_as_they_come(kind: str) -> None:
    assert TRACKERS[kind].check(TRACKERS[kind].Config()) == []
