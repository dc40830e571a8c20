"""Atomic writing: the old content or the new, never half, and no litter."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from stagetree.core.atomic import append_line, write_bytes, write_json, write_text

if TYPE_CHECKING:
    from pathlib import Path

LIMITED = """
import resource, signal, sys
from pathlib import Path
from stagetree.core.atomic import append_line, write_bytes
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
"""


def test_what_is_written_is_read_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    write_bytes(path, b"\x00new")
    assert path.read_bytes() == b"\x00new"
    write_text(path, "Zürich\n")
    assert path.read_text("utf-8") == "Zürich\n"
    write_json(path, {"a": [1, None]})
    assert json.loads(path.read_text()) == {"a": [1, None]}
    assert list(tmp_path.iterdir()) == [path]


def test_a_value_without_json_form_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, 1)
    for value, error in ((float("nan"), ValueError), (object(), TypeError)):
        with pytest.raises(error):
            write_json(path, value)
    assert path.read_text() == "1\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_directory_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_bytes(tmp_path / "none" / "a", b"")


def test_a_write_that_does_not_fit_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    code = LIMITED + f"write_bytes(Path({str(path)!r}), b'x' * 1000)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_lines_are_appended_after_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append_line(path, "one")
    with path.open("a") as file:
        file.write("to")
    append_line(path, "three")
    append_line(path, "")
    assert path.read_text() == "one\nto\nthree\n\n"


def test_more_than_one_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected one line"):
        append_line(tmp_path / "log", "a\nb")


def test_a_line_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "log"
    code = LIMITED + f"append_line(Path({str(path)!r}), 'x' * 1000)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "No space left" in done.stderr


def test_lines_of_several_processes_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "log"
    code = (
        "import sys; from pathlib import Path; from stagetree.core.atomic import append_line\n"
        f"for i in range(200): append_line(Path({str(path)!r}), sys.argv[1] * 500)"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, letter]) for letter in "abc"]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    lines = [line for line in path.read_text().splitlines() if line]
    assert len(lines) == 600
    assert {line[0] * 500 for line in lines} == set(lines)
