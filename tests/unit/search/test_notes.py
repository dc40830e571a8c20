import optuna
from optuna.trial import FrozenTrial, TrialState

from stagetree.search.notes import counts, crashed, ended, failed


def trial(state: TrialState, *, number: int = 0, x: float = 0.0, **notes: object) -> FrozenTrial:
    made = optuna.create_trial(
        state=state,
        value=1.0 if state == TrialState.COMPLETE else None,
        params={"x": x},
        distributions={"x": optuna.distributions.FloatDistribution(0, 9)},
        user_attrs={"notes": notes} if notes else {},
    )
    made.number = number
    return made


def test_how_a_trial_ended_is_finer_than_its_state() -> None:
    assert ended(trial(TrialState.RUNNING)) == ""
    assert ended(trial(TrialState.COMPLETE)) == "complete"
    assert ended(trial(TrialState.FAIL)) == "failed"
    assert ended(trial(TrialState.FAIL, ended="crashed")) == "crashed"
    assert ended(trial(TrialState.PRUNED, ended="infeasible")) == "infeasible"


def test_waiting_rejected_and_imported_trials_take_no_place() -> None:
    imported = trial(TrialState.COMPLETE)
    imported.set_user_attr("imported_from", "old#1")
    assert not counts(imported)
    assert not counts(trial(TrialState.WAITING))
    assert not counts(trial(TrialState.PRUNED, ended="rejected"))
    assert counts(trial(TrialState.RUNNING))
    assert counts(trial(TrialState.PRUNED, ended="infeasible"))


def test_what_did_not_fit_counts_as_failed() -> None:
    assert failed(trial(TrialState.FAIL, ended="crashed"))
    assert failed(trial(TrialState.PRUNED, ended="infeasible"))
    assert not failed(trial(TrialState.PRUNED, ended="pruned"))


def test_trials_that_crashed_are_forgiven_whether_run_again_or_not() -> None:
    first = trial(TrialState.FAIL, number=0, x=1.0, ended="crashed")
    other = trial(TrialState.FAIL, number=1, x=2.0, ended="failed")
    again = trial(TrialState.COMPLETE, number=2, x=1.0)
    assert crashed([first, other, again]) == {0}
