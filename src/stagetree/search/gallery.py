"""All studies below a directory as one storage that is only read."""

from __future__ import annotations

import copy
import logging
import threading
from typing import TYPE_CHECKING, Any, NoReturn

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from stagetree.core.errors import StagetreeError
from stagetree.search import recorded, results

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

_log = logging.getLogger(__name__)

_SHARE = 10_000_000
"""Trial ids that each study has to itself."""


def _refuse(*_: object, **__: object) -> NoReturn:
    raise PermissionError("expected no changes: these studies are open for reading only")


class Gallery(BaseStorage):
    """The studies of a directory, each still in a storage of its own, as they grow.

    Studies that come later show up, too. Nothing below the directory is written, locked or
    mended; every change is refused with ``PermissionError``.

    Args:
        root: Directory that holds the studies' directories.
        only: Name of the only study's directory to show; ``None``: all of them.
    """

    create_new_study: Any = _refuse
    delete_study: Any = _refuse
    set_study_user_attr: Any = _refuse
    set_study_system_attr: Any = _refuse
    create_new_trial: Any = _refuse
    set_trial_param: Any = _refuse
    set_trial_state_values: Any = _refuse
    set_trial_intermediate_value: Any = _refuse
    set_trial_user_attr: Any = _refuse
    set_trial_system_attr: Any = _refuse

    def __init__(self, root: Path, only: str | None = None) -> None:
        self._root = root
        self._only = only
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._parts: list[tuple[BaseStorage, int]] = []

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return every study, those first that were found first."""
        found = []
        for number, (storage, own) in enumerate(self._found()):
            study = next(one for one in storage.get_all_studies() if one._study_id == own)
            shown = copy.copy(study)
            shown._study_id = number
            found.append(shown)
        return found

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return a study's id.

        Raises:
            KeyError: There is no such study.
        """
        for study in self.get_all_studies():
            if study.study_name == study_name:
                return study._study_id
        raise KeyError(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return a study's name."""
        storage, own = self._part(study_id)
        return storage.get_study_name_from_id(own)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return a study's directions."""
        storage, own = self._part(study_id)
        return storage.get_study_directions(own)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return what users noted on a study."""
        storage, own = self._part(study_id)
        return storage.get_study_user_attrs(own)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return what programs noted on a study."""
        storage, own = self._part(study_id)
        return storage.get_study_system_attrs(own)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial."""
        study_id, own = divmod(trial_id, _SHARE)
        return _numbered(self._part(study_id)[0].get_trial(own), study_id)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return a study's trials, by number."""
        storage, own = self._part(study_id)
        trials = storage.get_all_trials(own, deepcopy=deepcopy, states=states)
        return [_numbered(trial, study_id) for trial in trials]

    def _part(self, study_id: int) -> tuple[BaseStorage, int]:
        """Return a study's own storage, and its id there.

        Raises:
            KeyError: There is no such study.
        """
        with self._lock:
            if not 0 <= study_id < len(self._parts):
                raise KeyError(study_id)
            return self._parts[study_id]

    def _found(self) -> list[tuple[BaseStorage, int]]:
        """Look for new studies and return all of them."""
        names = results.list_studies(self._root)
        with self._lock:
            for name in names if self._only is None else [self._only]:
                if name not in self._known:
                    self._known.add(name)
                    self._parts += self._opened(name)
            return list(self._parts)

    def _opened(self, name: str) -> list[tuple[BaseStorage, int]]:
        try:
            storage = recorded.readable(self._root / name)
            studies = storage.get_all_studies()
            if recorded.storage_url(self._root / name):  # which has other people's, too
                studies = [study for study in studies if study.study_name == name]
            return [(storage, study._study_id) for study in studies]
        except (OSError, ValueError, KeyError, StagetreeError) as error:
            _log.warning("study %r cannot be read and is left out: %s", name, error)
            return []


def _numbered(trial: FrozenTrial, study_id: int) -> FrozenTrial:
    shown = copy.copy(trial)
    shown._trial_id = study_id * _SHARE + trial._trial_id
    return shown
