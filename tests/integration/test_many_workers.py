"""More workers than cores on one database: nothing lost, nothing twice."""

import pytest
from optuna import load_study
from optuna.trial import TrialState


@pytest.mark.slow
@pytest.mark.thorough
def test_eight_workers_on_one_database_run_every_trial_once(shell) -> None:
    url = f"sqlite:///{shell.directory}/optuna.db"
    out = shell.run(
        "x=interval(-1,1)", "y=range(1,100)", "log=log", f"hydra.sweeper.storage='{url}'",
        "+hydra.sweeper.sampler._target_=optuna.samplers.RandomSampler",
        "hydra.sweeper.n_trials=200", "hydra.sweeper.n_workers=8",
    )  # fmt: skip
    assert "died" not in out
    assert "Traceback" not in out
    trials = load_study(study_name="s", storage=url).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 200
    assert len(shell.log()) == 200
    assert len({line.split(maxsplit=1)[1] for line in shell.log()}) == 200


def test_workers_get_disjoint_sets_of_gpus(shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,MIG-b,2,3,4")
    out = shell.run(
        "x=range(0,4)", "pause=1.5", "hydra.sweeper.n_workers=2", "hydra/launcher=local",
        "hydra.launcher.gpus_per_worker=2", "log='on-${oc.env:CUDA_VISIBLE_DEVICES}'",
    )  # fmt: skip
    assert "share" not in out
    names = sorted(path.name for path in shell.directory.glob("on-*"))
    assert names == ["on-2,3", "on-GPU-a,MIG-b"]


def test_more_gpus_in_a_worker_than_there_are_is_a_fault(shell, monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    out = shell.run(
        "x=1,2", "hydra.sweeper.n_workers=2", "+resources.gpus_per_trial=3", "log=log", code=2
    )
    assert "hydra.launcher.gpus_per_worker: expected 0 to 2, the visible GPUs, but got 3" in out
    assert shell.log() == []
