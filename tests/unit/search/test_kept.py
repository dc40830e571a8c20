"""What studies keep in the store: their best, what is unfinished, all while they run."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from stagetree.core.errors import StagetreeError
from stagetree.core.kept import Kept
from stagetree.core.lease import Lease
from stagetree.search.journal import open_storage
from stagetree.search.kept import everything, of_study
from stagetree.search.notes import NOTES
from stagetree.search.stage_pruner import stage_attribute

SIGNATURES = {name: name * 64 for name in "abcdef"}


def stage(name: str, signature: str) -> dict[str, object]:
    return {
        "name": name, "kind": "finetune", "signature": SIGNATURES[signature], "seconds": 1.0,
        "reused": False, "model_dir": "",
    }  # fmt: skip


def make(studies: Path, name: str, directions: list[str], trials: dict[str, list[float]]) -> Path:
    """Make a study whose trials share stage ``a`` and end with the stage they are named for."""
    directory = studies / name
    directory.mkdir(parents=True)
    study = optuna.create_study(
        study_name=name, directions=directions, storage=open_storage(directory, None)
    )
    for last, values in trials.items():
        notes = {"stages": [stage("finetune", "a"), stage("distill", last)]}
        study.add_trial(
            create_trial(state=TrialState.COMPLETE, values=values, user_attrs={NOTES: notes})
        )
    return directory


def reasons(directory: Path, best: int = 1, *, running: bool = True) -> dict[str, str]:
    kept = Kept()
    of_study(directory, kept, best, running=running)
    return {signature[0]: reason for signature, reason in kept.reasons.items()}


def test_the_best_trials_keep_their_last_stage(tmp_path: Path) -> None:
    up = make(tmp_path, "up", ["maximize"], {"b": [0.5], "c": [0.9], "d": [0.7]})
    down = make(tmp_path, "down", ["minimize"], {"b": [0.5], "c": [0.9], "d": [0.7]})
    assert reasons(up) == {"c": "best of up"}
    assert reasons(up, 2) == {"c": "best of up", "d": "best of up"}
    assert reasons(down) == {"b": "best of down"}
    assert reasons(up, 0) == {}


def test_a_front_stays_whole(tmp_path: Path) -> None:
    trials = {"b": [0.5, 1.0], "c": [0.9, 5.0], "d": [0.4, 2.0]}
    both = make(tmp_path, "both", ["maximize", "minimize"], trials)
    assert reasons(both) == {"b": "front of both", "c": "front of both"}


def test_while_somebody_works_on_a_study_all_of_it_stays(tmp_path: Path) -> None:
    directory = make(tmp_path, "s", ["maximize"], {"b": [0.5], "c": [0.9]})
    with Lease(directory / "leases" / "worker-1.lock"):
        assert set(reasons(directory)) == {"a", "b", "c"}
        assert reasons(directory)["a"] == "study s is running"
        assert reasons(directory, running=False) == {"c": "best of s"}
    assert reasons(directory) == {"c": "best of s"}


def test_what_an_unfinished_trial_has_stays(tmp_path: Path) -> None:
    directory = make(tmp_path, "s", ["maximize"], {"b": [0.5]})
    study = optuna.load_study(study_name="s", storage=open_storage(directory, None))
    study.ask().set_user_attr(stage_attribute(0), ["finetune", SIGNATURES["e"]])
    assert reasons(directory) == {"b": "best of s", "e": "trial 1 of s is unfinished"}


def test_what_was_confirmed_stays_and_other_directories_say_nothing(tmp_path: Path) -> None:
    directory = make(tmp_path / "studies", "s", ["maximize"], {"b": [0.5]})
    text = f'{{"candidates": [{{"trial": 0, "signatures": ["{SIGNATURES["f"]}"]}}]}}'
    (directory / "confirm.json").write_text(text)
    (tmp_path / "studies" / "empty").mkdir()
    run = tmp_path / "outputs" / "day" / "time"
    run.mkdir(parents=True)
    events = "".join(
        f'{{"event": "stage_finished", "name": "{name}", "signature": "{SIGNATURES[key]}"}}\n'
        for name, key in (("finetune", "c"), ("distill", "d"))
    )
    (run / "record.jsonl").write_text(events)
    kept = everything(tmp_path / "studies", tmp_path / "outputs", tmp_path / "none", 1)
    assert kept.reasons == {
        SIGNATURES["b"]: "best of s",
        SIGNATURES["f"]: "confirmed in s",
        SIGNATURES["d"]: "run day/time",
    }
    assert set(kept.upstream) == {SIGNATURES[name] for name in "abcd"}


def test_experiments_keep_what_they_compose_to_and_what_their_comments_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    monkeypatch.setenv("STAGETREE_PROJECT", str(project))
    file = tmp_path / "odd.yaml"
    file.write_text(f"# Stages, by signature:\n#   finetune  {SIGNATURES['e']}\nstrange: 1\n")
    kept = everything(tmp_path / "s", tmp_path / "o", tmp_path, 1)
    assert kept.reasons == {SIGNATURES["e"]: "experiment odd"}


def test_a_study_whose_database_is_away_is_an_error_not_garbage(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    directory.mkdir()
    storage = f"sqlite:///{tmp_path}/none/there.db"
    (directory / "multirun.yaml").write_text(f"hydra:\n  sweeper:\n    storage: {storage}\n")
    with pytest.raises(StagetreeError, match="expected to read study 's'"):
        reasons(directory)
