"""Versions of a study: the same name asked a changed question, without losing its trials."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna

from stagetree.core.errors import Fault, StagetreeError, StudyMismatchError
from stagetree.search import difference, imports
from stagetree.search import study as studies
from stagetree.search.journal import FILE, open_storage
from stagetree.search.patient_storage import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from optuna import Study
    from optuna.storages import BaseStorage

    from stagetree.core.lease import Lease
    from stagetree.search.space import Space
    from stagetree.search.study import Fingerprint

_VERSION_OF = "stagetree:version_of"
_WAIT = 300.0


@dataclass(frozen=True)
class Version:
    """A study that is open.

    Attributes:
        study: The study.
        directory: Its directory.
        news: What a person must hear of it; empty unless this call made a new version.
    """

    study: Study
    directory: Path
    news: str = ""

    @property
    def name(self) -> str:
        """Its name."""
        return self.study.study_name

    @property
    def question(self) -> dict[str, Any]:
        """The question it answers, as plain data."""
        return studies.question_of(self.study) or {}


def open_or_create(
    directory: Path,
    name: str,
    fingerprint: Fingerprint,
    space: Space,
    url: str | None,
    seed: int | None,
    patience: float = PATIENCE,
) -> Version:
    """Open the version of a study that answers a question; several processes may do so at once.

    The first version is ``name``, the next ones are ``name-v2``, ``name-v3`` ..., studies of
    their own in directories beside the first. A question that was asked before opens its version
    again. One that differs in nothing but the search space opens a new version, which begins
    with the finished trials of all earlier versions that can be compared, as far as they lie in
    the new space. Each process that opens a version finds it whole: what was left by one that
    died while it imported is made anew.

    Args:
        directory: The directory of the study ``name``.
        name: Its name, or that of any of its versions.
        fingerprint: The question.
        space: The search space of the question.
        url: Database URL, or ``None`` for a journal file in each version's directory.
        seed: Seed of the samplers of a new study; ``None`` draws one, which the study keeps.
        patience: Seconds for which the study, once open, waits for a server that is away.

    Raises:
        StudyMismatchError: No version can be compared; lists every difference to the newest.
        StagetreeError: The study is held by another process for minutes.
    """
    first = _Family(directory, name, url, patience).first()
    with _held(first.directory):
        return _Opening(first, fingerprint, space, seed).open()


@contextlib.contextmanager
def _held(directory: Path) -> Iterator[Lease]:
    directory.mkdir(parents=True, exist_ok=True)
    lease = studies.study_lease(directory)
    if not lease.acquire(timeout=_WAIT, poll=0.05):
        raise StagetreeError(f"expected to open {directory} but another process holds {lease.path}")
    try:
        yield lease
    finally:
        lease.release()


@dataclass(frozen=True)
class _Family:
    """A study and its versions, where they lie; looks only, creates nothing."""

    directory: Path
    name: str
    url: str | None
    patience: float

    def first(self) -> _Family:
        """Return the family under the name of its first version."""
        study = self.load(1)
        base = study.user_attrs.get(_VERSION_OF) if study else None
        if base is None:
            return self
        place = self.directory.name.removesuffix(self.name.removeprefix(base))
        return dataclasses.replace(self, directory=self.directory.with_name(place), name=base)

    def storage(self, directory: Path) -> BaseStorage:
        """Open the storage of a version."""
        return open_storage(directory, self.url, patience=self.patience)

    def place(self, number: int) -> tuple[Path, str]:
        """Return directory and name of a version."""
        suffix = "" if number == 1 else f"-v{number}"
        return self.directory.with_name(f"{self.directory.name}{suffix}"), f"{self.name}{suffix}"

    def load(self, number: int) -> Study | None:
        """Return the study of a version's name, if there is one."""
        directory, name = self.place(number)
        if not self.url and not (directory / FILE).is_file():
            return None
        with contextlib.suppress(KeyError):
            return studies.load(directory, name, self.url, patience=self.patience)
        return None

    def versions(self) -> list[Version]:
        """Return the versions that somebody finished creating, oldest first."""
        found: list[Version] = []
        for number in self.numbers():
            study = self.load(number)
            ours = study and (number == 1 or study.user_attrs.get(_VERSION_OF) == self.name)
            if study and ours and studies.question_of(study):
                found.append(Version(study, self.place(number)[0]))
        return found

    def next(self) -> int:
        """Return the number of the next version: one never finished, or a new one."""
        taken = [number for number in self.numbers() if number > 1]
        free = [number for number in taken if self._is_left_over(number)]
        return min(free, default=max([1, *taken]) + 1)

    def numbers(self) -> list[int]:
        """Return the numbers of all names of this family that are taken, whoever took them."""
        if self.url:
            stem = self.name
            names = optuna.get_all_study_names(self.storage(self.directory))
        else:
            stem = self.directory.name
            names = [file.parent.name for file in self.directory.parent.glob(f"*/{FILE}")]
        pattern = re.compile(rf"{re.escape(stem)}(?:-v([2-9]|[1-9]\d+))?")
        matches = (pattern.fullmatch(name) for name in names)
        return sorted(int(match[1] or 1) for match in matches if match)

    def _is_left_over(self, number: int) -> bool:
        """Return whether a name holds nothing but what a process that died left of a version."""
        study = self.load(number)
        if study is None:
            directory, _ = self.place(number)
            return not optuna.get_all_study_names(self.storage(directory))
        ours = study.user_attrs.get(_VERSION_OF) == self.name
        return not studies.question_of(study) and (ours or not study.get_trials(deepcopy=False))


