"""Searches on a real Ray: its own, or a cluster that it joins."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def points(trials) -> list[tuple[object, ...]]:
    return [(trial.number, trial.params, trial.values, trial.state) for trial in trials]


def wait_for(condition) -> None:
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)


def ancestors(pid: str) -> set[int]:
    """Return the numbers of a process's parents, up to the first of all."""
    found: set[int] = set()
    while int(pid) > 1:
        pid = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        found.add(int(pid))
    return found


def processes_of(folder: Path) -> list[str]:
    """Return the processes whose command line names a directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += [path.parent.name] if str(folder).encode() in path.read_bytes() else []
    return found


def test_a_search_on_a_joined_cluster_gives_what_local_processes_give(
    search, cluster, tmp_path
) -> None:
    line = ["x=range(0,6)", "hydra.sweeper.n_workers=2", "hydra.sweeper.seed=3"]
    out, err = search.run(*line, "hydra/launcher=ray", f"hydra.launcher.address={cluster.address}")
    assert err == ""
    assert sorted(row for row in out.splitlines() if row.startswith("["))[-1].startswith("[6/6]")
    ours = points(search.trials())
    assert len(search.log()) == 6
    other = type(search)(tmp_path / "local")
    other.directory.mkdir()
    there, _ = other.run(*line, "hydra/launcher=local")
    assert points(other.trials()) == ours
    assert "best    trial 0  value 1" in out
    assert "best    trial 0  value 1" in there
    assert cluster.nodes[0].process.poll() is None


def test_the_trial_of_a_killed_worker_is_continued(search, cluster) -> None:
    process = search.start(
        "x=interval(0,1)", "pause=1.5", "hydra.sweeper.n_trials=3", "hydra/launcher=ray",
        f"hydra.launcher.address={cluster.address}",
    )  # fmt: skip
    search.wait_for(lambda: len(search.log()) == 2)
    victim, point = search.log()[-1]
    os.kill(int(victim), signal.SIGKILL)
    out, err = search.end(process)
    assert err == "worker 0 was killed by SIGKILL; it is started again (1 of 10)\n"
    assert [trial.state for trial in search.trials()] == [TrialState.COMPLETE] * 3
    assert [pid != victim for pid, ran in search.log() if ran == point] == [False, True]
    assert search.trials()[1].user_attrs["deaths"] == 1
    assert "3 complete" in out


@pytest.mark.faults
def test_the_workers_of_a_lost_node_go_on_elsewhere(search, cluster) -> None:
    node = cluster.add(f"--address={cluster.address}", "--num-cpus=3")
    process = search.start(
        "x=interval(0,1)", "pause=2", "hydra.sweeper.n_trials=6", "hydra.sweeper.n_workers=3",
        "hydra/launcher=ray", f"hydra.launcher.address={cluster.address}",
        "+hydra.launcher.options.scheduling_strategy=SPREAD",
    )  # fmt: skip
    search.wait_for(lambda: len(search.log()) >= 3)
    victims = {pid for pid, _ in search.log() if node.process.pid in ancestors(pid)}
    assert 0 < len(victims) < 3
    node.kill_raylet()
    _, err = search.end(process)
    again = [line for line in err.splitlines() if "was lost with its" in line]
    assert len(again) == len(victims), err
    found = search.trials()
    assert [trial.state for trial in found] == [TrialState.COMPLETE] * 6
    assert [trial.number for trial in found] == list(range(6))
    runs = [point for _, point in search.log()]
    assert len(set(runs)) == 6
    assert len(runs) == 6 + len(victims)


def test_a_signal_ends_a_search_on_a_ray_of_its_own(search) -> None:
    folder = Path(tempfile.mkdtemp(prefix="r-", dir="/tmp"))
    process = search.start(
        "x=1,2,3", "pause=1.5", "hydra.sweeper.n_workers=2", "hydra/launcher=ray",
        f"+hydra.launcher.init._temp_dir={folder}", "+hydra.launcher.init.num_cpus=2",
        "+hydra.launcher.init.num_gpus=4", "hydra.launcher.num_gpus=2",
        "log='gpus-${oc.env:CUDA_VISIBLE_DEVICES}'",
    )  # fmt: skip
    search.wait_for(lambda: len(list(search.directory.glob("gpus-*"))) == 2)
    ends_resumably(search, process, signal.SIGINT, 130)
    names = sorted(path.name for path in search.directory.glob("gpus-*"))
    assert names == ["gpus-0,1", "gpus-2,3"]
    wait_for(lambda: not processes_of(folder))
    shutil.rmtree(folder)


def test_a_signal_ends_a_search_on_a_joined_cluster(search, cluster) -> None:
    line = ["x=1,2,3", "pause=3", "hydra/launcher=ray"]
    process = search.start(
        *line, f"hydra.launcher.address=ray://127.0.0.1:{cluster.client_port}",
        "hydra.sweeper.n_workers=2", "hydra.launcher.num_cpus=2",  # of three: one has to wait
    )  # fmt: skip
    search.wait_for(lambda: len(search.log()) == 2)
    ends_resumably(search, process, signal.SIGTERM, 143)
    assert cluster.nodes[0].process.poll() is None
    assert not (search.directory / "stagetree_studies" / "s" / "workers" / "1").exists()
    search.run(*line[:2])
    assert [trial.state for trial in search.trials()] == [TrialState.COMPLETE] * 3
    assert [point.split()[0] for _, point in search.log()] == ["x=1", "x=2", "x=2", "x=3"]


def ends_resumably(search, process, number: int, code: int) -> None:
    process.send_signal(number)
    _, err = search.end(process, code)
    assert "the same line again goes on" in err
    assert "Traceback" not in err
    running = [trial for trial in search.trials() if trial.state == TrialState.RUNNING]
    assert running
    assert all(trial.user_attrs["interrupted"] is True for trial in running)
