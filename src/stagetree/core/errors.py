"""Errors that a user can act on: what was expected, what was got, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class StagetreeError(Exception):
    """Base of every error that stagetree raises on purpose."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a configuration.

    Attributes:
        path: Dotted config path the fault is about, e.g. ``stages.distill.teacher``.
        message: What was expected, what was got, what to do.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(StagetreeError):
    """A configuration cannot be run; every fault found is listed, not only the first.

    Attributes:
        faults: All faults, in the order of the configuration.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Fault, ...]]]:
        return (type(self), (self.faults,))


class DataError(StagetreeError):
    """Input data cannot be used; the message names file, line, expectation and finding."""


class ModelError(StagetreeError):
    """A model directory or checkpoint cannot be used."""


class AssetError(StagetreeError):
    """A pinned asset is missing, altered or cannot be fetched."""


class StoreError(StagetreeError):
    """The store of stage results cannot be read or written."""


class StudyMismatchError(ConfigError):
    """A study of this name exists with another objective or search space."""


class TrialPruned(StagetreeError):  # noqa: N818 - an outcome, not a fault; Optuna's own word
    """The trial was stopped early because its peers do better."""


class TrialFailed(StagetreeError):  # noqa: N818 - an outcome that is recorded
    """The trial cannot give a value, e.g. its loss is not a number; retrying will not help."""


class OutOfMemory(TrialFailed):
    """A stage does not fit into this machine's memory, not even one example at a time."""


def nearest(name: str, options: Iterable[str]) -> str:
    """Return the option most like ``name``, or an empty string when none is alike.

    >>> nearest("fintune", ["finetune", "distill"])
    'finetune'
    >>> nearest("xyz", ["finetune"])
    ''
    """
    matches = difflib.get_close_matches(name, list(options), n=1, cutoff=0.6)
    return matches[0] if matches else ""


def unknown(what: str, name: str, options: Iterable[str]) -> str:
    """Say that ``name`` is not a known ``what``, with the nearest valid name and the whole list.

    >>> unknown("stage", "fintune", ["distill", "finetune"])
    "unknown stage 'fintune'. Did you mean 'finetune'? Known: distill, finetune."
    """
    known = sorted(options)
    close = nearest(name, known)
    hint = f" Did you mean {close!r}?" if close else ""
    listed = f"Known: {', '.join(known)}." if known else "There is none."
    return f"unknown {what} {name!r}.{hint} {listed}"
