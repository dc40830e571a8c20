"""Training a student to answer as a teacher does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import Fault, ModelError, unknown
from stagetree.core.signature import result_fields
from stagetree.models.config import ModelConfig
from stagetree.stages.base import STAGES, Stage, StageConfig, StageContext, Upstream, origin
from stagetree.training import checks
from stagetree.training.config import TrainingConfig

if TYPE_CHECKING:
    from datasets import Dataset

    from stagetree.training.learner import Learner
    from stagetree.training.memory import BatchSize
    from stagetree.training.soft_targets import SoftTargets


@dataclass
class StudentConfig:
    """What the student starts as.

    Attributes:
        layers: How many encoder layers of the starting model it keeps, evenly spread, as
            DistilBERT does (Sanh et al. 2019, arXiv 1910.01108); 0 is all. By default half of
            the input's (rounded up), or all of ``model``'s.
        keep: Which layers it keeps, from 0, instead of ``layers``.
        model: Another pretrained model to start from instead of the input: an asset, a local
            directory, or a Hugging Face hub id.
        overrides: Entries of that model's ``config.json`` to replace.
    """

    layers: int | None = None
    keep: list[int] = field(default_factory=list)
    model: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass
class DistillConfig(TrainingConfig, StageConfig):
    """Options of ``distill``.

    Attributes:
        kind: ``distill``.
        teacher: Name of the stage whose result teaches; by default the input.
        temperature: Softens the outputs of teacher and student.
        alpha: Share of the teacher in the loss; the rest is the gold labels'.
        student: What the student starts as.
    """

    kind: str = "distill"
    teacher: str | None = None
    temperature: float = 2.0
    alpha: float = 0.5
    student: StudentConfig = field(default_factory=StudentConfig)


@STAGES.register("distill")
class Distill(Stage):
    """Trains on a teacher's outputs and gold labels (Hinton et al. 2015, arXiv 1503.02531)."""

    kind: ClassVar[str] = "distill"
    VERSION: ClassVar[int] = 2
    Config: ClassVar[type[StageConfig]] = DistillConfig
    needs_input: ClassVar[bool] = True
    several_heads: ClassVar[bool] = True

    @classmethod
    def roles(cls, config: Any, before: Sequence[Upstream]) -> dict[str, str]:
        """See :meth:`Stage.roles`: the teacher first, and then what the student starts from."""
        start = super().roles(config, before).get("input")
        teacher = config.teacher or start
        return {"teacher": teacher, "input": start or teacher} if teacher else {}

    @classmethod
    def changes(cls, config: Any) -> bool:
        """See :meth:`Stage.changes`: a student of its own leaves the input as it is."""
        return config.student.model is None

    @classmethod
    def check(cls, config: Any, before: Sequence[Upstream]) -> list[Fault]:
        """See :meth:`Stage.check`."""
        return [
            *checks.faults(config),
            *_distillation_faults(config, before),
            *_student_faults(config.student, cls._start_kind(config, before)),
        ]

    @classmethod
    def _start_kind(cls, config: Any, before: Sequence[Upstream]) -> str:
        start = cls.roles(config, before).get("input")
        return next((stage.kind for stage in before if stage.name == start), "")

    @classmethod
    def run(cls, config: Any, context: StageContext) -> None:
        """See :meth:`Stage.run`."""
        from stagetree.training.fit import fit
        from stagetree.training.gold import focus
        from stagetree.training.learner import Start
        from stagetree.training.limits import shape
        from stagetree.training.objectives import Distillation

        student, teacher = result_fields(config.student), shape(context.inputs["teacher"])
        needs = {"kind": cls.kind, **origin(context), "student": student, "teacher": teacher}
        start = Start(needs, lambda: _student(config, context))
        objective = Distillation(
            config.temperature, config.alpha, config.label_smoothing, focus(config.loss)
        )
        fit(start, config, objective, context, partial(_lessons, config, context))


