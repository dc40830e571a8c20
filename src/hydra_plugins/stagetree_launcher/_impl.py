"""Starting, watching and stopping the processes of the ``local`` launcher."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus

from stagetree.core.interrupt import Terminated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig

THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
_CHILD = "hydra_plugins.stagetree_launcher._child"


def launch(
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    first: int,
) -> list[JobReturn]:
    """Run every job in a process of its own; see :meth:`LocalLauncher.launch`."""
    with tempfile.TemporaryDirectory(prefix="stagetree-") as folder:
        processes: list[subprocess.Popen[bytes]] = []
        with _forwarding(processes) as received:
            for place, overrides in enumerate(job_overrides):
                job = (context, task, config, list(overrides), first + place)
                payload = Path(folder) / f"{place}.job"
                payload.write_bytes(cloudpickle.dumps((Singleton.get_state(), job)))
                processes.append(_start(payload, place, len(job_overrides)))
            codes = [process.wait() for process in processes]
        if received:
            raise KeyboardInterrupt if received[0] == signal.SIGINT else Terminated
        return [_result(Path(folder) / f"{place}.result", code) for place, code in enumerate(codes)]


def _start(payload: Path, place: int, total: int) -> subprocess.Popen[bytes]:
    """Start one process, in a session of its own so that only we pass signals on to it."""
    files = [str(payload), str(payload.with_suffix(".result"))]
    return subprocess.Popen(
        [sys.executable, "-m", _CHILD, *files, str(os.getpid())],
        env=_environment(place, total),
        start_new_session=True,
    )


def _environment(place: int, total: int) -> dict[str, str]:
    """Return this process's environment with its share of cores and GPUs.

    Limits that the user has set stay.
    """
    environment = dict(os.environ)
    threads = max(1, _cores() // total)
    for name in THREAD_LIMITS:
        environment.setdefault(name, str(threads))
    if total > 1:
        environment["STAGETREE_SHARED_TERMINAL"] = "1"
    gpus = _gpus()
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return environment


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


def _gpus() -> list[str]:
    """Return the GPUs we may use, without importing torch for it."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device for device in visible.split(",") if device.strip()]
    nodes = Path("/proc/driver/nvidia/gpus")
    return [str(index) for index, _ in enumerate(nodes.iterdir())] if nodes.is_dir() else []


@contextlib.contextmanager
def _forwarding(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[list[int]]:
    """Pass SIGINT and SIGTERM on to the processes; the second one kills them.

    Yields the signals received so far.
    """
    received: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for process in processes:
            if process.poll() is None:
                process.send_signal(number if len(received) == 1 else signal.SIGKILL)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _result(file: Path, code: int) -> JobReturn:
    """Read what a process left, or say how it died."""
    with contextlib.suppress(FileNotFoundError, EOFError):
        result = cloudpickle.loads(file.read_bytes())
        assert isinstance(result, JobReturn)  # our own child wrote it
        return result
    lost = JobReturn()
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
    lost.return_value = RuntimeError(f"the process {how}")
    lost.status = JobStatus.FAILED
    return lost
