"""Where a project's ``conf``, ``experiments`` and ``sweeps`` lie."""

from __future__ import annotations

import os
from pathlib import Path

FOLDERS = {"experiment": "experiments", "sweep": "sweeps"}
"""Config groups that lie beside ``conf`` instead of in it, and their folders."""


def root() -> Path:
    """Return the project directory: the one that holds ``conf/config.yaml``.

    Looked for in this order: the environment variable ``STAGETREE_PROJECT``, the working
    directory and its parents, the source checkout that this package runs from, the copy inside
    the installed package.
    """
    named = os.environ.get("STAGETREE_PROJECT")
    if named:
        return Path(named).resolve()
    here = Path.cwd().resolve()
    package = Path(__file__).resolve().parents[1]
    for place in (here, *here.parents, package.parents[1], package / "_project"):
        if (place / "conf" / "config.yaml").is_file() and (place / "conf" / "stage").is_dir():
            return place
    return package / "_project"


def set_root(directory: Path) -> None:
    """Make ``directory`` the project directory of this process and its children."""
    os.environ["STAGETREE_PROJECT"] = str(directory)
