"""Summaries of studies: kept as long as the study stays as it was."""

import os
from pathlib import Path

import optuna
import pytest

from stagetree.cli.summaries import CACHE, summaries
from stagetree.search.journal import FILE, open_storage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with two studies of one trial."""
    for name in ("a", "b"):
        add_trial(tmp_path, name, 1.0)
    return tmp_path


def add_trial(root: Path, name: str, value: float) -> None:
    place = root / "studies" / name
    place.mkdir(parents=True, exist_ok=True)
    (place / FILE).touch()
    study = optuna.create_study(
        study_name=name, storage=open_storage(place, None), load_if_exists=True
    )
    study.tell(study.ask(), value)


def test_a_study_is_read_again_when_it_has_changed(root: Path) -> None:
    first = summaries(root)
    assert [(row["name"], row["trials"], row["best"]) for row in first] == [
        ("a", 1, 1.0),
        ("b", 1, 1.0),
    ]
    add_trial(root, "b", 0.5)
    assert [(row["trials"], row["best"]) for row in summaries(root)] == [(1, 1.0), (2, 0.5)]


def test_a_study_that_stays_as_it_was_is_not_read_again(root: Path) -> None:
    before = summaries(root)
    stat = (root / "studies" / "a" / FILE).stat()
    text = (root / "studies" / "a" / FILE).read_bytes()
    (root / "studies" / "a" / FILE).write_bytes(b"x" * len(text))
    os.utime(root / "studies" / "a" / FILE, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert summaries(root) == before


def test_a_damaged_cache_and_studies_that_are_gone_are_forgotten(root: Path) -> None:
    before = summaries(root)
    (root / "cache" / CACHE).write_text("{", encoding="utf-8")
    assert summaries(root) == before
    (root / "studies" / "a" / FILE).unlink()
    assert [row["name"] for row in summaries(root)] == ["b"]
    assert '"a"' not in (root / "cache" / CACHE).read_text(encoding="utf-8")


def test_without_studies_there_is_nothing(tmp_path: Path) -> None:
    assert summaries(tmp_path) == []
    assert not (tmp_path / "cache").exists()
