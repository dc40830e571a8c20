"""Which GPUs and how many threads each of several processes gets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from stagetree.core.errors import ConfigError, Fault
from stagetree.core.threads import THREAD_LIMITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """Return the GPUs we may use, without importing torch for it.

    Names of GPUs and of their slices (``GPU-...``, ``MIG-...``) stay as they are.
    """
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        nodes = Path("/proc/driver/nvidia/gpus")
        return [str(index) for index, _ in enumerate(nodes.iterdir())] if nodes.is_dir() else []
    devices: list[str] = []
    for word in visible.split(","):
        if not word.strip() or word.strip().startswith("-"):
            break  # CUDA, too, sees only what stands before
        devices.append(word.strip())
    return devices


def gpu_sets(devices: Sequence[str], size: int | None, path: str) -> list[str]:
    """Share GPUs out in disjoint sets, each in the form of ``CUDA_VISIBLE_DEVICES``.

    Args:
        devices: The GPUs; where none were found nothing is shared out, as there may be
            accelerators of another kind.
        size: GPUs of a set; ``None``: one.
        path: Config path of the size.

    Raises:
        ConfigError: A set needs more GPUs than there are.
    """
    if size == 0:
        return [""]
    if size is not None and (size < 0 or 0 < len(devices) < size):
        raise ConfigError(
            [Fault(path, f"expected 0 to {len(devices)}, the visible GPUs, but got {size}")]
        )
    step = size or 1
    return [
        ",".join(devices[start : start + step]) for start in range(0, len(devices) - step + 1, step)
    ]


def sharing(workers: int, sets: Sequence[str]) -> str:
    """Say that workers must share GPUs; empty when they need not."""
    if workers <= len(sets) or not any(sets):
        return ""
    count = sets[0].count(",") + 1
    each = "" if count == 1 else f" of {count} GPUs"
    what = "GPU" if count == 1 else "set"
    plural = "" if len(sets) == 1 else "s"
    return f"{workers} workers share {len(sets)} {what}{plural}{each}"


def thread_limits(
    environment: Mapping[str, str], workers: int, threads: int | None
) -> dict[str, str]:
    """Return the variables that limit a worker's threads.

    Args:
        environment: What is set in it stays, unless ``threads`` says otherwise.
        workers: How many share the cores of this machine.
        threads: Threads of each; ``None``: its share of the cores.
    """
    share = str(threads or max(1, _cores() // workers))
    return {name: share if threads else environment.get(name, share) for name in THREAD_LIMITS}


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1
