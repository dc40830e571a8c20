"""More workers than cores on one database: nothing lost, nothing twice."""

import pytest
from optuna import load_study
from optuna.trial import TrialState


@pytest.mark.slow
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
