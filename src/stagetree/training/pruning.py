"""What can be said about pruning in a configuration, and what is wrong with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from stagetree.core.errors import Fault
from stagetree.training import checks
from stagetree.training.config import TrainingConfig


class PruneMethod(Enum):
    """What is taken out, and how.

    ``structured`` removes heads, feed-forward units and layers. The others set single weights to
    zero: the least (``magnitude``), those that training moves towards zero (``movement``, Sanh et
    al. 2020, arXiv 2005.07683), or all but the ``n`` largest of every ``m`` (``n_of_m``).
    """

    structured = "structured"
    magnitude = "magnitude"
    movement = "movement"
    n_of_m = "n_of_m"


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
class PruningConfig(TrainingConfig):
    """Options of pruning. Shares are of what stays; only ``sparsity`` is of what goes.

    With none of ``heads``, ``ffn``, ``layers``, ``keep_layers``, ``parameters`` and ``latency``
    half of the heads and of the feed-forward units stay.

    Attributes:
        method: What is taken out.
        heads: Share of the attention heads that stay, in (0, 1]; every layer keeps one.
        ffn: Share of the feed-forward units that stay, in (0, 1].
        layers: Whole layers that stay: a number from 1 up, or a share below 1.
        layer_choice: Which layers stay.
        keep_layers: Exactly these layers stay, from 0, instead of ``layers``.
        parameters: Share of the encoder layers' weights that stays at most; equal shares of
            heads and feed-forward units are found that meet it.
        latency: Share of the input's latency on one CPU thread that stays at most, found by
            measuring.
        uniform: Take the same share out of every layer (or matrix), instead of the least
            important of all.
        ffn_multiple: Feed-forward units stay in groups of so many.
        importance: How it is judged which parts matter.
        importance_batches: Training batches on which ``taylor`` judges.
        sparsity: Share of the weights of the layers' matrices that ``magnitude`` and ``movement``
            set to zero.
        until: Sparsity rises over this fraction of the steps, along a cubic curve (Zhu and Gupta
            2017, arXiv 1710.01878); the masks are held from there on.
        mask_every: Steps between two choices of what is masked.
        n: Weights that ``n_of_m`` leaves of every ``m``.
        m: Neighbouring inputs that are a group for ``n_of_m``.
        epochs: Passes over the training data in this stage; 0 leaves training to later stages.
    """

    method: PruneMethod = PruneMethod.structured
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
    sparsity: float = 0.5
    until: float = 0.7
    mask_every: int = 10
    n: int = 2
    m: int = 4
    epochs: float = 0.0


_DEFAULT_SHARE = 0.5
_SHARES = ("heads", "ffn", "parameters", "latency")
_STRUCTURED = (*_SHARES, "layers", "keep_layers")


def targets(config: Any) -> Any:
    """Return the config with the default targets of structured pruning where it names none."""
    if any(getattr(config, name) for name in _STRUCTURED):
        return config
    return dataclasses.replace(config, heads=_DEFAULT_SHARE, ffn=_DEFAULT_SHARE)


def faults(config: Any) -> list[Fault]:
    """Return everything wrong with a ``PruningConfig``; paths relative to it."""
    training = dataclasses.replace(config, epochs=config.epochs or 1.0)
    return [
        *checks.faults(training),
        *_target_faults(config),
        *_layer_faults(config),
        *_mask_faults(config),
    ]


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
    for name in ("ffn_multiple", "importance_batches", "mask_every"):
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


def _mask_faults(config: Any) -> Iterator[Fault]:
    if not 0 < config.sparsity < 1:
        yield Fault("sparsity", f"expected a share in (0, 1) but got {config.sparsity:g}")
    if not 0 < config.until <= 1:
        yield Fault("until", f"expected a fraction in (0, 1] but got {config.until:g}")
    if not 1 <= config.n < config.m:
        yield Fault("n", f"expected n from 1 to below m but got n={config.n} and m={config.m}")
    if config.method is PruneMethod.structured:
        return
    if config.method is PruneMethod.movement and not config.epochs:
        yield Fault("epochs", "expected epochs above 0, in which movement is learnt, but got 0")
    for name in _STRUCTURED:
        if getattr(config, name):
            yield Fault(
                name,
                f"expected method=structured beside {name} but got method={config.method.name}",
            )
