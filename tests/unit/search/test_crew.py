"""Who works on a study, read from its directory."""

import json
import subprocess
import sys

import pytest

from stagetree.core import submissions
from stagetree.core.lease import Lease
from stagetree.search.crew import crew

DEAD = """
import os, sys
from pathlib import Path
from stagetree.core.lease import Lease
held = [Lease(Path(path)) for path in sys.argv[1:]]
print([lease.try_acquire() for lease in held])
sys.stdout.flush()
os._exit(9)
"""


@pytest.fixture
def leases(tmp_path):
    return tmp_path / "leases"


def test_nobody_works_on_a_fresh_study(tmp_path):
    assert crew(tmp_path).members == ()


def test_local_worker_and_its_trial(tmp_path, leases):
    with Lease(leases / "worker-1.lock"), Lease(leases / "4.lock"):
        (member,) = crew(tmp_path).members
    assert (member.state, member.trial, member.job, member.here) == ("running", 4, "", True)


def test_dead_worker_is_shown_as_long_as_its_trial_waits(tmp_path, leases):
    files = [str(leases / "worker-1.lock"), str(leases / "4.lock")]
    subprocess.run([sys.executable, "-c", DEAD, *files], check=False, capture_output=True)
    (member,) = crew(tmp_path).members
    assert (member.state, member.trial, member.lives) == ("gone", 4, False)
    with Lease(leases / "4.lock"):
        assert crew(tmp_path).members == ()


def test_jobs_of_slurm_are_joined_with_their_leases(tmp_path, leases, monkeypatch):
    folder = tmp_path / "workers" / "slurm"
    folder.mkdir(parents=True)
    handed = submissions.Submission("slurm", ("7_0", "7_1"), "", "", "", "login", total=12)
    submissions.write(folder, handed)
    squeue = tmp_path / "squeue"
    squeue.write_text(
        "#!/bin/sh\necho '7_0|RUNNING|n1|2026-01-02T03:04:05|None'\n"
        "echo '7_1|PENDING||N/A|Resources'\n"
    )
    squeue.chmod(0o755)
    leases.mkdir()
    content = {"token": "t", "counter": 1, "machine": "n1 x", "pid": 5, "started": "1"}
    worker = {**content, "host": "n1", "worker": "7_0", "since": 3.0}
    (leases / "worker-1.lock").write_text(json.dumps(worker))
    (leases / "2.lock").write_text(json.dumps(worker))

    monkeypatch.setenv("PATH", str(tmp_path))
    found = crew(tmp_path)
    runs, waits = found.members
    assert (runs.job, runs.state, runs.host, runs.trial) == ("7_0", "running", "n1", 2)
    assert (waits.job, waits.state, waits.reason) == ("7_1", "pending", "Resources")
    assert found.total == 12
    assert not found.trouble

    squeue.unlink()
    blind = crew(tmp_path)
    assert [member.job for member in blind.members] == ["7_0"]
    assert "squeue is not on this machine" in blind.trouble
