"""Training a student to answer as a teacher does."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import Fault, ModelError, unknown
from stagetree.core.signature import result_fields
from stagetree.models.config import ModelConfig
from stagetree.stages.base import STAGES, Stage, StageConfig, StageContext, Upstream, origin
from stagetree.training import checks, distill_config, transfer_config
from stagetree.training.config import TrainingConfig
from stagetree.training.distill_config import StudentConfig, UnlabeledConfig
from stagetree.training.transfer_config import TransferConfig

if TYPE_CHECKING:
    from datasets import Dataset

    from stagetree.training.learner import Learner, Taught
    from stagetree.training.memory import BatchSize
    from stagetree.training.objectives import Distillation, Objective


@dataclass
class DistillConfig(TrainingConfig, StageConfig):
    """Options of ``distill``.

    Attributes:
        kind: ``distill``.
        teacher: Name of the stage whose result teaches; by default the input.
        temperature: Softens the outputs of teacher and student.
        alpha: Share of the teacher in the loss; the rest is the gold labels'.
        student: What the student starts as.
        teachers: Names of several stages whose results teach together, instead of ``teacher``,
            with the share of each, of any sum: the mixture of what they answer is learnt.
        transfer: What is learnt from inside the teacher.
        unlabeled: Text that only the teacher answers, beside the training data.
    """

    kind: str = "distill"
    teacher: str | None = None
    temperature: float = 2.0
    alpha: float = 0.5
    student: StudentConfig = field(default_factory=StudentConfig)
    teachers: dict[str, float] = field(default_factory=dict, metadata={"neutral": {}})
    transfer: TransferConfig = field(
        default_factory=TransferConfig, metadata={"neutral": TransferConfig()}
    )
    unlabeled: UnlabeledConfig = field(
        default_factory=UnlabeledConfig, metadata={"neutral": UnlabeledConfig()}
    )


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
        """See :meth:`Stage.roles`: the teachers first, and then what the student starts from."""
        start = super().roles(config, before).get("input")
        if config.teachers:
            names = {stage.name for stage in before}
            known = [name for name in config.teachers if name in names]
            teachers = dict(zip(_roles(len(known)), known, strict=True))
            return {**teachers, "input": start} if start else teachers
        teacher = config.teacher or start
        return {"teacher": teacher, "input": start or teacher} if teacher else {}

    @classmethod
    def fields(cls, config: Any, roles: Mapping[str, str]) -> dict[str, object]:
        """See :meth:`Stage.fields`: teachers by their shares, files by their content."""
        fields = {**super().fields(config, roles)}
        fields.pop("teachers", None)
        if len(config.teachers) > 1:
            fields["teachers"] = list(config.teachers.values())
        if not config.transfer.on:
            fields.pop("transfer", None)
        if config.unlabeled.on:
            text = distill_config.text_fields(config.unlabeled)
            fields["unlabeled"] = {**text, "share": config.unlabeled.share}
        return fields

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
            *_below("student", distill_config.student_faults(config.student)),
            *_start_faults(config, cls._kind_of("input", config, before)),
            *_below("transfer", transfer_config.faults(config.transfer)),
            *_transfer_faults(config, cls._kind_of("teacher", config, before)),
            *_below("unlabeled", distill_config.unlabeled_faults(config.unlabeled)),
        ]

    @classmethod
    def _kind_of(cls, role: str, config: Any, before: Sequence[Upstream]) -> str:
        name = cls.roles(config, before).get(role)
        return next((stage.kind for stage in before if stage.name == name), "")

    @classmethod
    def several_processes(cls, config: Any) -> bool:
        """See :meth:`Stage.several_processes`."""
        return True

    @classmethod
    def sharded_faults(cls, config: Any) -> list[Fault]:
        """See :meth:`Stage.sharded_faults`: one cannot look inside of a model shared out."""
        if not config.transfer.on:
            return super().sharded_faults(config)
        message = "expected all weights of 0 with resources.strategy=fsdp; say strategy=ddp"
        return [*super().sharded_faults(config), Fault("transfer", message)]

    @classmethod
    def run(cls, config: Any, context: StageContext) -> None:
        """See :meth:`Stage.run`."""
        from stagetree.training.fit import fit
        from stagetree.training.learner import Start
        from stagetree.training.limits import shape

        needs = {
            "kind": cls.kind,
            **origin(context),
            "student": result_fields(config.student),
            "teacher": shape(context.inputs["teacher"]),
            **({"transfer": result_fields(config.transfer)} if config.transfer.on else {}),
        }
        start = Start(needs, lambda: _student(config, context))
        fit(start, config, _objective(config), context, partial(_teach, config, context))


def _roles(teachers: int) -> list[str]:
    return ["teacher", *(f"teacher_{place}" for place in range(2, teachers + 1))][:teachers]


def _below(prefix: str, faults: Iterator[Fault]) -> Iterator[Fault]:
    return (dataclasses.replace(fault, path=f"{prefix}.{fault.path}") for fault in faults)


def _distillation_faults(config: Any, before: Sequence[Upstream]) -> Iterator[Fault]:
    names = [stage.name for stage in before]
    if config.teacher is not None and config.teacher not in names and not config.teachers:
        yield Fault("teacher", unknown("stage", config.teacher, names))
    for name, share in config.teachers.items():
        if name not in names:
            yield Fault(f"teachers.{name}", unknown("stage", name, names))
        if not (share > 0 and math.isfinite(share)):
            yield Fault(f"teachers.{name}", f"expected a share above 0 but got {share}")
    if not config.temperature > 0:
        yield Fault("temperature", f"expected a number above 0 but got {config.temperature}")
    if not 0 <= config.alpha <= 1:
        yield Fault("alpha", f"expected a number from 0 to 1 but got {config.alpha}")


def _start_faults(config: Any, start_kind: str) -> Iterator[Fault]:
    if (
        config.student.model is None
        and start_kind in STAGES
        and not STAGES[start_kind].trainable_result
    ):
        yield Fault(
            "input",
            f"expected a stage whose result can be trained but got one of kind "
            f"{start_kind!r}; name another input, or a student.model",
        )


def _transfer_faults(config: Any, teacher_kind: str) -> Iterator[Fault]:
    if not config.transfer.on:
        return
    if len(config.teachers) > 1:
        yield Fault(
            "transfer",
            f"expected one teacher to look inside of but got {len(config.teachers)}; "
            "set all weights of transfer to 0, or name one teacher",
        )
    if teacher_kind in STAGES and not STAGES[teacher_kind].trainable_result:
        yield Fault(
            "transfer",
            f"expected a teacher that PyTorch runs but got one of kind {teacher_kind!r}; name "
            "another teacher, or set all weights of transfer to 0",
        )


def _student(config: Any, context: StageContext) -> Learner:
    """Return the student before training."""
    from stagetree.models import huggingface, tokenizers
    from stagetree.models.student import layer_count, select_layers, spread
    from stagetree.training.building import build
    from stagetree.training.learner import Learner
    from stagetree.training.teaching import check_labels

    wanted = config.student
    labels = context.task.labels(context.corpus)
    if wanted.model is not None:
        source = ModelConfig(name=wanted.model, overrides=dict(wanted.overrides))
        model = build(source, context.task, labels, context.seed, config.dropout)
        tokenizer = tokenizers.of_model(source)
    else:
        start = context.inputs["input"]
        model, tokenizer, manifest = huggingface.open_model(start, config.dropout)
        check_labels("input", context.name, manifest.labels, labels)
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


def _objective(config: Any) -> Distillation:
    from stagetree.training.gold import focus
    from stagetree.training.objectives import Distillation

    shares = tuple(config.teachers.values())
    return Distillation(
        config.temperature,
        config.alpha,
        config.label_smoothing,
        gamma=focus(config.loss),
        weights=shares if len(shares) > 1 else (),
        unlabeled=config.unlabeled.on,
    )


def _teach(
    config: Any,
    context: StageContext,
    learner: Learner,
    rows: Dataset,
    eval_batch: BatchSize,
    objective: Objective,
) -> Taught:
    """Return the student's rows with what the teachers answer, and what is minimised."""
    import datasets

    from stagetree.training import teaching
    from stagetree.training.fit import training_corpus
    from stagetree.training.learner import Taught

    corpus = training_corpus(config, context)
    own = teaching.without_some_gold(rows, config.unlabeled.share, context.seed)
    parts = [(teaching.training_examples(corpus, context, config.max_length), own)]
    if config.unlabeled.files:
        more = teaching.unlabeled_examples(
            context,
            config.max_length,
            list(config.unlabeled.files),
            config.unlabeled.max,
            distill_config.text_fields(config.unlabeled),
        )
        parts.append((more, more.encode(learner.tokenizer, learner.labels)))
    roles = _roles(max(1, len(config.teachers)))
    soft = teaching.soft_targets(parts, roles, learner.labels, context, eval_batch)
    every = own if len(parts) == 1 else datasets.concatenate_datasets([r for _, r in parts])
    return Taught(every, soft, _looking_inside(config, context, objective, learner))


def _looking_inside(
    config: Any, context: StageContext, objective: Objective, learner: Learner
) -> Objective:
    """Return the objective with the transfer from inside the teacher, if there is any."""
    if not config.transfer.on:
        return objective
    from stagetree.models import huggingface
    from stagetree.training.encoded import identity
    from stagetree.training.transfer import Transfer

    teacher, tokenizer, _ = huggingface.open_model(context.inputs["teacher"])
    if identity(tokenizer) != identity(learner.tokenizer):
        raise ModelError(
            f"expected the teacher of {context.name!r} to have the student's tokenizer, so that "
            "what they compute inside can be compared token by token, but they differ; set all "
            f"weights of stages.{context.name}.transfer to 0"
        )
    return Transfer(objective, learner.model, teacher, config.transfer, context.seed)
