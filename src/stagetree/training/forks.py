"""Runs that are the same up to some step train it once: a later one forks from a stored checkpoint.

Under a schedule that is constant for a while, runs that differ only in how long they train, or in
when and how long the rate falls, have the same weights until the rate of one of them begins to
fall. Each leaves checkpoints of that part, and starts from the furthest one that lies there.

What all steps of a checkpoint were trained as has a name, the trunk's. It covers everything that
can change a bit of the weights: what a stage's signature covers, less how long training goes on,
and the warm-up in steps, the phases in steps, the steps of a pass, micro-batches, threads and
versions. A run that went on from a checkpoint of another name leaves none.
"""

from __future__ import annotations

import json
import logging
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
import transformers

from stagetree.core import atomic
from stagetree.models.adapter_config import AdapterMethod
from stagetree.training import checkpoint
from stagetree.training.checkpoint import Checkpoint, Checkpoints
from stagetree.training.progress import Progress
from stagetree.training.schedule import STEADY, steady_until, warmup_steps

if TYPE_CHECKING:
    from stagetree.training.config import TrainingConfig
    from stagetree.training.learner import Learner
    from stagetree.training.steps import Steps

logger = logging.getLogger(__name__)

FORKED = "forked.json"
"""Name of the file in a stage's scratch directory that says from where it was forked."""


class Trunks(Protocol):
    """Keeps checkpoints that several runs may start from."""

    def name(self, fields: Mapping[str, object]) -> str:
        """Return the trunk's name: a digest of what the stage is, and of these plain values."""

    def claim(self, trunk: str, steps: Sequence[int], reached: int) -> None:
        """Be the one run that trains the trunk, or wait until another has left what is of use.

        Args:
            trunk: The trunk.
            steps: Steps after which this run leaves checkpoints, in order; after the last one it
                leaves the trunk.
            reached: Step that the run has reached by itself.
        """

    def release(self) -> None:
        """Let others train the trunk, unless another run held it."""

    def before(self, trunk: str, step: int) -> Sequence[Path]:
        """Return its checkpoints after at most ``step`` steps, the furthest first."""

    def keep(self, trunk: str, directory: Path, fork: bool) -> None:
        """Keep a checkpoint, of which ``fork`` says that its run leaves the trunk there."""

    def drop(self, place: Path) -> None:
        """Forget a damaged checkpoint that :meth:`before` returned."""


class Unfit(Exception):  # noqa: N818 - an outcome
    """A checkpoint of the trunk does not serve a run; the message says why."""


