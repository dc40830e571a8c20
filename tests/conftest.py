"""Fixtures that every suite uses: the command lines, as a user types them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
    for name in ("STAGETREE_ROOT", "STAGETREE_REMOTE", "STAGETREE_SCRATCH"):
        os.environ.pop(name, None)


ASKED_FOR = {
    "reproduce": "runs in full for minutes: pytest -m reproduce",
    "thorough": "shows at length what a shorter test shows of a part: pytest -m thorough",
}
"""Markers of tests that run only where ``-m`` names them."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for marker, reason in ASKED_FOR.items():
        if marker in str(config.option.markexpr):
            continue
        for item in items:
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


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

    @contextlib.contextmanager
    def dashboard(self, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
        """Serve a dashboard on a free port inside the block; gives its address and process."""
        code = "from stagetree.cli import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, "dashboard", *words, "--port", "0", "--json",
             "--root", str(self.root)],
            env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            yield json.loads(line)["url"], process
        finally:
            process.kill()
            process.communicate()

    def wait_for(
        self, condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 300
    ) -> None:
        """Wait while a command that was started runs."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "waited too long"
            time.sleep(0.02)

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


@pytest.fixture(scope="session")
def read_wandb() -> Callable[[Path], dict[str, Any]]:
    """A reader of what an offline run of W&B was written to, ``run-*.wandb``."""
    return _read_wandb


def _read_wandb(path: Path) -> dict[str, Any]:
    """Return what a ``run-*.wandb`` holds: LevelDB log blocks of protobuf records."""
    from wandb.proto import wandb_internal_pb2

    found: dict[str, Any] = {
        "history": [],
        "config": {},
        "summary": {},
        "axes": {},
        "kinds": [],
        "exit": None,
    }
    found |= {"artifacts": [], "tables": {}}
    for chunk in _chunks(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(chunk)
        kind = record.WhichOneof("record_type")
        found["kinds"].append(kind)
        if kind == "run":
            found["run"] = record.run
            found["config"] |= _items(record.run.config.update)
        elif kind == "history":
            found["history"].append(_items(record.history.item))
        elif kind == "summary":
            found["summary"] |= _items(record.summary.update)
            found["tables"] |= _tables(path.parent, record.summary.update)
        elif kind == "metric":
            found["axes"][record.metric.glob_name] = record.metric.step_metric
        elif kind == "artifact":
            found["artifacts"].append(record.artifact)
        elif kind == "exit":
            found["exit"] = record.exit.exit_code
    return found


def _tables(folder: Path, updates: Any) -> dict[str, Any]:
    """Return the tables that a record refers to, each row as a mapping."""
    files = {
        item.nested_key[0]: json.loads(item.value_json)
        for item in updates
        if list(item.nested_key)[1:] == ["path"]
    }
    found = {}
    for name, path in files.items():
        table = json.loads((folder / "files" / path).read_text())
        found[name] = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    return found


def _chunks(data: bytes) -> Iterator[bytes]:
    assert struct.unpack("<4sHB", data[:7])[:2] == (b":W&B", 0xBEE1)
    position, parts = 7, b""
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def _items(updates: Any) -> dict[str, Any]:
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in updates}
