"""A pipeline as nodes of the stage tree: each stage with its inputs and its signature."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stagetree.data.config import DataConfig
from stagetree.data.sources.multitask import MultitaskDataConfig
from stagetree.models.config import ModelConfig
from stagetree.pipeline.objective import Objective
from stagetree.pipeline.resources import Resources
from stagetree.stages.base import Stage
from stagetree.tasks.base import Task
from stagetree.tasks.multitask import MultitaskTask


@dataclass(frozen=True)
class Node:
    """A stage of a pipeline.

    Attributes:
        name: Its name in the run: its key, or ``finetune@13`` where there are several seeds.
        key: Its name in the configuration.
        stage: Its kind's class.
        config: Its typed configuration.
        fields: What of the configuration its signature covers.
        roles: Names of the stages it starts from, by role, in signature order.
        inputs: Signatures of what it starts from; a first stage starts from the revision of
            the pretrained model.
        seed: Seed of everything random in it.
        signature: Signature of its result.
        part: Name of the one task, of several, that it works on, if it does not on all.
    """

    name: str
    key: str
    stage: type[Stage]
    config: Any
    fields: dict[str, object]
    roles: dict[str, str]
    inputs: tuple[str, ...]
    seed: int
    signature: str
    part: str | None = None


@dataclass(frozen=True)
class Pipeline:
    """Everything a run needs, checked, with nothing heavy loaded yet.

    Attributes:
        nodes: The stages, in order; with several seeds all of one, then all of the next.
        model: The pretrained model.
        data: The data.
        task: The task.
        data_fingerprint: Fingerprint of data and task, part of every signature.
        model_revision: Revision of the pretrained model.
        seed: The one seed, where there are not several.
        seeds: The several seeds, in order; else none.
        numerics: Resolved numerics.
        objective: What the run returns.
        resources: What the run may use.
        timed: Whether latency, memory and operations of results are measured.
    """

    nodes: tuple[Node, ...]
    model: ModelConfig
    data: DataConfig
    task: Task
    data_fingerprint: str
    model_revision: str
    seed: int
    seeds: tuple[int, ...]
    numerics: str
    objective: Objective
    resources: Resources = field(default_factory=Resources)
    timed: bool = True

    def concern(self, node: Node) -> tuple[Task, DataConfig]:
        """Return the task and the data that a stage works on."""
        if node.part is None:
            return self.task, self.data
        assert isinstance(self.task, MultitaskTask)
        assert isinstance(self.data, MultitaskDataConfig)
        return self.task.parts[node.part], self.data.parts[node.part]
