"""Storing weights in eight or four bits: smaller and faster, and no longer trainable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import Fault, unknown
from stagetree.models.quantization.base import FEWEST_EXAMPLES, METHODS, Method, runnable
from stagetree.stages.base import STAGES, Stage, StageConfig, StageContext, Upstream
from stagetree.training import checks
from stagetree.training.config import TrainingConfig

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from transformers import PreTrainedTokenizerBase

    from stagetree.models.format import Manifest

_STEPS = 3


class QuantizeMethod(Enum):
    """How a model is quantised; each is a module of ``stagetree.models.quantization``.

    ``onnx_int8`` is ONNX Runtime's dynamic quantisation: int8 weights, activations quantised as
    they come, no calibration data. ``onnx_static`` fixes the ranges of activations by example
    rows. ``openvino_int8`` does so for OpenVINO, the fastest on Intel CPUs. ``torch_int8`` is
    PyTorch's own dynamic quantisation. ``torchao_int8`` and ``torchao_int4`` store weights in
    few bits and compute in floating point, which pays on GPUs.
    ``qat`` is ``onnx_int8`` after a short training with rounded layers.
    """

    onnx_int8 = "onnx_int8"
    onnx_static = "onnx_static"
    openvino_int8 = "openvino_int8"
    torch_int8 = "torch_int8"
    torchao_int8 = "torchao_int8"
    torchao_int4 = "torchao_int4"
    qat = "qat"


@dataclass
class AwareConfig(TrainingConfig):
    """Options of the training that ``qat`` does before it quantises.

    Attributes:
        learning_rate: Peak learning rate; lower than in fine-tuning, the model knows its task.
        epochs: Passes over the training data.
        evaluations: How often the validation split is scored, as rounded.
        temperature: Softens the outputs of teacher and model, when there is a ``teacher``.
        alpha: Share of the teacher in the loss; the rest is the gold labels'.
    """

    learning_rate: float = 5e-5
    epochs: float = 1.0
    evaluations: int = 2
    temperature: float = 2.0
    alpha: float = 0.5


@dataclass
class QuantizeConfig(StageConfig):
    """Options of ``quantize``.

    Attributes:
        kind: ``quantize``.
        method: How the model is quantised.
        per_channel: Give every output channel its own scale; more exact at equal speed.
        embeddings: Quantise the embedding tables too, half of the size of a small model.
        calibration_examples: Training rows by which ``onnx_static`` and ``openvino_int8`` learn
            the ranges of activations.
        teacher: Name of the stage whose outputs ``qat`` also learns from; by default none.
        training: How ``qat`` trains.
    """

    kind: str = "quantize"
    method: QuantizeMethod = QuantizeMethod.onnx_int8
    per_channel: bool = True
    embeddings: bool = True
    calibration_examples: int = field(default=256, metadata={"neutral": 256})
    teacher: str | None = field(default=None, metadata={"neutral": None})
    training: AwareConfig = field(default_factory=AwareConfig, metadata={"neutral": AwareConfig()})


@STAGES.register("quantize")
class Quantize(Stage):
    """Stores the model's weights in fewer bits, in a form for the runtime of the method."""

    kind: ClassVar[str] = "quantize"
    Config: ClassVar[type[StageConfig]] = QuantizeConfig
    needs_input: ClassVar[bool] = True
    trainable_result: ClassVar[bool] = False

    @classmethod
    def roles(cls, config: Any, before: Sequence[Upstream]) -> dict[str, str]:
        """See :meth:`Stage.roles`: the teacher first, where there is one."""
        roles = super().roles(config, before)
        if config.teacher is None or not METHODS[config.method.name].trained:
            return roles
        return {"teacher": config.teacher, **roles}

    @classmethod
    def check(cls, config: Any, before: Sequence[Upstream]) -> list[Fault]:
        """See :meth:`Stage.check`."""
        name = cls.roles(config, before).get("input")
        kinds = {stage.name: stage.kind for stage in before}
        return [
            *_input_faults(str(name), kinds.get(str(name), "")),
            *_method_faults(config),
            *_training_faults(config, list(kinds)),
        ]

    @classmethod
    def run(cls, config: Any, context: StageContext) -> None:
        """See :meth:`Stage.run`."""
        from stagetree.models import format as model_format
        from stagetree.models import tokenizers
        from stagetree.models.huggingface import open_model
        from stagetree.models.quantization.base import Request

        method = METHODS[config.method.name]
        steps = _silent if method.trained else context.stepped  # training has told of its own
        context.scratch.mkdir(parents=True, exist_ok=True)
        source = context.inputs["input"]
        lineage = model_format.read(source).lineage
        if method.trained:
            source = _adapted(config, context)
        model, tokenizer, manifest = open_model(source)
        steps(1, _STEPS, {})
        examples = _examples(config, context, tokenizer, manifest) if method.calibrated else ()
        steps(2, _STEPS, {})
        method.write(
            Request(
                model=model,
                tokenizer=tokenizer,
                output=context.output,
                scratch=context.scratch,
                per_channel=config.per_channel,
                embeddings=config.embeddings,
                examples=examples,
            )
        )
        model.config.save_pretrained(context.output)
        tokenizers.save(tokenizer, context.output)
        model_format.write(context.output, _manifest(config, method, manifest, lineage))
        steps(3, _STEPS, {})


