"""Fixtures that every suite uses: the command lines, as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    # A shell without job control starts background jobs with SIGINT ignored, which commands that
    # tests interrupt would inherit; a handled signal is back to its default in them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("WANDB_MODE", "offline")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.pop("STAGETREE_ROOT", None)


@dataclass(frozen=True)
class Command:
    """Runs the project's commands with everything written below one directory."""

    root: Path

    def environment(self, **extra: str) -> dict[str, str]:
        return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "TERM": "dumb", **extra}

    def line(self, *words: str) -> list[str]:
        return [sys.executable, "run.py", *words, f"paths.root={self.root}"]

    def run(self, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run ``run.py`` to its end."""
        return subprocess.run(
            self.line(*words),
            cwd=PROJECT,
            env=self.environment(**extra),
            text=True,
            capture_output=True,
            timeout=400,
            check=False,
        )

    def start(self, *words: str, **extra: str) -> subprocess.Popen[str]:
        """Start ``run.py`` and leave it running."""
        return subprocess.Popen(
            self.line(*words),
            cwd=PROJECT,
            env=self.environment(**extra),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def stagetree(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the ``stagetree`` command to its end."""
        code = "from stagetree.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=PROJECT,
            env=self.environment(),
            text=True,
            capture_output=True,
            timeout=200,
            check=False,
        )

    def json(self, *words: str) -> Any:
        """Return what ``stagetree ... --json`` prints about this root."""
        done = self.stagetree(*words, "--root", str(self.root), "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def kinds(self) -> dict[str, int]:
        """Return how many results of each kind the store holds."""
        counts: dict[str, int] = {}
        for row in self.json("store", "ls"):
            counts[row["kind"]] = counts.get(row["kind"], 0) + 1
        return counts


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Command lines that write below this test's directory."""
    return Command(tmp_path / "runs")


@pytest.fixture(scope="session")
def command_at() -> type[Command]:
    """Makes command lines that write below any directory."""
    return Command


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's directory."""
    return PROJECT


@pytest.fixture
def in_project(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A function that composes the project's configuration in this process."""
    monkeypatch.setenv("STAGETREE_PROJECT", str(PROJECT))
    from stagetree.pipeline import commandline

    return commandline.load
