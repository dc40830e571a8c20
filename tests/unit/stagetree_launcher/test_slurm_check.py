"""Faults of ``hydra/launcher=slurm``, on a machine whose Slurm is a few shell scripts."""

import pytest

from hydra_plugins.stagetree_launcher._slurm_check import check
from hydra_plugins.stagetree_launcher.slurm_config import SlurmLauncherConf
from stagetree.core.errors import ConfigError


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A function that puts commands on the PATH, which then has nothing else."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def install(**commands):
        for name, text in commands.items():
            file = tmp_path / name
            file.write_text(f"#!/bin/sh\n{text}\n")
            file.chmod(0o755)

    return install


@pytest.fixture
def cluster(machine):
    machine(sbatch="", srun="", squeue="", scancel="", sinfo="echo main; echo gpu; echo main")


def options(**changed):
    return {**vars(SlurmLauncherConf()), **changed}


def faults(**changed):
    with pytest.raises(ConfigError) as caught:
        check(options(**changed))
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.usefixtures("cluster")
def test_what_fits_passes():
    check(options())
    check(options(partition="main,gpu", timeout_min=5, signal_delay_s=60))


@pytest.mark.usefixtures("cluster")
def test_unknown_partition_is_named_with_those_that_exist():
    assert faults(partition="main,gpus") == [
        "hydra.launcher.partition: unknown partition 'gpus'. Did you mean 'gpu'? Known: gpu, main."
    ]


@pytest.mark.usefixtures("cluster")
def test_every_impossible_number_is_told_at_once():
    found = faults(nodes=0, mem_gb=-1, timeout_min=1, signal_delay_s=90)
    paths = [fault.partition(":")[0] for fault in found]
    assert paths == [f"hydra.launcher.{name}" for name in ("nodes", "mem_gb", "signal_delay_s")]
    assert found[2].endswith(
        "expected between 0 and timeout_min (60 s) for saving work but got 90 s"
    )


@pytest.mark.usefixtures("machine")
def test_without_slurm_another_launcher_is_named():
    (found,) = faults()
    assert "found no sbatch, srun, squeue, scancel" in found
    assert "hydra/launcher=local" in found


def test_silent_slurm_is_told(machine):
    machine(sbatch="", srun="", squeue="", scancel="", sinfo="echo no controller >&2; exit 1")
    assert faults() == ["hydra/launcher: Slurm does not answer: sinfo -h failed: no controller"]
