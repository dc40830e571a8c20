"""Reading Slurm's commands, which are shell scripts here."""

import pytest

from stagetree.core import slurm


@pytest.fixture
def command(tmp_path, monkeypatch):
    """A function that makes a command of this name the only one on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def install(name, text):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)

    return install


def test_queue_tells_of_the_jobs_that_were_asked_for(command):
    command(
        "squeue",
        "echo '7_0|RUNNING|n1|2026-01-02T03:04:05|None'\n"
        "echo '7_1|PENDING||N/A|Resources'\n"
        "echo '7_2|CANCELLED|n1|2026-01-02T03:04:05|None'\n",
    )
    found = slurm.queue(["7_0", "7_1"])
    assert found["7_0"] == slurm.SlurmJob("7_0", "RUNNING", "n1", "2026-01-02T03:04:05")
    assert found["7_1"] == slurm.SlurmJob("7_1", "PENDING", reason="Resources")
    assert set(found) == {"7_0", "7_1"}
    assert not found["7_1"].ended
    assert slurm.queue(["7_2"])["7_2"].ended


def test_forgotten_jobs_are_not_in_the_queue(command):
    command("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert slurm.queue(["7_0"]) == {}


def test_trouble_is_told_with_slurms_own_words(command):
    with pytest.raises(slurm.SlurmError, match="squeue is not on this machine"):
        slurm.queue(["7"])
    command("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(slurm.SlurmError, match="squeue -h failed: Unable to contact"):
        slurm.queue(["7"])
    assert slurm.queue([]) == {}
