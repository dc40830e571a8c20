"""Taking out of a model what it can do without."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import Fault, ModelError
from stagetree.core.signature import digest
from stagetree.stages.base import STAGES, Stage, StageConfig, StageContext, Upstream, origin
from stagetree.training.pruning import PruneMethod, PruningConfig, faults, targets

if TYPE_CHECKING:
    from pathlib import Path

    from stagetree.models.format import Manifest
    from stagetree.training.learner import Learner


@dataclass
class PruneConfig(PruningConfig, StageConfig):
    """Options of ``prune``; see :class:`stagetree.training.pruning.PruningConfig`.

    Attributes:
        kind: ``prune``.
    """

    kind: str = "prune"


@STAGES.register("prune")
class Prune(Stage):
    """Removes parts of a model or sets weights to zero, and may train what remains."""

    kind: ClassVar[str] = "prune"
    Config: ClassVar[type[StageConfig]] = PruneConfig
    needs_input: ClassVar[bool] = True

    @classmethod
    def check(cls, config: Any, before: Sequence[Upstream]) -> list[Fault]:
        """See :meth:`Stage.check`."""
        return faults(config)

    @classmethod
    def several_processes(cls, config: Any) -> bool:
        """See :meth:`Stage.several_processes`: where it trains."""
        return bool(config.epochs)

    @classmethod
    def sharded_faults(cls, config: Any) -> list[Fault]:
        """See :meth:`Stage.sharded_faults`: masks are chosen over whole matrices."""
        if config.method is PruneMethod.structured:
            return super().sharded_faults(config)
        message = "expected structured with resources.strategy=fsdp; say strategy=ddp"
        return [*super().sharded_faults(config), Fault("method", message)]

    @classmethod
    def run(cls, config: Any, context: StageContext) -> None:
        """See :meth:`Stage.run`."""
        from stagetree.models import format as model_format
        from stagetree.training import ranks
        from stagetree.training.limits import shape

        if config.method is PruneMethod.structured:
            with ranks.one_first():
                cut = _cut(config, context)
            if not config.epochs:
                shutil.copytree(cut, context.output, dirs_exist_ok=True)
                return
            lineage = model_format.read(cut).lineage
            build = partial(_whole, config, context, cut, digest(lineage.get("kept")))
            _train(config, context, build, lineage, shape(cut))
        elif config.epochs:
            facts = _masking(config)
            lineage = _lineage(config, model_format.read(context.inputs["input"]), **facts)
            _train(config, context, partial(_masked, config, context), lineage, config.method.name)
        else:
            _mask(config, context)


def _masking(config: Any) -> dict[str, Any]:
    if config.method is PruneMethod.n_of_m:
        return {"sparsity": 1 - config.n / config.m}
    return {"sparsity": config.sparsity}


def _cut(config: Any, context: StageContext) -> Path:
    """Return the directory of the model without the parts, before any training.

    What goes is decided once: measured latencies would differ at the next attempt.
    """
    from stagetree.models import format as model_format
    from stagetree.training.structured import cut

    target = context.scratch / "pruned"
    if target.is_dir():
        return target
    source = context.inputs["input"]
    learner, manifest = _learner(context, source), model_format.read(source)
    model, kept = cut(learner, targets(config), context, source, manifest)
    unfinished = target.with_suffix(".partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    lineage = _lineage(config, manifest, importance=config.importance.name, kept=kept)
    _save(dataclasses.replace(learner, model=model), unfinished, manifest, lineage)
    return unfinished.rename(target)


def _whole(config: Any, context: StageContext, cut: Path, kept: str) -> Learner:
    """Return the model without the parts; what was kept may have been measured."""
    return dataclasses.replace(_learner(context, cut, config.dropout), origin=kept)


def _masked(config: Any, context: StageContext) -> Learner:
    """Return the input under masks: as they shall be, or rising with training."""
    from stagetree.training.masks import Gradual, Masks

    learner = _learner(context, context.inputs["input"], config.dropout)
    if config.method is PruneMethod.n_of_m:
        masks = Masks(learner.model)
        masks.pattern(config.n, config.m)
    elif config.epochs:
        schedule = Gradual(config.sparsity, config.until, config.mask_every, config.uniform)
        masks = Masks(learner.model, config.method is PruneMethod.movement, schedule)
    else:
        masks = Masks(learner.model)
        masks.sparsify(config.sparsity, config.uniform)
    return dataclasses.replace(learner, masks=masks)


def _mask(config: Any, context: StageContext) -> None:
    """Write the input with weights set to zero, without training."""
    from stagetree.models import format as model_format

    learner = _masked(config, context)
    if learner.masks is None:
        raise RuntimeError("expected masks on the model")
    sparsity = round(learner.masks.sparsity, 4)
    learner.masks.bake()
    manifest = model_format.read(context.inputs["input"])
    _save(learner, context.output, manifest, _lineage(config, manifest, sparsity=sparsity))


def _train(
    config: Any, context: StageContext, build: Callable[[], Learner], lineage: Any, pruned: Any
) -> None:
    """Train on the labels and write the result."""
    from stagetree.training.fit import fit
    from stagetree.training.gold import focus
    from stagetree.training.learner import Start
    from stagetree.training.objectives import CrossEntropy

    start = Start({"kind": Prune.kind, **origin(context), "pruned": pruned}, build)
    objective = CrossEntropy(config.label_smoothing, focus(config.loss))
    fit(start, config, objective, context, lineage=lineage)


def _lineage(config: Any, of: Manifest, **facts: Any) -> dict[str, Any]:
    return {"stage": "prune", "method": config.method.name, **facts, "from": dict(of.lineage)}


def _save(learner: Learner, directory: Path, of: Manifest, lineage: dict[str, Any]) -> None:
    from stagetree.models import huggingface

    huggingface.save(
        learner.model,
        learner.tokenizer,
        directory,
        of.task,
        learner.labels,
        of.max_length,
        numerics=of.numerics,
        lineage=lineage,
    )


def _learner(context: StageContext, directory: Path, dropout: float | None = None) -> Learner:
    from stagetree.models import huggingface
    from stagetree.training.learner import Learner

    labels = context.task.labels(context.corpus)
    model, tokenizer, manifest = huggingface.open_model(directory, dropout)
    if list(manifest.labels) != labels:
        raise ModelError(
            f"expected the input of {context.name!r} to have the labels {labels} "
            f"but got {list(manifest.labels)}; train it on the same task and data"
        )
    return Learner(model, tokenizer, labels)
