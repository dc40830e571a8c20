"""Taking out of a model what it can do without."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import Fault, ModelError
from stagetree.stages.base import STAGES, Stage, StageConfig, StageContext, Upstream, origin
from stagetree.training import checks
from stagetree.training.config import TrainingConfig

if TYPE_CHECKING:
    from pathlib import Path

    from stagetree.training.learner import Learner


class ImportanceMeasure(Enum):
    """How it is judged what matters.

    ``taylor``: how much the loss on training batches would change without a part, to first order
    (Michel et al. 2019, arXiv 1905.10650; Molchanov et al. 2019, arXiv 1906.10771).
    ``magnitude``: the norm of its weights.
    """

    taylor = "taylor"
    magnitude = "magnitude"


class LayerChoice(Enum):
    """Which layers stay: the most important, or evenly spread ones."""

    importance = "importance"
    even = "even"


@dataclass
class PruneConfig(TrainingConfig, StageConfig):
    """Options of ``prune``. Shares are of what stays.

    With none of ``heads``, ``ffn``, ``layers``, ``keep_layers``, ``parameters`` and ``latency``
    half of the heads and of the feed-forward units stay.

    Attributes:
        kind: ``prune``.
        heads: Share of the attention heads that stay, in (0, 1]; every layer keeps one.
        ffn: Share of the feed-forward units that stay, in (0, 1].
        layers: Whole layers that stay: a number from 1 up, or a share below 1.
        layer_choice: Which layers stay.
        keep_layers: Exactly these layers stay, from 0, instead of ``layers``.
        parameters: Share of the encoder layers' weights that stays at most; equal shares of
            heads and feed-forward units are found that meet it.
        latency: Share of the input's latency on one CPU thread that stays at most, found by
            measuring.
        uniform: Take the same share out of every layer, instead of the least important of all.
        ffn_multiple: Feed-forward units stay in groups of so many.
        importance: How it is judged what matters.
        importance_batches: Training batches on which ``taylor`` judges.
        epochs: Passes over the training data after pruning; 0 leaves training to later stages.
    """

    kind: str = "prune"
    heads: float | None = None
    ffn: float | None = None
    layers: float | None = None
    layer_choice: LayerChoice = LayerChoice.importance
    keep_layers: list[int] = field(default_factory=list)
    parameters: float | None = None
    latency: float | None = None
    uniform: bool = False
    ffn_multiple: int = 8
    importance: ImportanceMeasure = ImportanceMeasure.taylor
    importance_batches: int = 32
    epochs: float = 0.0


_DEFAULT_SHARE = 0.5
_SHARES = ("heads", "ffn", "parameters", "latency")


@STAGES.register("prune")
class Prune(Stage):
    """Removes heads, feed-forward units and layers, and may train what remains."""

    kind: ClassVar[str] = "prune"
    Config: ClassVar[type[StageConfig]] = PruneConfig
    needs_input: ClassVar[bool] = True

    @classmethod
    def check(cls, config: Any, before: Sequence[Upstream]) -> list[Fault]:
        """See :meth:`Stage.check`."""
        training = dataclasses.replace(config, epochs=config.epochs or 1.0)
        return [*checks.faults(training), *_target_faults(config), *_layer_faults(config)]

    @classmethod
    def run(cls, config: Any, context: StageContext) -> None:
        """See :meth:`Stage.run`."""
        # What stays is decided once: measured latencies would differ at the next attempt.
        pruned = context.scratch / "pruned"
        if not pruned.is_dir():
            _prune(config, context, pruned)
        if config.epochs:
            _recover(config, context, pruned)
        else:
            shutil.copytree(pruned, context.output, dirs_exist_ok=True)


def _target_faults(config: Any) -> Iterator[Fault]:
    for name in _SHARES:
        share = getattr(config, name)
        if share is not None and not 0 < share <= 1:
            yield Fault(name, f"expected a share in (0, 1] but got {share:g}")
    overall = [name for name in ("parameters", "latency") if getattr(config, name) is not None]
    parts = [name for name in ("heads", "ffn") if getattr(config, name) is not None]
    if len(overall) == 2:
        yield Fault("latency", "expected either parameters or latency but got both")
    elif overall and parts:
        yield Fault(
            parts[0],
            f"expected either {overall[0]}, which finds the shares of heads and ffn, or those "
            f"shares, but got {overall[0]} and {' and '.join(parts)}",
        )
    for name in ("ffn_multiple", "importance_batches"):
        if getattr(config, name) < 1:
            yield Fault(name, f"expected at least 1 but got {getattr(config, name)}")


def _layer_faults(config: Any) -> Iterator[Fault]:
    layers, keep = config.layers, list(config.keep_layers)
    if layers is not None and (layers <= 0 or (layers > 1 and layers != int(layers))):
        yield Fault(
            "layers", f"expected a share below 1 or a whole number of layers but got {layers:g}"
        )
    if keep != sorted(set(keep)) or any(layer < 0 for layer in keep):
        yield Fault("keep_layers", f"expected rising layer numbers from 0 but got {keep}")
    if keep and layers is not None:
        yield Fault(
            "keep_layers",
            f"expected either keep_layers or layers but got keep_layers={keep} and "
            f"layers={layers:g}",
        )


def _targets(config: Any) -> Any:
    """Return the config with the default targets where it names none."""
    named = [config.layers, *(getattr(config, name) for name in _SHARES)]
    if config.keep_layers or any(value is not None for value in named):
        return config
    return dataclasses.replace(config, heads=_DEFAULT_SHARE, ffn=_DEFAULT_SHARE)


def _prune(config: Any, context: StageContext, target: Path) -> None:
    """Write the pruned model before any training; the directory appears when it is whole."""
    from stagetree.models import format as model_format
    from stagetree.models import huggingface
    from stagetree.training.structured import cut

    source = context.inputs["input"]
    learner, manifest = _learner(context, source), model_format.read(source)
    model, kept = cut(learner, _targets(config), context, source, manifest)
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    huggingface.save(
        model,
        learner.tokenizer,
        partial,
        context.task.kind,
        learner.labels,
        manifest.max_length,
        numerics=manifest.numerics,
        lineage={
            "stage": "prune",
            "importance": config.importance.name,
            "kept": kept,
            "from": dict(manifest.lineage),
        },
    )
    partial.rename(target)


def _recover(config: Any, context: StageContext, pruned: Path) -> None:
    """Train the pruned model on the labels."""
    from stagetree.models import format as model_format
    from stagetree.training.fit import fit
    from stagetree.training.learner import Start
    from stagetree.training.limits import shape
    from stagetree.training.objectives import CrossEntropy

    needs = {"kind": Prune.kind, **origin(context), "pruned": shape(pruned)}
    start = Start(needs, lambda: _learner(context, pruned, config.dropout))
    objective = CrossEntropy(config.label_smoothing)
    fit(start, config, objective, context, lineage=model_format.read(pruned).lineage)


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
