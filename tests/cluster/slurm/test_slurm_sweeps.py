"""Searches on a real Slurm: what they leave, how they are watched, stopped and frozen."""

import os
import shutil
import signal
from dataclasses import replace

import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def test_search_is_watched_cancelled_and_resumed_from_anywhere(search, undisturbed) -> None:
    said = search.run("hydra.launcher.detach=true", "hydra.sweeper.n_workers=3", "pause=90")
    assert "submitted 3 workers to Slurm" in said
    assert "stagetree cancel stagetree_studies/s" in said
    search.wait_for_starts(2)

    seen = search.stagetree("status", str(search.study))
    members = {member["job"].rpartition("_")[2]: member for member in seen["workers"]}
    assert [members[task]["state"] for task in "012"] == ["running", "running", "pending"]
    assert members["0"]["host"] != members["1"]["host"]
    assert seen["total"] == 6
    assert seen["trials"]["running"] == 2
    assert {members["0"]["trial"], members["1"]["trial"]} <= set(range(6))

    gone = search.stagetree("cancel", str(search.study))
    assert sorted(gone["jobs"]) == sorted(member["job"] for member in members.values())
    assert gone["still_ending"] == []
    assert search.lab.tell("squeue", "-h") == ""
    left = search.stagetree("status", str(search.study))
    assert left["workers"] == []
    assert "running" not in left["trials"]

    said = search.run("pause=0")
    assert "died" not in said
    assert search.table == undisturbed
    script = next((search.study / "workers" / "slurm").glob("*_submission.sh")).read_text()
    assert "#SBATCH --signal=USR2@90" in script
    assert list((search.study / "workers" / "slurm").glob("*_log.out"))


def test_interrupted_line_cancels_its_jobs(search) -> None:
    process = search.start("pause=90")
    search.wait_for_starts(2)
    os.killpg(process.pid, signal.SIGINT)
    said = search.end(process, code=130)
    assert "the same line again goes on from here" in said
    assert search.lab.tell("squeue", "-h") == ""


def test_later_edits_do_not_reach_a_submitted_job(search, undisturbed) -> None:
    app = search.directory.with_name("project")
    shutil.copytree(search.app.parent, app)
    frozen = replace(search, app=app / "app.py")
    hold = "+hydra.launcher.additional_parameters={hold:true}"
    frozen.run("hydra.launcher.detach=true", "pause=0", hold)
    (app / "app.py").write_text("raise SystemExit('this is the edited program')\n")
    (app / "curve" / "good.yaml").write_text("offset: 1000.0\n")
    for job in frozen.lab.tell("squeue", "-hr", "-o%i").split():
        frozen.lab.tell("scontrol", "release", job)
    frozen.wait_for(lambda: not frozen.lab.tell("squeue", "-h"))
    assert frozen.table == undisturbed


def test_what_slurm_refuses_is_a_fault_of_the_configuration(search) -> None:
    said = search.run("hydra.launcher.mem_gb=9000", code=2)
    assert "hydra.launcher: Slurm refused the jobs: sbatch: error:" in said
    assert search.lab.tell("squeue", "-h") == ""
