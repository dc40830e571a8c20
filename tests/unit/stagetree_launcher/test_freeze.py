"""What is copied for jobs that start later."""

import subprocess
import sys
from pathlib import Path

import pytest

from hydra_plugins.stagetree_launcher._freeze import freeze


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A program's directory with source, data and results."""
    root = tmp_path / "project"
    for name, text in {
        "run.py": "print(1)",
        "conf/config.yaml": "x: 1",
        "notes.txt": "kept by git",
        "new.py": "not added yet",
        "table.csv": "not added either",
        "runs/studies/s/0/config.yaml": "x: 2",
        "runs/store/.keep": "",
    }.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(sys, "argv", [str(root / "run.py")])
    monkeypatch.delenv("STAGETREE_PROJECT", raising=False)
    return root


def copied(frozen, root):
    copy = frozen.move(str(root))
    return {
        str(file.relative_to(copy)) for file in frozen.directory.rglob("*")
        if file.is_file() and file.is_relative_to(copy)
    }  # fmt: skip


def git(root, *words):
    subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)


def test_git_says_what_is_source(project, tmp_path):
    git(project, "init")
    (project / ".gitignore").write_text("runs/\n")
    git(project, "add", ".gitignore", "run.py", "conf", "notes.txt")
    frozen = freeze(tmp_path / "code")
    expected = {".gitignore", "run.py", "conf/config.yaml", "notes.txt", "new.py"}
    assert copied(frozen, project) == expected


def test_without_git_results_are_left_out(project, tmp_path):
    frozen = freeze(tmp_path / "code")
    assert copied(frozen, project) == {"run.py", "conf/config.yaml", "new.py"}


def test_same_source_is_copied_once_and_edits_make_another_copy(project, tmp_path):
    first, again = freeze(tmp_path / "code"), freeze(tmp_path / "code")
    assert first.directory == again.directory
    (project / "run.py").write_text("print(2)")
    edited = freeze(tmp_path / "code")
    assert edited.directory != first.directory
    assert Path(first.move(str(project / "run.py"))).read_text() == "print(1)"


def test_copies_come_first_on_the_path_and_the_python_installation_does_not(
    project, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(project))
    frozen = freeze(tmp_path / "code")
    assert frozen.paths[0] == frozen.move(str(project))
    assert not any("site-packages" in path for path in frozen.paths)
    assert frozen.move("/usr/share/x.yaml") == "/usr/share/x.yaml"
