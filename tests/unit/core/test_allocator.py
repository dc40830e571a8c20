"""What the process keeps of freed memory; in processes of their own, each with a new heap."""

import ctypes
import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import contextlib, json, resource, sys
from pathlib import Path
from stagetree.core.allocator import keeps_memory

def step():
    buffers = [b"x" * (20 * 2**20) for _ in range(6)]
    del buffers

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

with keeps_memory() if sys.argv[1] == "keep" else contextlib.nullcontext():
    step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        step()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    inside = resident()
print(json.dumps({"faults": faults, "given back": inside - resident()}))
"""

pytestmark = pytest.mark.skipif(
    not (sys.platform == "linux" and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")),
    reason="it is glibc that is told",
)


def measured(way: str, **variables: str) -> dict[str, int]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, way],
        env={**clean, "GLIBC_TUNABLES": "", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_what_a_step_frees_serves_the_next_and_goes_back_at_the_end() -> None:
    kept = measured("keep")
    assert kept["faults"] < measured("none")["faults"] / 10
    assert kept["given back"] > 100 * 2**20


def test_an_environment_that_says_how_to_allocate_is_obeyed() -> None:
    own = {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"}
    assert measured("keep", **own)["faults"] > measured("none", **own)["faults"] / 2
