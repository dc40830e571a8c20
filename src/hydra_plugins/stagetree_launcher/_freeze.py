"""The code and configuration of now, kept for jobs that start later."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import stagetree
from stagetree.core import project

_SOURCE = frozenset({".py", ".yaml", ".yml"})
_LIMIT = 20_000_000
"""Bytes above which a file is data, not code."""


@dataclass(frozen=True)
class Frozen:
    """A copy of the project's and our own source.

    Attributes:
        directory: Where it lies.
        moves: Each copied directory and its copy, the innermost first.
        paths: What goes first on a job's Python path.
        project: The project's directory in the copy, when it is one of stagetree's.
        files: How many files were copied.
    """

    directory: Path
    moves: tuple[tuple[str, str], ...]
    paths: tuple[str, ...]
    project: str
    files: int

    def move(self, path: str) -> str:
        """Return where the copy of a path is; the path itself when it was not copied."""
        return _moved(str(Path(path).resolve()), self.moves) if Path(path).is_absolute() else path


def freeze(home: Path) -> Frozen:
    """Copy the source that a job of this process would run; the same source only once.

    The program's directory and a stagetree that is not installed as a package are copied: what
    git tracks in them, and Python and YAML files that it does not ignore. Files above 20 MB are
    data and stay where they are.

    Args:
        home: Directory for the copies.
    """
    roots = _roots()
    listed = [(root, path) for root in roots for path in _files(root)]
    found = [(root, path, _digest(root / path)) for root, path in listed]
    name = hashlib.sha256(repr([(str(r), str(p), d) for r, p, d in found]).encode()).hexdigest()
    place = home / name[:12]
    moves = tuple((str(root), str(place / str(at))) for at, root in enumerate(roots))
    if not place.is_dir():
        _copy(found, roots, place)
    paths = tuple(dict.fromkeys(_moved(path, moves) for path in _python_path()))
    named = str(project.root())
    frozen = _moved(named, moves)
    return Frozen(place, moves, paths, "" if frozen == named else frozen, len(found))


def _roots() -> list[Path]:
    """Return the directories to copy, none inside of another."""
    program = Path(sys.argv[0]).resolve()
    named = [program.parent] if program.suffix == ".py" and program.is_file() else []
    if "STAGETREE_PROJECT" in os.environ:
        named.append(project.root())
    named.append(Path(stagetree.__file__).resolve().parents[1])
    mine = [place for place in dict.fromkeys(named) if not _installed(place)]
    return [place for place in mine if not any(other in place.parents for other in mine)]


def _installed(path: Path) -> bool:
    """Return whether a path belongs to the Python installation."""
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    bases = {Path(base).resolve() for base in (sys.prefix, sys.base_prefix)}
    return any(path == base / "bin" or base / "lib" in (path, *path.parents) for base in bases)


def _python_path() -> list[str]:
    """Return the parts of our Python path that a new Python would not have by itself."""
    paths = (Path(path).resolve() for path in sys.path if path)
    return [str(path) for path in paths if not _installed(path) and path.suffix != ".zip"]


def _files(root: Path) -> list[Path]:
    """Return the source below a directory, relative to it."""
    tracked = _git(root)
    if tracked is None:
        found = sorted(_walk(root))
    else:
        others = _git(root, "--others", "--exclude-standard") or []
        found = sorted({*tracked, *(path for path in others if path.suffix in _SOURCE)})
    return [path for path in found if _is_source(root / path)]


def _is_source(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= _LIMIT


def _git(root: Path, *which: str) -> list[Path] | None:
    """Return the files that git lists below a directory; ``None`` without git."""
    words = ["git", "ls-files", "-z", *(which or ("--cached",))]
    try:
        done = subprocess.run(words, cwd=root, capture_output=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    names = [name for name in os.fsdecode(done.stdout).split("\0") if name]
    return [Path(name) for name in names] if names or which else None


def _walk(root: Path) -> Iterator[Path]:
    """Yield Python and YAML files where there is no git, results and environments left out."""
    for place, folders, names in os.walk(root):
        here = Path(place)
        folders[:] = [name for name in folders if not _left_out(here / name)]
        for name in names:
            if Path(name).suffix in _SOURCE:
                yield (here / name).relative_to(root)


def _left_out(folder: Path) -> bool:
    if folder.name.startswith(".") or folder.name in {"__pycache__", "node_modules"}:
        return True
    marks = ("pyvenv.cfg", "journal.log", "store", "studies", ".hydra")
    return folder.name in {"multirun", "outputs"} or any((folder / mark).exists() for mark in marks)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _copy(found: Sequence[tuple[Path, Path, str]], roots: Sequence[Path], place: Path) -> None:
    """Copy the files and rename them into place as a whole."""
    partial = place.with_name(f"{place.name}.{secrets.token_hex(4)}.partial")
    for root, path, _ in found:
        target = partial / str(roots.index(root)) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / path, target)
    try:
        partial.rename(place)
    except OSError:  # another submission was faster
        shutil.rmtree(partial)
        if not place.is_dir():
            raise


def _moved(path: str, moves: Sequence[tuple[str, str]]) -> str:
    for old, new in moves:
        if path == old or path.startswith(old + os.sep):
            return new + path[len(old) :]
    return path
