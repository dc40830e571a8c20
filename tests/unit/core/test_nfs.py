"""What network file systems do otherwise is dealt with; the rest passes."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from stagetree.core import nfs


def failing(*numbers: int) -> tuple[list[int], object]:
    left = list(numbers)

    def call() -> str:
        if left:
            raise OSError(left.pop(0), "no")
        return "done"

    return left, call


def test_a_stale_handle_is_tried_again_and_other_errors_are_not() -> None:
    _, call = failing(errno.ESTALE, errno.ESTALE)
    assert nfs.again(call) == "done"  # type: ignore[arg-type]
    left, call = failing(errno.EACCES, errno.EACCES)
    with pytest.raises(PermissionError):
        nfs.again(call)  # type: ignore[arg-type]
    assert len(left) == 1


def test_a_file_that_stays_stale_is_gone() -> None:
    _, call = failing(*[errno.ESTALE] * 9)
    with pytest.raises(OSError, match="no") as error:
        nfs.again(call)  # type: ignore[arg-type]
    assert nfs.is_gone(error.value)


def test_a_rename_replaces_and_one_without_a_source_fails(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    two.write_text("2")
    nfs.rename(one, two)
    assert two.read_text() == "1"
    with pytest.raises(FileNotFoundError):
        nfs.rename(one, two)
    with pytest.raises(FileNotFoundError):
        nfs.rename(two, tmp_path / "nowhere" / "two")
    nfs.refresh(tmp_path / "a" / "b" / "c", tmp_path)
