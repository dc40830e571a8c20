"""The kept search and the kept script; neither needs a Slurm to be read."""

import subprocess


def test_kept_search_can_be_planned(command) -> None:
    plan = command.json("plan", "-m", "+sweep=cluster/slurm")
    assert plan["trials"] == 64


def test_kept_script_is_a_shell_script(project) -> None:
    script = project / "sweeps" / "cluster" / "worker.sbatch"
    subprocess.run(["bash", "-n", script], check=True)
