"""What is wrong with the options of losses, adversaries and augmentation."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Mapping
from typing import Any

from stagetree.core.errors import Fault, unknown
from stagetree.data.augment.base import AUGMENTERS, NONE, AugmentConfig
from stagetree.training.config import AdversarialConfig, Attack, GoldLoss, LossConfig

RULES = ("none", "balanced", "inverse_sqrt")
"""Names that ``class_weights`` understands."""


def faults(config: Any) -> Iterator[Fault]:
    """Give everything wrong with these options of a ``TrainingConfig``; paths relative to it."""
    yield from _loss(config.loss)
    if config.loss.kind is GoldLoss.focal and config.label_smoothing:
        yield Fault(
            "label_smoothing",
            f"expected 0 beside loss.kind=focal but got {config.label_smoothing}: focal loss is "
            "defined for one gold label a position",
        )
    if config.r_drop and config.dropout == 0:
        yield Fault(
            "r_drop", f"expected 0 without dropout but got {config.r_drop}: both passes are one"
        )
    yield from _adversarial(config.adversarial)
    yield from _augment(config.augment)


def _loss(loss: LossConfig) -> Iterator[Fault]:
    if not loss.gamma >= 0:
        yield Fault("loss.gamma", f"expected a number of at least 0 but got {loss.gamma}")
    weights = loss.class_weights
    if isinstance(weights, Mapping):
        for name, weight in weights.items():
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if not (number and 0 <= weight < math.inf):
                yield Fault(
                    f"loss.class_weights.{name}",
                    f"expected a number of at least 0 but got {weight!r}",
                )
    elif not isinstance(weights, str):
        yield Fault(
            "loss.class_weights",
            f"expected one of {', '.join(RULES)}, or weights by label, but got {weights!r}",
        )
    elif weights not in RULES:
        yield Fault("loss.class_weights", unknown("rule", weights, RULES))


def _adversarial(options: AdversarialConfig) -> Iterator[Fault]:
    if options.method is Attack.none:
        return
    if not options.epsilon > 0:
        yield Fault("adversarial.epsilon", f"expected a number above 0 but got {options.epsilon}")
    if not options.step_size >= 0:
        yield Fault(
            "adversarial.step_size", f"expected a number of at least 0 but got {options.step_size}"
        )
    if options.steps < 1:
        yield Fault("adversarial.steps", f"expected at least 1 but got {options.steps}")


def _augment(options: AugmentConfig) -> Iterator[Fault]:
    name = options.method
    if name == NONE:
        return
    if name not in AUGMENTERS:
        yield Fault("augment.method", unknown("method", name, (NONE, *AUGMENTERS)))
    elif AUGMENTERS[name].needs and importlib.util.find_spec(AUGMENTERS[name].needs) is None:
        yield Fault(
            "augment.method",
            f"{name!r} needs the package {AUGMENTERS[name].needs!r}, which is not installed: "
            "pip install 'stagetree[augment]'",
        )
    if options.copies < 1:
        yield Fault("augment.copies", f"expected at least 1 but got {options.copies}")
    if not 0 < options.share <= 1:
        yield Fault("augment.share", f"expected a share in (0, 1] but got {options.share}")
