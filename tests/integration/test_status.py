"""Who works on a study, told from outside, and stopping them."""

import json

import pytest
from optuna.trial import TrialState


@pytest.mark.slow
def test_local_workers_are_shown_stopped_and_resumed(shell, command_at) -> None:
    line = ["x=0,1", "log=log", "hydra.sweeper.n_workers=2", "hydra.sweeper.ignore=[pause]"]
    process = shell.start(*line, "pause=300")
    shell.wait_for_starts(2)
    command = command_at(shell.directory)

    def told(verb: str) -> dict:
        done = command.stagetree(verb, str(shell.study), "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    seen = told("status")
    pids = {int(start.split()[0]) for start in shell.log()}
    assert {member["pid"] for member in seen["workers"]} == pids
    assert {member["trial"] for member in seen["workers"]} == {0, 1}
    assert seen["trials"] == {"running": 2}

    gone = told("cancel")
    assert set(gone["processes"]) == pids
    assert gone["still_ending"] == []
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert told("status")["trials"] == {"interrupted": 2}
    assert told("cancel")["processes"] == []

    shell.run(*line)
    assert [trial.state for trial in shell.trials()] == [TrialState.COMPLETE] * 2
    assert [trial.params["x"] for trial in shell.trials()] == [0, 1]


def test_unknown_study_is_named(command) -> None:
    for verb in ("status", "cancel"):
        done = command.stagetree(verb, "nosuch", "--root", str(command.root))
        assert done.returncode == 2
        assert "unknown study 'nosuch'" in done.stderr
