"""A storage on a server that may be away for a while: calls wait for it and are made once."""

from __future__ import annotations

import functools
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from stagetree.core.errors import StagetreeError
from stagetree.search import interrupts

_log = logging.getLogger(__name__)

OPENING = 10.0
"""Seconds for which opening waits for a server, unless told otherwise."""

PATIENCE = 300.0
"""Seconds for which a call waits for a server that was there before."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 3.0
_REMEMBERED = 1000


class StorageAwayError(StagetreeError):
    """The storage's server gave no answer for as long as was to be waited."""


class Line(Protocol):
    """How a server is reached."""

    @property
    def shown(self) -> str:
        """Its address as people may see it."""

    def is_away(self, error: Exception) -> bool:
        """Return whether an error means that the server, or the way to it, is gone for now."""

    def renewed(self, storage: BaseStorage) -> BaseStorage:
        """Return a storage that tries anew: the same one, or another in its place."""


def _patient(name: str) -> Any:
    def call(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        return self._patiently(name, *args, **kwargs)

    return call


class PatientStorage(BaseStorage):
    """Passes every call on; one that meets a server that is away is made again until it answers.

    A call may have taken effect although its answer was lost. Of those that would do harm twice,
    creating a trial and changing its state, the effect is looked for first: the count of trials
    stays exact and none is doubled, as long as a study's trials are created by one worker at a
    time, as :class:`~stagetree.search.places.Places` does.

    Args:
        storage: The storage.
        line: How its server is reached.
        patience: Seconds to wait; after that calls fail at once until the server answers again.
    """

    create_new_study: Any = _patient("create_new_study")
    delete_study: Any = _patient("delete_study")
    set_study_user_attr: Any = _patient("set_study_user_attr")
    set_study_system_attr: Any = _patient("set_study_system_attr")
    get_study_id_from_name: Any = _patient("get_study_id_from_name")
    get_study_name_from_id: Any = _patient("get_study_name_from_id")
    get_study_directions: Any = _patient("get_study_directions")
    get_study_user_attrs: Any = _patient("get_study_user_attrs")
    get_study_system_attrs: Any = _patient("get_study_system_attrs")
    get_all_studies: Any = _patient("get_all_studies")
    set_trial_param: Any = _patient("set_trial_param")
    set_trial_intermediate_value: Any = _patient("set_trial_intermediate_value")
    set_trial_user_attr: Any = _patient("set_trial_user_attr")
    set_trial_system_attr: Any = _patient("set_trial_system_attr")
    get_trial_id_from_study_id_trial_number: Any = _patient(
        "get_trial_id_from_study_id_trial_number"
    )
    get_trial: Any = _patient("get_trial")
    get_all_trials: Any = _patient("get_all_trials")

    def __init__(self, storage: BaseStorage, line: Line, patience: float = PATIENCE) -> None:
        self._storage = storage
        self._line = line
        self._patience = patience
        self._gave_up = False
        self._creating = threading.Lock()
        self._created: dict[tuple[int, datetime], int] = {}

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create a trial, once.

        What tells it from others is when it was started, to the microsecond: a caller that lost
        the answer repeats the very same template.
        """
        template = _dated(template_trial)
        find = functools.partial(self._find, study_id, template)
        if template.state.is_finished():
            return int(self._patiently("create_new_trial", study_id, template, settled=find))
        assert template.datetime_start is not None  # _dated
        mark = study_id, template.datetime_start
        with self._creating:  # a caller that repeats itself waits for its first call
            if mark not in self._created:
                made = self._patiently("create_new_trial", study_id, template, settled=find)
                self._created[mark] = int(made)
                if len(self._created) > _REMEMBERED:
                    del self._created[next(iter(self._created))]
            return self._created[mark]

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Change a trial's state, once."""
        told = functools.partial(self._told, trial_id, state, values)
        return bool(
            self._patiently("set_trial_state_values", trial_id, state, values, settled=told)
        )

    def remove_session(self) -> None:
        """See :class:`optuna.storages.BaseStorage`."""
        self._storage.remove_session()

    def _find(self, study_id: int, template: FrozenTrial) -> int | None:
        """Return the trial that was made of a template, if there is one."""
        for trial in reversed(self._storage.get_all_trials(study_id, deepcopy=False)):
            if (trial.datetime_start, trial.state) == (template.datetime_start, template.state):
                return trial._trial_id
        return None

    def _told(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None
    ) -> bool | None:
        """Return ``True`` if a trial is in a state already, with these values."""
        trial = self._storage.get_trial(trial_id)
        same = values is None or list(values) == trial.values
        return True if trial.state == state and same else None

    def _patiently(
        self,
        name: str,
        *args: Any,
        settled: Callable[[], Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Make a call until it is answered; before each repetition ask whether it is settled.

        Raises:
            StorageAwayError: There was no answer for too long, or we are asked to stop.
        """
        waiting = _Waiting(self._line.shown, 0.0 if self._gave_up else self._patience)
        while True:
            try:
                answer = settled() if settled and waiting.since is not None else None
                if answer is None:
                    answer = getattr(self._storage, name)(*args, **kwargs)
            except Exception as error:
                if not self._line.is_away(error):
                    raise
                self._gave_up = waiting.is_over()
                if self._gave_up:
                    raise waiting.error(error) from error
                waiting.pause(error)
                self._storage = self._line.renewed(self._storage)
            else:
                waiting.end()
                self._gave_up = False
                return answer


class _Waiting:
    """How long a call has waited, and what was said of it."""

    def __init__(self, shown: str, patience: float) -> None:
        self.shown = shown
        self.patience = patience
        self.since: float | None = None
        self._pause = 0.0
        self._warned = False

    def is_over(self) -> bool:
        if interrupts.is_pending():
            return True
        waited = 0.0 if self.since is None else time.monotonic() - self.since
        return waited >= self.patience

    def pause(self, error: Exception) -> None:
        """Wait: not at all the first time, as an idle connection may just have been cut."""
        if self.since is None:
            self.since = time.monotonic()
            return
        if not self._warned:
            self._warned = True
            _log.warning(
                "the storage %s does not answer (%s); waiting up to %.0f s for it",
                self.shown, reason(error), self.patience,
            )  # fmt: skip
        self._pause = min(_LONGEST_PAUSE, max(_FIRST_PAUSE, 2 * self._pause))
        end = time.monotonic() + self._pause * random.uniform(0.5, 1)
        while time.monotonic() < end and not interrupts.is_pending():
            time.sleep(_FIRST_PAUSE)

    def end(self) -> None:
        if self._warned and self.since is not None:
            waited = time.monotonic() - self.since
            _log.warning("the storage %s answers again after %.0f s", self.shown, waited)

    def error(self, error: Exception) -> StorageAwayError:
        waited = 0.0 if self.since is None else time.monotonic() - self.since
        return StorageAwayError(
            f"expected an answer of the storage {self.shown} but got none in {waited:.0f} s: "
            f"{reason(error)}. Once it is back, the same line goes on from here; "
            "hydra.sweeper.storage_patience=SECONDS waits longer."
        )


def innermost(error: BaseException) -> BaseException:
    """Return the error that all the others were raised from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def reason(error: BaseException) -> str:
    """Return the innermost cause of an error in a line."""
    error = innermost(error)
    details = getattr(error, "details", None)  # of gRPC, whose text is a page long
    text = str(details()) if callable(details) else str(error)
    lines = text.strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def _dated(template: FrozenTrial | None) -> FrozenTrial:
    """Return what a trial is made of, with a start that no other trial of the study has."""
    if template is not None and template.datetime_start is not None:
        return template
    if template is None:
        return _trial(TrialState.RUNNING)
    dated = _trial(template.state)
    for name in ("params", "distributions", "user_attrs", "system_attrs", "intermediate_values"):
        setattr(dated, name, getattr(template, name))
    if template.values is not None:
        dated.values = template.values
    dated.datetime_complete = template.datetime_complete
    return dated


def _trial(state: TrialState) -> FrozenTrial:
    return FrozenTrial(
        number=-1, trial_id=-1, state=state, value=None, params={}, distributions={},
        user_attrs={}, system_attrs={}, intermediate_values={},
        datetime_start=datetime.now(), datetime_complete=None,
    )  # fmt: skip
