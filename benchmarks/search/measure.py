"""Whole processes by their CPU-seconds, turns, intervals, and results that outlive an interruption.

A process counts with everything it started, servers that outlive it too: whoever loses its parent
is adopted, ended and waited for. What a parent has not waited for (Ray's server ignores the end of
its workers, whose seconds the system then drops) counts by the last look at it, five a second.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe, table  # the other benchmarks' own

__all__ = ["Cost", "Results", "abba", "describe", "interval", "run", "table"]

_ADOPT = 36  # prctl's PR_SET_CHILD_SUBREAPER
_EVERY = 0.2


@dataclass(frozen=True)
class Cost:
    """What a process and all it started took.

    Attributes:
        cpu: CPU-seconds, user and system.
        wall: Seconds by the clock.
        load: Load of the machine before it started.
        curve: Pairs of seconds since 1970 and CPU-seconds until then, some five a second.
    """

    cpu: float
    wall: float
    load: float
    curve: Sequence[tuple[float, float]]

    def at(self, moment: float) -> float:
        """Return the CPU-seconds taken by then (seconds since 1970)."""
        times, taken = zip(*self.curve, strict=True)
        return float(np.interp(moment, times, taken))


def run(words: Sequence[str], log: Path, **variables: str) -> Cost:
    """Run a program with one thread in a fresh process; its output goes to ``log``.

    Raises:
        SystemExit: It failed; the message ends with its last lines.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_ADOPT, 1, 0, 0, 0)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **variables}
    load, start, before = os.getloadavg()[0], time.time(), _waited_for()
    with log.open("w") as file:
        process = subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT, env=environment)
        with _Watch(process.pid) as watch:
            failed = process.wait()
    end = time.time()
    _end_orphans()
    if failed:
        tail = "\n".join(log.read_text().splitlines()[-30:])
        raise SystemExit(f"{' '.join(words)}\nfailed with {failed}:\n{tail}")
    cpu = max(_waited_for() - before, watch.seen)
    return Cost(cpu, end - start, load, [(start, 0.0), *watch.curve, (end, cpu)])


def _waited_for() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _end_orphans() -> None:
    """End and wait for what lost its parent: only processes that were started by this one."""
    orphans = psutil.Process().children(recursive=True)
    for signal in (psutil.Process.terminate, psutil.Process.kill):
        for orphan in orphans:
            try:
                signal(orphan)
            except psutil.NoSuchProcess:
                continue
        _, orphans = psutil.wait_procs(orphans, timeout=10)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


class _Watch:
    """Notes from time to time how many CPU-seconds a process and all it started have taken.

    Attributes:
        curve: Pairs of seconds since 1970 and CPU-seconds until then.
    """

    def __init__(self, pid: int) -> None:
        self.curve: list[tuple[float, float]] = []
        self._root = psutil.Process(pid)
        self._own: dict[tuple[int, float], float] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._note, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    @property
    def seen(self) -> float:
        """CPU-seconds of every process at the last look at it, those that have ended too."""
        return sum(self._own.values())

    def _note(self) -> None:
        most = 0.0
        while not self._end.wait(_EVERY):
            most = max(most, self._look(), self.seen)
            self.curve.append((time.time(), most))

    def _look(self) -> float:
        """Return the CPU-seconds of who lives, with those of children they have waited for."""
        total = 0.0
        try:
            family = [self._root, *self._root.children(recursive=True)]
        except psutil.Error:
            return total
        for one in family:
            try:
                times = one.cpu_times()
                self._own[one.pid, one.create_time()] = times.user + times.system
            except psutil.Error:
                continue
            total += sum(times[:4])
        return total


class Results:
    """JSON lines, one a finished run: what stands there is not run again.

    Args:
        path: The file; made with the first line.
        settings: What all results depend on; lines of other settings are left alone.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._path = path
        self._settings = json.loads(json.dumps(settings))

    def get(self, stack: str, seed: int, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Return the row of a stack and a seed, which is made only where there is none."""
        for row in self._rows():
            if (row["stack"], row["seed"], row["settings"]) == (stack, seed, self._settings):
                return row
        found = {"stack": stack, "seed": seed, "settings": self._settings, **make()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps(found, default=asdict) + "\n")
        shown = {name: value for name, value in found.items() if isinstance(value, float)}
        told = ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
        print(f"seed {seed}: {stack}: {told}", file=sys.stderr, flush=True)
        return json.loads(json.dumps(found, default=asdict))  # type: ignore[no-any-return]

    def _rows(self) -> Iterator[dict[str, Any]]:
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        for line in lines:
            try:
                yield json.loads(line)
            except json.JSONDecodeError:  # the one that an interruption cut
                continue


def abba(seeds: int, stacks: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield seeds and stacks in turns: A B, B A, A B, ..."""
    for seed in range(seeds):
        for stack in stacks[:: -1 if seed % 2 else 1]:
            yield seed, stack


def interval(
    one: Iterable[float], other: Iterable[float], draws: int = 10_000
) -> tuple[float, float, float]:
    """Return the ratio of sums of pairs, and its bootstrap interval of 95 % over the pairs."""
    pairs = np.array([list(one), list(other)], dtype=float)
    chosen = np.random.default_rng(0).integers(pairs.shape[1], size=(draws, pairs.shape[1]))
    sums = pairs[:, chosen].sum(axis=2)
    low, high = np.quantile(sums[0] / sums[1], [0.025, 0.975])
    return float(pairs[0].sum() / pairs[1].sum()), float(low), float(high)
