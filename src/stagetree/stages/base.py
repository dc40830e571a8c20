"""What a stage is: a typed config, inputs, and one model directory as its result."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from omegaconf import MISSING

from stagetree.core.errors import Fault
from stagetree.core.registry import Registry
from stagetree.core.signature import digest, result_fields
from stagetree.models.adapter_config import WHY_FINAL, AdapterConfig

if TYPE_CHECKING:
    from stagetree.data.corpus import Corpus
    from stagetree.models.config import ModelConfig
    from stagetree.tasks.base import Task
    from stagetree.training.forks import Trunks


@dataclass
class StageConfig:
    """Options every stage understands.

    Attributes:
        kind: Registered name of the stage kind.
        input: Name of the stage it starts from; by default the one before it.
    """

    kind: str = MISSING
    input: str | None = None


class Sharing(Protocol):
    """Keeps what several stages use; see :meth:`StageContext.shared`."""

    def __call__(
        self,
        kind: str,
        version: int,
        fields: Mapping[str, object],
        roles: Sequence[str],
        make: Callable[[Path], None],
    ) -> Path:
        """Return the directory, made by ``make`` unless it is there."""


@dataclass(frozen=True)
class StageContext:
    """Everything a stage may use while it runs.

    Attributes:
        name: Its name in the pipeline.
        inputs: Model directories of the stages it starts from, by role (``input``,
            ``teacher``); a first stage has none.
        output: Empty directory to fill with the result.
        scratch: Directory for partial work (checkpoints); kept when the stage is interrupted
            and handed to the next attempt, removed when the stage is done.
        cache: Directory for what may be recomputed at any time (tokenised data).
        model: The pretrained model of the pipeline.
        task: The task.
        corpus: The data; ``test`` is not for stages.
        seed: Seed of everything random in the stage.
        numerics: Resolved numerics: ``fp32``, ``fp32_fast`` or ``bf16``.
        stepped: Call it as ``stepped(step, total, logs)`` after optimiser steps.
        evaluated: Call it as ``evaluated(fraction, metrics)`` after each evaluation, in order of
            rising fraction in (0, 1]; may raise ``TrialPruned``. After a resume it is called
            only for evaluations that the earlier attempt did not make.
        sharing: Where results lie that are no stage's own; see :meth:`shared`. Without it a
            stage keeps them in its scratch directory, for itself.
        trunks: Checkpoints that runs share which are the same up to there; see
            ``training.forks``.
    """

    name: str
    inputs: Mapping[str, Path]
    output: Path
    scratch: Path
    cache: Path
    model: ModelConfig
    task: Task
    corpus: Corpus
    seed: int
    numerics: str
    stepped: Callable[[int, int, Mapping[str, float]], None]
    evaluated: Callable[[float, Mapping[str, float]], None]
    sharing: Sharing | None = None
    trunks: Trunks | None = None

    def shared(
        self,
        kind: str,
        version: int,
        fields: Mapping[str, object],
        roles: Sequence[str],
        make: Callable[[Path], None],
    ) -> Path:
        """Return a directory that any stage of any study makes but once, and all of them read.

        It is made unless it is there, by one worker while the others wait, and is never seen
        half made. It is read-only.

        Args:
            kind: What it holds, e.g. ``answers``.
            version: Raise it when the code changes what ``make`` makes.
            fields: All that decides its content beside the inputs, the data and the task.
            roles: Roles of the inputs that it is made from.
            make: Fills an empty directory.
        """
        if self.sharing is not None:
            return self.sharing(kind, version, fields, roles, make)
        inputs = [str(self.inputs[role]) for role in roles]
        name = digest({"version": version, "fields": fields, "inputs": inputs})
        place = self.scratch / "shared" / f"{kind}-{name}"
        if not place.exists():
            partial = place.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            make(partial)
            partial.rename(place)
        return place


def origin(context: StageContext) -> dict[str, Any]:
    """Return, as plain values, what decides how large the model is that a stage starts from."""
    from stagetree.training.limits import shape

    if "input" in context.inputs:
        return {"input": shape(context.inputs["input"])}
    return {"model": result_fields(context.model)}


@dataclass(frozen=True)
class Upstream:
    """A stage before another one in the pipeline.

    Attributes:
        name: Its name.
        kind: Its kind.
        final: Why its config lets no later stage change its result; empty when one may.
    """

    name: str
    kind: str
    final: str = ""


class Stage(ABC):
    """One step of a pipeline. Importing a stage's module does not import torch.

    Attributes:
        kind: Registered name.
        VERSION: Raise it when the code changes what the stage produces.
        Config: Dataclass of the stage's options.
        needs_input: Whether it can only run after another stage.
        trains: Whether its result can be trained further by a later stage.
        several_heads: Whether it can work on the model of ``task=multitask``.
    """

    kind: ClassVar[str]
    VERSION: ClassVar[int] = 1
    Config: ClassVar[type[StageConfig]]
    needs_input: ClassVar[bool] = False
    trainable_result: ClassVar[bool] = True
    several_heads: ClassVar[bool] = False

    @classmethod
    def roles(cls, config: Any, before: Sequence[Upstream]) -> dict[str, str]:
        """Return the names of the stages it starts from, by role, in signature order."""
        if config.input is not None:
            return {"input": config.input}
        return {"input": before[-1].name} if before else {}

    @classmethod
    def fields(cls, config: Any, roles: Mapping[str, str]) -> dict[str, object]:
        """Return what of the config the signature covers; names of other stages say nothing.

        Args:
            config: The stage's config, checked.
            roles: What :meth:`roles` gave.
        """
        fields = result_fields(config)
        return {key: value for key, value in fields.items() if key not in {*roles, "input", "kind"}}

    @classmethod
    def narrows(cls, config: Any) -> str | None:
        """Return the one task, of several, that its result and all made of it is for, if any."""
        return None

    @classmethod
    def final(cls, config: Any) -> str:
        """Return why no later stage can change the result of this config; empty when one can.

        A kind none of whose results can be changed says so by ``trainable_result`` instead.
        """
        adapter = getattr(config, "adapter", None)
        return WHY_FINAL if isinstance(adapter, AdapterConfig) and adapter.stays_apart else ""

    @classmethod
    def changes(cls, config: Any) -> bool:
        """Return whether it changes the model of its input, rather than only looking at it."""
        return True

    @classmethod
    def check(cls, config: Any, before: Sequence[Upstream]) -> list[Fault]:
        """Return what is wrong with the config beyond types; paths relative to the stage."""
        return []

    @classmethod
    def several_processes(cls, config: Any) -> bool:
        """Return whether several processes of a trial can share the work of this config.

        Each of them then calls :meth:`run`; what is written must be written by one of them, as
        ``training.fit`` does (see ``training.ranks``).
        """
        return False

    @classmethod
    def sharded_faults(cls, config: Any) -> list[Fault]:
        """Return what of the config cannot be while processes share the model out among them."""
        from stagetree.training.checks import sharded_faults

        return sharded_faults(config)

    @classmethod
    @abstractmethod
    def run(cls, config: Any, context: StageContext) -> None:
        """Fill ``context.output`` with a directory that ``models.load`` opens.

        Raises:
            TrialPruned: ``context.evaluated`` said so.
            TrialFailed: The loss is not a number.
            OutOfMemory: Not even one example at a time fits into memory.
        """


STAGES: Registry[type[Stage]] = Registry("stage kind", "stagetree.stages")
"""Every stage kind; a new one is a new module in ``stagetree.stages``."""
