"""Running configurations again with other seeds: one after the other, or several at a time."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from omegaconf import DictConfig, OmegaConf

from stagetree.core import interrupt
from stagetree.core.errors import StagetreeError, TrialFailed
from stagetree.core.reporting import Reporters, RunInfo
from stagetree.core.trials import StageRow
from stagetree.pipeline import commandline, runner
from stagetree.pipeline.compose import compose
from stagetree.pipeline.nodes import Pipeline
from stagetree.pipeline.opening import store_of
from stagetree.pipeline.store import Store
from stagetree.tracking.record import SUMMARY

JOB_TYPE = "confirm"
"""What trackers call these runs."""


@dataclass(frozen=True)
class Rerun:
    """One candidate with one seed.

    Attributes:
        candidate: Name of the candidate.
        seed: The seed.
        words: Overrides that compose it.
        directory: Where its record is kept.
        study: Name of the study it comes from.
        number: The trial it repeats, if it is one's.
        params: Its hyperparameters by displayed name.
    """

    candidate: str
    seed: int
    words: tuple[str, ...]
    directory: Path
    study: str
    number: int | None = None
    params: Mapping[str, object] = field(default_factory=dict)


Heard = Callable[[Rerun, str], None]
"""Called after each run with what made it fail, if anything."""


def load(rerun: Rerun) -> tuple[DictConfig, Pipeline]:
    """Compose a rerun.

    Raises:
        ConfigError: It cannot be composed today.
    """
    config = commandline.load(rerun.words)
    return config, compose(config)


def stages(rerun: Rerun, pipeline: Pipeline, store: Store) -> list[StageRow] | None:
    """Return the stages of a finished rerun, or ``None`` if it is still to be run."""
    try:
        found = json.loads((rerun.directory / SUMMARY).read_text(encoding="utf-8"))
        rows = [StageRow(**stage) for stage in found["stages"]]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    same = [row.signature for row in rows] == [node.signature for node in pipeline.nodes]
    done = found.get("status") == "complete" and same
    return rows if done and store.here(rows[-1].signature) else None


def run_all(reruns: Sequence[Rerun], workers: int, heard: Heard) -> None:
    """Run what is given; results lie in the store afterwards, records in the directories.

    Stages that the store has are not run, so one may call this again after an interruption.

    Args:
        reruns: What to run.
        workers: How many processes run at a time; 1 stays in this one.
        heard: Hears of each finished run.

    Raises:
        StagetreeError: A worker died, or the store cannot be written.
    """
    if workers == 1 or len(reruns) < 2:
        for rerun in reruns:
            heard(rerun, perform(rerun, brief=not sys.stderr.isatty()))
        return
    count = min(workers, len(reruns))
    with _pool(count) as pool:
        threads = max(1, (os.cpu_count() or 1) // count)
        asked = {pool.submit(_work, one, threads): one for one in reruns}
        for done in as_completed(asked):
            try:
                heard(asked[done], done.result())
            except BrokenExecutor as error:
                raise StagetreeError(f"a worker process died: {error}") from error


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of fresh processes that end with us, also when we are interrupted."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
    try:
        yield pool
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """Set a worker up: it can be asked to end, and leaves standard output to the outcome."""
    os.dup2(2, 1)
    interrupt.raise_on_sigterm()


def _work(rerun: Rerun, threads: int) -> str:
    """Run one in a worker; one that was asked to end begins nothing more."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        raise interrupt.Terminated
    return perform(rerun, brief=True, threads=threads)


def perform(rerun: Rerun, *, brief: bool, threads: int | None = None) -> str:
    """Run one to its end; return why it gave no value, or nothing when it did.

    Args:
        rerun: What to run.
        brief: Say only which stages were computed.
        threads: CPU threads, where neither configuration nor environment say how many.
    """
    from stagetree.report.console import ConsoleProgress
    from stagetree.tracking.base import trackers

    config, pipeline = load(rerun)
    if "job_type" in config.tracker and config.tracker.job_type is None:
        config.tracker.job_type = JOB_TYPE
    limit = config.threads or (threads if "OMP_NUM_THREADS" not in os.environ else None)
    if limit:
        runner.limit_threads(int(limit))
    progress = [ConsoleProgress(pipeline.objective.name, brief=brief)] if config.progress else []
    listeners = Reporters([*trackers(config.tracker, Path(config.paths.root)), *progress])
    store = store_of(config)
    try:
        runner.run(pipeline, store, Path(config.paths.cache), listeners, _info(rerun, config))
    except TrialFailed as error:
        return str(error)
    return ""


def _info(rerun: Rerun, config: DictConfig) -> RunInfo:
    return RunInfo(
        name=f"{rerun.study}/confirm/{rerun.candidate}, seed {rerun.seed}",
        directory=rerun.directory,
        config=cast("dict[str, object]", OmegaConf.to_container(config, resolve=True)),
        overrides=rerun.words,
        study=rerun.study,
        number=rerun.number,
        params=rerun.params,
        command=shlex.join(["python", "run.py", *rerun.words]),
    )