class Forks:
    """The forks of one run.

    Attributes:
        trunk: Name of what the run's steps are trained as; empty when nothing is shared.
        step: Step after which the run leaves the trunk.

    Args:
        trunks: Where checkpoints lie; without it (several processes) nothing is shared.
        learner: What is trained.
        config: How.
        steps: Its steps.
        facts: Plain values beside the options that can change weights or scores.
        scratch: The stage's directory for partial work.
    """

    def __init__(
        self,
        trunks: Trunks | None,
        learner: Learner,
        config: TrainingConfig,
        steps: Steps,
        facts: Mapping[str, object],
        scratch: Path,
    ) -> None:
        self._config = config
        self._steps = steps
        self._record = scratch / FORKED
        self.trunk, self.step, self._pure = "", 0, True
        self._trunks = trunks if config.schedule in STEADY else None
        self._earlier, self._started = 0.0, time.perf_counter()
        if self._trunks is None:
            return
        why = _own_way(learner, config)
        if why:
            self._trunks = None
            self._tell({"why": why})
            return
        self.step = steady_until(config, steps.total)
        self.trunk = self._trunks.name({**_facts(learner, config, steps), **facts})

    def begin(self, checkpoints: Checkpoints) -> Checkpoint | None:
        """Return the last checkpoint, of the run's own or from the trunk, whichever is further.

        While another run trains a part of the trunk that this one could start from, it waits.
        """
        last = self._furthest(checkpoints)
        self._started = time.perf_counter()
        if last is not None:
            self._earlier = last.seconds
            self._pure = last.trunk == self.trunk
            if not self._pure or last.step >= self.step:
                self.close()
        return last

    def close(self) -> None:
        """Let others train the trunk."""
        if self._trunks is not None:
            self._trunks.release()

    def _furthest(self, checkpoints: Checkpoints) -> Checkpoint | None:
        own = checkpoints.last()
        if self._trunks is None:
            return own
        if own is None or own.step < self.step:
            passed = [step for step in self._steps.evaluations if step < self.step]
            self._trunks.claim(self.trunk, [*sorted(passed), self.step], own.step if own else 0)
        reached, why = own.step if own else 0, ""
        for place in self._trunks.before(self.trunk, self.step):
            try:
                found = Checkpoint.read(place)
                if found.step <= reached:
                    break
                progress = self._fitting(found)
                if own is not None:
                    found.verify()  # planting replaces what there is
                checkpoints.plant(found, progress)
            except Unfit as error:
                why = why or str(error)
                continue
            except checkpoint.DAMAGE as error:
                self._drop(place, error)
                continue
            planted = checkpoints.last()
            if planted is not None and planted.step == found.step:
                seconds = found.seconds - (own.seconds if own else 0.0)
                self._tell({"step": found.step, "of": self._steps.total, "seconds": seconds})
                return planted
            self._drop(place, "it fails its checksums")
        if own is None:
            self._tell({"why": why or f"no checkpoint of its first {self.step} steps is stored"})
        return own

    def due(self, step: int) -> bool:
        """Return whether a checkpoint after ``step`` steps belongs to the trunk and is wanted."""
        wanted = step == self.step or step in self._steps.evaluations
        return self._trunks is not None and self._pure and wanted and step <= self.step

    def commit(self, checkpoints: Checkpoints, progress: Progress, step: int, shared: bool) -> Path:
        """Seal the checkpoint that is being written; keep it for others if it is ``shared``."""
        trunk = self.trunk if self._pure else ""
        seconds = self._earlier + time.perf_counter() - self._started
        made = checkpoints.commit(checkpoints.partial, progress, step, trunk, seconds)
        if shared and self._trunks is not None:
            self._trunks.keep(trunk, made, step == self.step)
        if step >= self.step:
            self.close()
        return made

    def _fitting(self, found: Checkpoint) -> Progress:
        """Return a checkpoint's evaluations as this run would have made them.

        Raises:
            Unfit: It would have made others, would keep other weights as the best, or stop.
        """
        made = {evaluation.step: evaluation for evaluation in found.progress.evaluations}
        own = [step for step in self._steps.evaluations if step <= found.step]
        if not made.keys() >= set(own):
            raise Unfit("scored after other steps; evaluate_every scores after the same")
        progress = replace(found.progress, evaluations=[])
        for step in sorted(own):
            fraction = self._steps.evaluations[step]
            progress.evaluations.append(replace(made[step], fraction=fraction))
            last = step == found.step == self._steps.total
            if not last and progress.over(self._steps.total, self._config.patience):
                raise Unfit("it would have stopped early before")
        if own and made[progress.evaluations[progress.best].step] is not _best(found.progress):
            raise Unfit("the stored best weights are of a step after which this run is not scored")
        return progress

    def _drop(self, place: Path, error: object) -> None:
        logger.warning("stored checkpoint %s is damaged or gone, not used: %s", place, error)
        if self._trunks is not None:
            self._trunks.drop(place)

    def _tell(self, facts: Mapping[str, Any]) -> None:
        if "why" in facts:
            if self._record.exists():
                return
            logger.info("nothing of this training was there already: %s", facts["why"])
        else:
            logger.info(
                "starts after step %d of %d, from a stored checkpoint", facts["step"], facts["of"]
            )
        atomic.write_json(self._record, dict(facts))


def forked(scratch: Path) -> dict[str, Any]:
    """Return what a stage's scratch directory says of the fork: ``step``, ``of``, ``seconds``.

    Where nothing was shared although the schedule allows it, ``why``; else nothing.
    """
    try:
        found = json.loads((scratch / FORKED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _best(progress: Progress) -> Any:
    return progress.evaluations[progress.best]


def _own_way(learner: Learner, config: TrainingConfig) -> str:
    """Return why every step depends on how long training goes on, or cannot be shared."""
    if not config.fork:
        return "fork=false"
    if learner.masks is not None and learner.masks.schedule is not None:
        return "sparsity rises over the whole of training"
    if config.adapter.active and config.adapter.method is AdapterMethod.adalora:
        return "adalora shares out ranks over the whole of training"
    return ""


def _facts(learner: Learner, config: TrainingConfig, steps: Steps) -> dict[str, object]:
    """Return what of a run can change bits before it leaves the trunk, beside its options."""
    ends = [round(phase.until * steps.total) for phase in config.unfreeze[:-1]]
    return {
        "origin": learner.origin,
        "warmup": warmup_steps(config, steps.total),
        "phases": [[phase.layers, phase.frozen_dropout] for phase in config.unfreeze],
        "ends": ends,
        "per_epoch": steps.per_epoch,
        "micro_batch": steps.micro_batch,
        "accumulation": steps.accumulation,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "processor": [platform.machine(), torch.backends.cpu.get_cpu_capability()],
        "versions": [torch.__version__, transformers.__version__],
    }
