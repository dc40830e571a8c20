"""Storing weights in eight bits: smaller and faster, and no longer trainable."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import Fault
from stagetree.models.format import Manifest
from stagetree.stages.base import STAGES, Stage, StageConfig, StageContext, Upstream

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEPS = 3


class QuantizeMethod(Enum):
    """How a model is quantised.

    ``onnx_int8`` is ONNX Runtime's dynamic quantisation: int8 weights, activations quantised as
    they come, no calibration data.
    """

    onnx_int8 = "onnx_int8"


@dataclass
class QuantizeConfig(StageConfig):
    """Options of ``quantize``.

    Attributes:
        method: How the model is quantised.
        per_channel: Give every output channel its own scale; more exact at equal speed.
        embeddings: Quantise the embedding tables too, half of the size of a small model.
    """

    kind: str = "quantize"
    method: QuantizeMethod = QuantizeMethod.onnx_int8
    per_channel: bool = True
    embeddings: bool = True


@STAGES.register("quantize")
class Quantize(Stage):
    """Exports the model to ONNX and stores its weights as int8."""

    kind = "quantize"
    Config = QuantizeConfig
    needs_input = True
    trainable_result = False

    @classmethod
    def check(cls, config: Any, before: Sequence[Upstream]) -> list[Fault]:
        """See :meth:`Stage.check`."""
        name = cls.roles(config, before).get("input")
        kinds = {stage.name: stage.kind for stage in before}
        kind = kinds.get(str(name), "")
        if kind in STAGES and not STAGES[kind].trainable_result:
            return [
                Fault(
                    "input",
                    f"expected a stage with a PyTorch model but {name!r} ({kind}) gives a "
                    "compressed one, which cannot be exported again; quantise once, last",
                )
            ]
        return []

    @classmethod
    def run(cls, config: Any, context: StageContext) -> None:
        """See :meth:`Stage.run`."""
        from stagetree.models import format as model_format
        from stagetree.models import onnx
        from stagetree.models.forms.onnx import FILE
        from stagetree.models.huggingface import open_model, save_tokenizer

        model, tokenizer, manifest = open_model(context.inputs["input"])
        context.stepped(1, _STEPS, {})
        context.scratch.mkdir(parents=True, exist_ok=True)
        plain = context.scratch / "fp32.onnx"
        onnx.export(model, tokenizer, plain)
        context.stepped(2, _STEPS, {})
        onnx.quantize(plain, context.output / FILE, config.per_channel, config.embeddings)
        plain.unlink()
        model.config.save_pretrained(context.output)
        save_tokenizer(tokenizer, context.output)
        model_format.write(context.output, _manifest(config, manifest))
        context.stepped(3, _STEPS, {})


def _manifest(config: QuantizeConfig, of: Manifest) -> Manifest:
    lineage = {
        "method": config.method.name,
        "per_channel": config.per_channel,
        "embeddings": config.embeddings,
        "from": dict(of.lineage),
    }
    return Manifest(
        form="onnx",
        task=of.task,
        auto_class=of.auto_class,
        labels=of.labels,
        max_length=of.max_length,
        parameters=of.parameters,
        numerics="int8",
        lineage=lineage,
    )