def _distillation_faults(config: Any, before: Sequence[Upstream]) -> list[Fault]:
    faults = []
    names = [stage.name for stage in before]
    if config.teacher is not None and config.teacher not in names:
        faults.append(Fault("teacher", unknown("stage", config.teacher, names)))
    if not config.temperature > 0:
        faults.append(
            Fault("temperature", f"expected a number above 0 but got {config.temperature}")
        )
    if not 0 <= config.alpha <= 1:
        faults.append(Fault("alpha", f"expected a number from 0 to 1 but got {config.alpha}"))
    return faults


def _student_faults(student: Any, start_kind: str) -> list[Fault]:
    faults = []
    keep = list(student.keep)
    if student.layers is not None and student.layers < 0:
        faults.append(
            Fault("student.layers", f"expected 0 (all) or more layers but got {student.layers}")
        )
    if keep != sorted(set(keep)) or any(layer < 0 for layer in keep):
        faults.append(Fault("student.keep", f"expected rising layer numbers from 0 but got {keep}"))
    if keep and student.layers:
        faults.append(
            Fault(
                "student.keep",
                f"expected either keep or layers but got keep={keep} and layers={student.layers}",
            )
        )
    if student.overrides and student.model is None:
        faults.append(
            Fault(
                "student.overrides",
                f"expected student.model beside overrides but got {dict(student.overrides)} alone",
            )
        )
    if student.model is None and start_kind in STAGES and not STAGES[start_kind].trainable_result:
        faults.append(
            Fault(
                "input",
                f"expected a stage whose result can be trained but got one of kind "
                f"{start_kind!r}; name another input, or a student.model",
            )
        )
    return faults


def _student(config: Any, context: StageContext) -> Learner:
    """Return the student before training."""
    from stagetree.models import huggingface
    from stagetree.models.student import layer_count, select_layers, spread
    from stagetree.training.building import build
    from stagetree.training.learner import Learner

    wanted = config.student
    labels = context.task.labels(context.corpus)
    if wanted.model is not None:
        source = ModelConfig(name=wanted.model, overrides=dict(wanted.overrides))
        model = build(source, context.task, labels, context.seed, config.dropout)
        tokenizer = huggingface.tokenizer(source)
    else:
        start = context.inputs["input"]
        model, tokenizer, manifest = huggingface.open_model(start, config.dropout)
        _same_labels("input", context.name, list(manifest.labels), labels)
    if wanted.keep:
        return Learner(select_layers(model, list(wanted.keep)), tokenizer, labels)
    total = layer_count(model)
    layers = wanted.layers or total
    if wanted.layers is None and wanted.model is None:
        layers = math.ceil(total / 2)
    if layers > total:
        raise ModelError(
            f"expected stages.{context.name}.student.layers of at most {total}, the layers of "
            f"the starting model, but got {layers}"
        )
    kept = model if layers == total else select_layers(model, spread(total, layers))
    return Learner(kept, tokenizer, labels)


def _lessons(
    config: Any, context: StageContext, rows: Dataset, labels: list[str], eval_batch: BatchSize
) -> SoftTargets:
    """Return the teacher's outputs on the training rows of the student."""
    from stagetree.models.load import load
    from stagetree.training.encoded import encoded
    from stagetree.training.fit import training_corpus
    from stagetree.training.soft_targets import soft_targets

    teacher = load(context.inputs["teacher"])
    _same_labels("teacher", context.name, list(teacher.labels), labels)
    teacher_rows = encoded(
        training_corpus(config, context),
        "train",
        context.task,
        teacher.tokenizer,
        labels,
        config.max_length,
        context.cache,
    )
    return soft_targets(
        teacher,
        context.task,
        teacher_rows,
        rows,
        context.scratch / "teacher",
        eval_batch,
    )


def _same_labels(role: str, name: str, found: list[str], labels: list[str]) -> None:
    if found != labels:
        raise ModelError(
            f"expected the {role} of {name!r} to have the labels {labels} but got {found}; "
            "train it on the same task and data"
        )
