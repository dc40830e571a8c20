"""What a result was computed with: machine, versions, commit."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = ("stagetree", "torch", "transformers", "datasets", "onnxruntime", "numpy", "optuna")


def environment(numerics: str, directory: Path) -> dict[str, object]:
    """Return what may matter to somebody who cannot reproduce a result.

    Args:
        numerics: Resolved numerics of the run.
        directory: A directory inside the repository whose commit is meant.
    """
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "host": platform.node(),
        "device": gpu or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "numerics": numerics,
        "python": platform.python_version(),
        "versions": dict(_versions()),
        "commit": commit(directory),
    }


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = []
    for name in PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)


@functools.cache
def commit(directory: Path) -> str | None:
    """Return the git commit of a directory, ``-dirty`` when it was edited since.

    The environment variable ``STAGETREE_COMMIT`` names it where the code is a copy.
    """
    named = os.environ.get("STAGETREE_COMMIT")
    if named:
        return named
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
