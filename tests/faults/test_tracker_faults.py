"""Services that are away, hang, or have no room: the run goes on, and says so once."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

SCRIPT = """
    import logging, resource, sys
    from pathlib import Path
    from omegaconf import OmegaConf
    from stagetree.core.reporting import Reporters, RunInfo, StageInfo, StageOutcome
    from stagetree.tracking.base import TRACKERS, trackers

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    root, kind, room = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    for number in range(2):
        hears = Reporters(trackers(OmegaConf.structured(TRACKERS[kind].Config), root))
        hears.run_started(RunInfo(str(number), root / "trials" / str(number), {}))
        if room:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        stage = StageInfo("finetune", "finetune", 0, 1, "")
        hears.stage_started(stage)
        for percent in range(100):
            hears.evaluated(stage, percent / 100, {"f1": 0.5})
        hears.stage_finished(stage, StageOutcome({"f1": 0.5}, 1.0, root))
        hears.run_finished("complete", {"value": 0.5})
        if room:
            break
    print("done")
"""


@pytest.fixture
def run(tmp_path: Path):
    """Return a function that plays two runs in a new process; gives its warnings and seconds."""

    def start(kind: str, room: int = 0, **environment: str) -> tuple[list[str], float]:
        began = time.monotonic()
        process = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path), kind, str(room)],
            env={**os.environ, **environment},
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert process.returncode == 0, process.stderr
        assert process.stdout == "done\n"
        assert "Traceback" not in process.stderr
        lines = [line for line in process.stderr.splitlines() if line.startswith("WARNING")]
        return lines, time.monotonic() - began

    return start


def statuses(root: Path) -> list[str]:
    files = sorted((root / "trials").glob("*/summary.json"))
    return [json.loads(file.read_text())["status"] for file in files]


def test_a_server_that_refuses_is_one_warning_for_all_runs(run, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    with socket.socket() as closed:  # a port that nobody listens on
        closed.bind(("127.0.0.1", 0))
        warnings, _ = run("mlflow", MLFLOW_TRACKING_URI=_url(closed))
    assert len(warnings) == 1, warnings
    assert statuses(tmp_path) == ["complete", "complete"]


def test_a_server_that_never_answers_is_waited_for_once(run, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(50)
        warnings, seconds = run("mlflow", MLFLOW_TRACKING_URI=_url(mute))
    assert len(warnings) == 1, warnings
    assert statuses(tmp_path) == ["complete", "complete"]
    assert seconds < 45  # on however busy a machine; MLflow alone takes minutes


def test_a_disk_that_fills_up_is_one_warning(run, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    warnings, _ = run("tensorboard", room=4096)
    assert len([line for line in warnings if "TensorBoard" in line]) == 1, warnings
    assert len(warnings) == 2  # the other is the local record's own
    assert statuses(tmp_path) == ["complete"]


def _url(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}"