def _silent(step: int, total: int, logs: Mapping[str, float]) -> None:
    """Tell nobody of a step."""


def _input_faults(name: str, kind: str) -> Iterator[Fault]:
    if kind in STAGES and not STAGES[kind].trainable_result:
        yield Fault(
            "input",
            f"expected a stage with a PyTorch model but {name!r} ({kind}) gives a "
            "compressed one, which cannot be exported again; quantise once, last",
        )


def _method_faults(config: Any) -> Iterator[Fault]:
    method = METHODS[config.method.name]
    lacking = method.lacks()
    if lacking is not None:
        yield Fault(
            "method",
            f"{method.name} {lacking}. This machine can run: {', '.join(runnable())}",
        )
    if config.calibration_examples < FEWEST_EXAMPLES:
        yield Fault(
            "calibration_examples",
            f"expected at least {FEWEST_EXAMPLES} rows but got {config.calibration_examples}; "
            "fewer give ranges that are mere chance",
        )


def _training_faults(config: Any, before: Sequence[str]) -> Iterator[Fault]:
    for fault in checks.faults(config.training):
        yield Fault(f"training.{fault.path}", fault.message)
    if not config.training.temperature > 0:
        found = config.training.temperature
        yield Fault("training.temperature", f"expected a number above 0 but got {found}")
    if not 0 <= config.training.alpha <= 1:
        found = config.training.alpha
        yield Fault("training.alpha", f"expected a number from 0 to 1 but got {found}")
    if config.teacher is not None and config.teacher not in before:
        yield Fault("teacher", unknown("stage", config.teacher, before))


def _adapted(config: Any, context: StageContext) -> Path:
    """Return the directory of the model trained for int8."""
    from stagetree.training.aware import Lesson, adapt

    lesson = Lesson(
        source=context.inputs["input"],
        teacher=context.inputs.get("teacher"),
        per_channel=config.per_channel,
        temperature=config.training.temperature,
        alpha=config.training.alpha,
    )
    return adapt(lesson, config.training, context)


def _examples(
    config: Any, context: StageContext, tokenizer: PreTrainedTokenizerBase, manifest: Manifest
) -> Sequence[Mapping[str, np.ndarray]]:
    from stagetree.training.calibration import examples

    return examples(
        context.corpus,
        context.task,
        tokenizer,
        manifest.labels,
        manifest.max_length,
        context.cache,
        config.calibration_examples,
        context.seed,
    )


def _manifest(
    config: Any, method: type[Method], of: Manifest, before: Mapping[str, Any]
) -> Manifest:
    from stagetree.models.format import Manifest

    lineage = {
        "method": config.method.name,
        "per_channel": config.per_channel,
        "embeddings": config.embeddings,
        "from": dict(before),
    }
    if method.calibrated:
        lineage["calibration_examples"] = config.calibration_examples
    return Manifest(
        form=method.form,
        task=of.task,
        auto_class=of.auto_class,
        labels=of.labels,
        max_length=of.max_length,
        parameters=of.parameters,
        numerics=method.numerics,
        lineage=lineage,
    )
