import logging
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState, create_trial

from stagetree.search.patient_storage import PatientStorage, StorageAwayError


class AwayError(Exception):
    pass


class Outages:
    """A server that is away for the next ``count`` calls of a name.

    ``after``: the calls take effect and only their answers are lost.
    """

    def __init__(self, inner: BaseStorage) -> None:
        self.inner = inner
        self.name, self.count, self.after = "", 0, False

    def plan(self, name: str, count: int = 1, *, after: bool) -> None:
        self.name, self.count, self.after = name, count, after

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            hit = name == self.name and self.count > 0
            if hit and not self.after:
                self.count -= 1
                raise AwayError("it is restarted")
            answer = getattr(self.inner, name)(*args, **kwargs)
            if hit:
                self.count -= 1
                raise AwayError("it is restarted")
            return answer

        return call


class Line:
    shown = "test://server"

    def is_away(self, error: Exception) -> bool:
        return isinstance(error, AwayError)

    def renewed(self, storage: BaseStorage) -> BaseStorage:
        return storage


@pytest.fixture
def server() -> Outages:
    return Outages(InMemoryStorage())


def opened(server: Outages, patience: float = 60) -> PatientStorage:
    return PatientStorage(server, Line(), patience)  # type: ignore[arg-type]


@pytest.fixture
def study(server: Outages) -> optuna.Study:
    return optuna.create_study(study_name="s", storage=opened(server))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "name",
    ["create_new_trial", "set_trial_state_values", "set_trial_param", "set_trial_user_attr",
     "set_trial_intermediate_value", "get_all_trials", "get_trial"],
)  # fmt: skip
def test_a_call_during_an_outage_takes_effect_once(
    server: Outages, study: optuna.Study, name: str, after: bool
) -> None:
    for number in range(3):
        server.plan(name, 2, after=after)
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.report(1.0, 1)
        trial.set_user_attr("note", number)
        study.tell(trial, float(number))
    found = study.trials
    assert [trial.number for trial in found] == [0, 1, 2]
    assert [trial.values for trial in found] == [[0.0], [1.0], [2.0]]
    assert [trial.state for trial in found] == [TrialState.COMPLETE] * 3
    assert [trial.user_attrs["note"] for trial in found] == [0, 1, 2]


def test_a_queued_point_whose_answers_are_lost_is_queued_and_taken_once(
    server: Outages, study: optuna.Study
) -> None:
    server.plan("create_new_trial", after=True)
    study.enqueue_trial({"x": 0.25})
    server.plan("set_trial_state_values", after=True)
    trial = study.ask()
    assert trial.suggest_float("x", 0, 1) == 0.25
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING]


def test_an_imported_trial_whose_answer_is_lost_is_there_once(
    server: Outages, study: optuna.Study
) -> None:
    for value in (1.0, 2.0):
        server.plan("create_new_trial", after=True)
        study.add_trial(create_trial(value=value))
    assert [trial.value for trial in study.trials] == [1.0, 2.0]


def test_equal_imported_trials_are_all_kept(study: optuna.Study) -> None:
    twin = create_trial(value=1.0)
    study.add_trials([twin, twin])
    assert len(study.trials) == 2


def test_a_caller_that_repeats_its_template_gets_the_trial_it_made(
    server: Outages, study: optuna.Study
) -> None:
    template = opened(server)
    mine = optuna.trial.FrozenTrial(
        number=-1, trial_id=-1, state=TrialState.RUNNING, value=None, params={}, distributions={},
        user_attrs={}, system_attrs={}, intermediate_values={},
        datetime_start=optuna.trial.create_trial(value=0.0).datetime_start, datetime_complete=None,
    )  # fmt: skip
    first = template.create_new_trial(study._study_id, mine)
    assert template.create_new_trial(study._study_id, mine) == first
    assert len(study.trials) == 1


def test_one_warning_when_the_waiting_begins_and_one_when_it_is_over(
    server: Outages, study: optuna.Study, caplog: pytest.LogCaptureFixture
) -> None:
    server.plan("get_all_trials", 4, after=False)
    with caplog.at_level(logging.WARNING):
        assert study.trials == []
    begun, over = [record.message for record in caplog.records]
    assert "test://server does not answer (it is restarted); waiting up to 60 s" in begun
    assert "test://server answers again" in over


def test_a_connection_that_was_merely_cut_is_not_worth_a_word(
    server: Outages, study: optuna.Study, caplog: pytest.LogCaptureFixture
) -> None:
    server.plan("get_all_trials", 1, after=False)
    assert study.trials == []
    assert caplog.records == []


def test_patience_ends_and_what_follows_fails_at_once_until_there_is_an_answer(
    server: Outages,
) -> None:
    storage = opened(server, patience=0.3)
    study = optuna.create_study(storage=storage)
    server.plan("get_all_trials", 10**6, after=False)
    with pytest.raises(StorageAwayError, match=r"the same line goes on from here"):
        study.get_trials()
    left = server.count
    with pytest.raises(StorageAwayError, match=r"got none in 0 s"):
        study.get_trials()
    assert server.count == left - 1
    server.plan("get_all_trials", 2, after=False)
    with pytest.raises(StorageAwayError):
        study.get_trials()
    server.plan("", after=False)
    assert study.get_trials() == []
    server.plan("get_all_trials", 1, after=False)
    assert study.get_trials() == []


def test_an_error_that_is_no_outage_passes_through(study: optuna.Study) -> None:
    with pytest.raises(KeyError):
        study._storage.get_study_id_from_name("nobody")
