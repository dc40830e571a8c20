"""PostgreSQL and its proxy go away in the middle of a search, which must come out the same."""

import os
import signal
import time

import pytest
from optuna.trial import TrialState

pytestmark = [pytest.mark.postgres, pytest.mark.faults]

TWO = "hydra.sweeper.n_workers=2"


def test_a_restart_longer_than_the_grace_of_leases_changes_nothing(
    server, database, sweeps, line, undisturbed, points_of, trials_of, end
) -> None:
    leases = ["hydra.sweeper.heartbeat=0.2", "hydra.sweeper.grace=1"]
    search = sweeps.start(database, *line, TWO, "pause=1", *leases)
    sweeps.wait_for_runs(3)
    server.stop()
    time.sleep(2)  # longer than the grace
    server.start()
    said = end(search)
    trials = trials_of(database)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 8
    assert [trial.number for trial in trials] == list(range(8))
    assert points_of(sweeps) == undisturbed["points"]
    assert not any("deaths" in trial.user_attrs for trial in trials)
    assert not sweeps.leases()
    assert "does not answer" in said
    assert "answers again after" in said
    assert "Traceback" not in said


def test_the_trial_of_a_killed_worker_is_continued_by_the_other(
    database, sweeps, line, undisturbed, points_of, trials_of, end
) -> None:
    search = sweeps.start(database, *line, TWO, "pause=1")
    sweeps.wait_for_runs(4)
    victim, point = sweeps.log()[-1].split(maxsplit=1)
    os.kill(int(victim), signal.SIGKILL)
    assert "was killed by SIGKILL; it is started again" in end(search)
    trials = trials_of(database)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 8
    assert points_of(sweeps) == sorted([*undisturbed["points"], point])
    assert [trial.user_attrs.get("deaths") for trial in trials].count(1) == 1


def test_a_storage_that_stays_away_ends_the_search_which_goes_on_later(
    server, database, sweeps, line, undisturbed, points_of, trials_of, end
) -> None:
    search = sweeps.start(database, *line, "pause=0.5", "hydra.sweeper.storage_patience=1")
    sweeps.wait_for_runs(2)
    server.stop()
    said = end(search, 1)
    server.start()
    assert "hydra.sweeper.storage_patience" in said
    assert "Traceback" not in said
    sweeps.run(database, *line, "pause=0.5")
    assert [trial.state for trial in trials_of(database)] == [TrialState.COMPLETE] * 8
    assert set(points_of(sweeps)) == set(undisturbed["points"])


def test_a_proxy_that_is_killed_and_started_again_changes_nothing(
    database, sweeps, line, undisturbed, points_of, trials_of, end
) -> None:
    proxy, said = sweeps.serve("--storage", database, "--port", "0")
    url = next(word for word in said.split() if word.startswith("grpc://")).rstrip(";")
    port = url.rpartition(":")[2]
    search = sweeps.start(url, *line, TWO, "pause=1")
    sweeps.wait_for_runs(3)
    proxy.kill()
    proxy.wait()
    proxy, _ = sweeps.serve("--storage", database, "--port", port)
    said = end(search)
    trials = trials_of(database)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 8
    assert [trial.number for trial in trials] == list(range(8))
    assert points_of(sweeps) == undisturbed["points"]
    assert "Traceback" not in said
    proxy.send_signal(signal.SIGINT)
    end(proxy, 130)
