"""Training a pretrained model, or an earlier stage's result, on the task's labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import Fault, ModelError
from stagetree.stages.base import STAGES, Stage, StageConfig, StageContext, Upstream, origin
from stagetree.training import checks
from stagetree.training.config import TrainingConfig

if TYPE_CHECKING:
    from stagetree.training.learner import Learner


@dataclass
class FinetuneConfig(TrainingConfig, StageConfig):
    """Options of ``finetune``.

    Attributes:
        kind: ``finetune``.
    """

    kind: str = "finetune"


@STAGES.register("finetune")
class Finetune(Stage):
    """Trains on gold labels."""

    kind: ClassVar[str] = "finetune"
    VERSION: ClassVar[int] = 2
    Config: ClassVar[type[StageConfig]] = FinetuneConfig
    several_heads: ClassVar[bool] = True

    @classmethod
    def check(cls, config: Any, before: Sequence[Upstream]) -> list[Fault]:
        """See :meth:`Stage.check`."""
        return checks.faults(config)

    @classmethod
    def several_processes(cls, config: Any) -> bool:
        """See :meth:`Stage.several_processes`."""
        return True

    @classmethod
    def run(cls, config: Any, context: StageContext) -> None:
        """See :meth:`Stage.run`."""
        from stagetree.training.fit import fit
        from stagetree.training.gold import focus
        from stagetree.training.learner import Start
        from stagetree.training.objectives import CrossEntropy

        start = Start({"kind": cls.kind, **origin(context)}, lambda: _learner(config, context))
        objective = CrossEntropy(config.label_smoothing, focus(config.loss))
        fit(start, config, objective, context)


def _learner(config: Any, context: StageContext) -> Learner:
    """Return what is trained: the result of the stage before, or the pretrained model."""
    from stagetree.models import huggingface, tokenizers
    from stagetree.training.building import build
    from stagetree.training.learner import Learner

    labels = context.task.labels(context.corpus)
    if "input" not in context.inputs:
        model = build(context.model, context.task, labels, context.seed, config.dropout)
        return Learner(model, tokenizers.of_model(context.model), labels)
    model, tokenizer, manifest = huggingface.open_model(context.inputs["input"], config.dropout)
    if list(manifest.labels) != labels:
        raise ModelError(
            f"expected the input of {context.name!r} to have the labels {labels} "
            f"but got {list(manifest.labels)}; fine-tune the pretrained model on this data instead"
        )
    return Learner(model, tokenizer, labels)
