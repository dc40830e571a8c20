"""Training a pretrained model, or an earlier stage's result, on the task's labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import Fault, ModelError
from stagetree.stages.base import STAGES, Stage, StageConfig, StageContext, Upstream
from stagetree.training import checks
from stagetree.training.config import TrainingConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


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
    Config: ClassVar[type[StageConfig]] = FinetuneConfig

    @classmethod
    def check(cls, config: Any, before: Sequence[Upstream]) -> list[Fault]:
        """See :meth:`Stage.check`."""
        return checks.faults(config)

    @classmethod
    def run(cls, config: Any, context: StageContext) -> None:
        """See :meth:`Stage.run`."""
        from stagetree.training.fit import fit
        from stagetree.training.objectives import CrossEntropy

        labels = context.task.labels(context.corpus)
        model, tokenizer = _start(config, context, labels)
        fit(model, tokenizer, labels, config, CrossEntropy(config.label_smoothing), context)


def _start(
    config: Any, context: StageContext, labels: list[str]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return what is trained: the result of the stage before, or the pretrained model."""
    from stagetree.models import huggingface

    if "input" not in context.inputs:
        model = huggingface.build(
            context.model, context.task.auto_class, labels, context.seed, config.dropout
        )
        return model, huggingface.tokenizer(context.model)
    model, tokenizer, manifest = huggingface.open_model(context.inputs["input"], config.dropout)
    if list(manifest.labels) != labels:
        raise ModelError(
            f"expected the input of {context.name!r} to have the labels {labels} "
            f"but got {list(manifest.labels)}; fine-tune the pretrained model on this data instead"
        )
    return model, tokenizer
