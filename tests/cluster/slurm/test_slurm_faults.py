"""Searches on a real Slurm whose workers are preempted, warned and killed."""

import os
import signal

import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.faults]


def test_preempted_and_warned_workers_continue_their_trials(search, undisturbed) -> None:
    process = search.start("pause=2")
    search.wait_for_starts(2)
    warned, preempted = sorted(search.jobs())
    node = search.jobs()[preempted]
    search.lab.tell("scancel", "--signal=USR2", warned)
    search.lab.tell("sbatch", "-phigh", f"-w{node}", "-o/dev/null", "--wrap=sleep 2")
    said = search.end(process)
    assert "died" not in said
    assert search.table == undisturbed
    for job in (warned, preempted):
        assert "Restarts=1" in search.lab.tell("scontrol", "show", "job", job)
    logs = search.study / "workers" / "slurm"
    assert f"job {warned} goes back into the queue" in (logs / f"{warned}_0_log.err").read_text()


def test_killed_worker_loses_nothing(search, undisturbed) -> None:
    process = search.start("pause=3")
    search.wait_for_starts(2)
    victim = search.starts()[-1]
    os.kill(int(victim.split()[0]), signal.SIGKILL)
    search.end(process)
    assert search.table == undisturbed
    again = [line.partition(" ")[2] for line in search.starts()]
    assert again.count(victim.partition(" ")[2]) == 2
    assert len(again) == 7
