"""``stagetree confirm`` on real studies: what is run, what is told, when the test split is read."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from stagetree.search.journal import FILE, open_storage

SHORT = ("debug=short", "model=tiny", "numerics=fp32", "tracker=none")
SEARCH = ("-m", "stage=distill", "stages.distill.learning_rate=1e-3,3e-3",
          "stages.finetune.epochs=1", "hydra.sweeper.study_name=s")  # fmt: skip
MAIN = "from stagetree.cli import main; main()"
LINE = ("confirm", "s", "--top", "2", "--seeds", "2")


def start(command, project: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *words, "--root", str(command.root)], cwd=project,
        env=command.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def results(command) -> dict[str, int]:
    """Return when each stored result was written."""
    files = command.root.glob("store/*/*/record.json")
    return {file.parent.name: file.stat().st_mtime_ns for file in files}


def stop_after(command, process: subprocess.Popen[str], more: int, number: int) -> str:
    """Send a signal once so many more results lie in the store; return what it said."""
    wanted, deadline = len(results(command)) + more, time.monotonic() + 240
    while len(results(command)) < wanted and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    return said


@pytest.mark.slow
def test_a_study_is_confirmed_once_whatever_interrupts_it(command, project) -> None:
    done = command.run(*SEARCH, *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    record = command.root / "studies" / "s" / "confirm.json"
    before = results(command)
    process = start(command, project, *LINE)
    said = stop_after(command, process, 2, signal.SIGINT)
    assert process.returncode == 130, said
    assert "the same line again goes on from here" in said
    stop_after(command, start(command, project, *LINE), 2, signal.SIGKILL)
    assert not record.exists()

    found = command.json(*LINE)
    computed = results(command)
    assert found["seeds"] == [1, 2]
    assert found["study_seeds"] == [13]
    assert found["candidates"][0]["name"] == "default"
    assert found["examples"] == 48
    # 2 seeds: a teacher and its answers, which all share, and a student each.
    assert len(computed) - len(before) == 2 * (2 + len(found["candidates"]))
    assert found["test"]["status"] == "read"
    assert found["test"]["examples"] == 48
    assert json.loads(record.read_text())["confirmations"] == [found]

    assert command.json(*LINE) == found
    assert results(command) == computed
    page = Path(command.json("report", "s", "--no-charts")["report"]).read_text()
    assert "So say new seeds, not those of the search." in page
    assert "Not confirmed yet" not in page

    fewer = (*LINE[:3], "1", *LINE[4:])
    other = command.json(*fewer)
    assert other["test"]["status"] == "refused"
    assert "--again" in other["test"]["why"]
    assert "candidates" not in other["test"]
    other = command.json(*fewer, "--again")
    assert (other["test"]["status"], other["test"]["earlier"]) == ("read", 1)
    assert results(command) == computed
    shown = command.stagetree(*LINE, "--root", str(command.root)).stdout
    assert found["verdict"][0] in shown
    assert "test split: f1 over 48 examples, read once the verdict stood" in shown


@pytest.mark.thorough
def test_workers_together_confirm_as_one_does(command, command_at) -> None:
    done = command.run(*SEARCH, *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    other = command_at(command.root.with_name("other"))
    shutil.copytree(command.root / "studies", other.root / "studies")
    found, again = command.json(*LINE), other.json(*LINE, "--workers", "2")
    own = {"time", "commit", "test", "candidates"}
    assert {k: v for k, v in again.items() if k not in own} == {
        k: v for k, v in found.items() if k not in own
    }
    for one, two in zip(again["candidates"], found["candidates"], strict=True):
        assert (one["values"], one["interval"]) == (two["values"], two["interval"])
    assert again["test"]["candidates"] == found["test"]["candidates"]


def made(root: Path, values: list[Any], directions: list[str]) -> None:
    """Make a study whose trials ran nothing."""
    directory = root / "studies" / "s"
    directory.mkdir(parents=True)
    study = optuna.create_study(
        study_name="s", storage=open_storage(directory, None), directions=directions
    )
    study.set_user_attr("stagetree:fingerprint", {"metrics": ["f1", "bytes"][: len(directions)]})
    for value in values:
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.set_user_attr("notes", {"command": "python run.py stage=finetune"})
        study.tell(trial, value)
    assert (directory / FILE).is_file()


def test_a_study_without_a_complete_trial_has_nothing_to_confirm(command) -> None:
    made(command.root, [], ["maximize"])
    done = command.stagetree("confirm", "s", "--root", str(command.root))
    assert done.returncode == 1
    assert "nothing to confirm: the study has no complete trial" in done.stderr


def test_of_several_objectives_trials_are_to_be_named(command) -> None:
    made(command.root, [(0.5, 10.0), (0.4, 5.0), (0.3, 20.0)], ["maximize", "minimize"])
    done = command.stagetree("confirm", "s", "--root", str(command.root))
    assert done.returncode == 2
    assert "--trial: expected the trials to confirm" in done.stderr
    assert "no other one beats trials 0, 1" in done.stderr
    done = command.stagetree("confirm", "s", "--metric", "byte", "--root", str(command.root))
    assert done.returncode == 2
    assert "Did you mean 'bytes'?" in done.stderr
