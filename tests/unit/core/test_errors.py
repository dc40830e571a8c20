"""Errors: every fault listed, nearest names given, alive after crossing a process."""

from __future__ import annotations

import multiprocessing

import pytest

from stagetree.core.errors import (
    ConfigError,
    Fault,
    StagetreeError,
    StudyMismatchError,
    nearest,
    unknown,
)


def _raise(kind: type[ConfigError]) -> None:
    raise kind([Fault("a.b", "expected 1 but got 2"), Fault("", "nothing fits")])


@pytest.mark.parametrize("kind", [ConfigError, StudyMismatchError])
def test_all_faults_are_shown_and_survive_another_process(kind: type[ConfigError]) -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool, pytest.raises(kind) as caught:
        pool.apply(_raise, (kind,))
    assert str(caught.value) == "a.b: expected 1 but got 2\nnothing fits"
    assert caught.value.faults[0].path == "a.b"
    assert isinstance(caught.value, StagetreeError)


def test_nearest_is_empty_when_nothing_is_alike() -> None:
    assert nearest("temprature", ["temperature", "epochs"]) == "temperature"
    assert nearest("q", ["temperature"]) == ""


def test_unknown_without_a_near_name_only_lists() -> None:
    assert unknown("task", "zzz", ["ner"]) == "unknown task 'zzz'. Known: ner."