@dataclass(frozen=True)
class _Opening:
    """One opening, under the lease of the first version."""

    family: _Family
    fingerprint: Fingerprint
    space: Space
    seed: int | None

    def open(self) -> Version:
        asked = self.fingerprint.plain()
        known = self.family.versions()
        if not known:
            return self._first()
        differences = [difference.compare(version.question, asked) for version in known]
        for version, found in zip(known, differences, strict=True):
            if not found.faults:
                return version
        pairs = zip(known, differences, strict=True)
        sources = [(version, found) for version, found in pairs if found.compatible]
        if not sources:
            raise _refused(known[-1], differences[-1])
        parent, change = sources[-1]
        return self._next([version for version, _ in sources], parent, change)

    def _first(self) -> Version:
        """Create the study, or give one that plain Optuna created its question."""
        directory, name = self.family.place(1)
        wanted = list(self.fingerprint.directions)
        study = studies.create(name, wanted, self.family.storage(directory))
        has = studies.directions_of(study)
        if has != wanted:
            message = f"study {name!r} exists with {has}, this line asks {wanted}"
            raise StudyMismatchError([Fault("hydra.sweeper.direction", message)])
        studies.begin(study, self.fingerprint, self.seed)
        return Version(study, directory)

    def _next(
        self, sources: Sequence[Version], parent: Version, change: difference.Difference
    ) -> Version:
        """Create the next version with the trials of its sources in it."""
        number = self.family.next()
        directory, name = self.family.place(number)
        with _held(directory) as lease:
            if number != self.family.next():  # taken meanwhile, by a line with that very name
                return self._next(sources, parent, change)
            selection = imports.select(
                [(version.study, version.question) for version in sources],
                self.fingerprint.plain(),
                self.space,
            )
            study = self._empty(directory, name)
            study.set_user_attr(_VERSION_OF, self.family.name)
            for trial in selection.trials:
                lease.check()
                study.add_trial(trial)
            lease.check()
            studies.begin(study, self.fingerprint, self.seed)
        names = " and ".join(version.name for version in sources)
        news = f"study {name}: the space changed since {parent.name} ({change}); "
        return Version(study, directory, f"{news}{selection} of {names} imported")

    def _empty(self, directory: Path, name: str) -> Study:
        """Create a study without trials, in place of one that was never finished."""
        storage = self.family.storage(directory)
        with contextlib.suppress(KeyError):
            optuna.delete_study(study_name=name, storage=storage)
        return studies.create(name, self.fingerprint.directions, storage)


def _refused(newest: Version, found: difference.Difference) -> StudyMismatchError:
    hint = (
        f"study {newest.name!r} answers another question; its trials cannot be mixed with new "
        "ones. Repeat its own settings, or start another study with hydra.sweeper.study_name=NAME."
    )
    return StudyMismatchError([Fault("hydra.sweeper.study_name", hint), *found.faults])
