"""What is wrong with training options beyond their types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stagetree.core.errors import Fault
from stagetree.models.adapter_config import AdapterConfig
from stagetree.training import loss_checks
from stagetree.training.config import Phase, Schedule

_AT_LEAST = {
    "max_steps": 0,
    "warmup_steps": 0,
    "batch_size": 1,
    "micro_batch_size": 0,
    "evaluations": 1,
    "patience": 0,
    "max_length": 2,
    "eval_batch_size": 1,
}
_POSITIVE = ("learning_rate", "epochs", "adam_epsilon")
_NOT_NEGATIVE = (
    "weight_decay",
    "max_grad_norm",
    "reuse_gb",
    "evaluate_every",
    "r_drop",
    "l1",
    "l2",
    "l2_start",
)
_FRACTIONS = ("warmup", "decay")
_BELOW_ONE = ("adam_beta1", "adam_beta2", "label_smoothing")


def faults(config: Any) -> list[Fault]:
    """Return everything wrong with a ``TrainingConfig``; paths relative to it."""
    return [
        *_numbers(config),
        *_combinations(config),
        *_phases(config.unfreeze),
        *_adapter(config.adapter, config.unfreeze),
        *loss_checks.faults(config),
    ]


def sharded_faults(config: Any) -> list[Fault]:
    """Return what of a ``TrainingConfig`` needs every process to have the whole model."""
    wanted = {
        "adapter": config.adapter.active,
        "unfreeze": bool(config.unfreeze),
        **{name: getattr(config, name) > 0 for name in ("l1", "l2", "l2_start")},
    }
    message = "does not go with resources.strategy=fsdp; leave it out or say strategy=ddp"
    return [Fault(name, message) for name, asked in wanted.items() if asked]


def _numbers(config: Any) -> Iterator[Fault]:
    for name in _POSITIVE:
        yield from _unless(getattr(config, name) > 0, config, name, "a number above 0")
    for name in _NOT_NEGATIVE:
        yield from _unless(getattr(config, name) >= 0, config, name, "a number of at least 0")
    for name in _FRACTIONS:
        yield from _unless(0 <= getattr(config, name) <= 1, config, name, "a fraction from 0 to 1")
    for name in _BELOW_ONE:
        yield from _unless(0 <= getattr(config, name) < 1, config, name, "a number in [0, 1)")
    for name, least in _AT_LEAST.items():
        yield from _unless(getattr(config, name) >= least, config, name, f"at least {least}")
    for name in ("layer_decay", "data_share"):
        yield from _unless(0 < getattr(config, name) <= 1, config, name, "a number in (0, 1]")
    dropout = config.dropout
    yield from _unless(dropout is None or 0 <= dropout < 1, config, "dropout", "a number in [0, 1)")


def _combinations(config: Any) -> Iterator[Fault]:
    size, micro = config.batch_size, config.micro_batch_size
    if micro > 0 and size > 0 and size % micro:
        yield Fault(
            "micro_batch_size",
            f"expected a divisor of batch_size={size} but got {micro}; "
            f"the next smaller one is {_divisor(size, micro)}",
        )
    if config.gradient_checkpointing and config.unfreeze:
        yield Fault(
            "gradient_checkpointing",
            "expected false beside unfreeze, whose frozen layers keep nothing in memory anyway, "
            "but got true",
        )
    decays = config.schedule is Schedule.warmup_stable_decay
    if decays and not config.warmup_steps and config.warmup + config.decay > 1:
        yield Fault(
            "decay",
            f"expected warmup + decay of at most 1 but got {config.warmup:g} + {config.decay:g}",
        )


def _phases(phases: Sequence[Phase]) -> Iterator[Fault]:
    before = 0.0
    for place, phase in enumerate(phases):
        if not before < phase.until <= 1:
            yield Fault(
                f"unfreeze[{place}].until",
                f"expected a fraction above {before:g} and up to 1 but got {phase.until:g}",
            )
        if phase.layers < -1:
            yield Fault(
                f"unfreeze[{place}].layers",
                f"expected -1 (all) or a number of layers but got {phase.layers}",
            )
        before = phase.until
    if phases and phases[-1].until != 1:
        yield Fault(
            f"unfreeze[{len(phases) - 1}].until",
            f"expected the last phase to end at 1 but got {phases[-1].until:g}",
        )


def _adapter(adapter: AdapterConfig, unfreeze: Sequence[Phase]) -> Iterator[Fault]:
    if not adapter.active:
        return
    for name in ("rank", "virtual_tokens"):
        value = getattr(adapter, name)
        if value < 1:
            yield Fault(f"adapter.{name}", f"expected at least 1 but got {value}")
    if not adapter.alpha > 0:
        yield Fault("adapter.alpha", f"expected a number above 0 but got {adapter.alpha}")
    if not 0 <= adapter.dropout < 1:
        yield Fault("adapter.dropout", f"expected a number in [0, 1) but got {adapter.dropout}")
    method = adapter.method.name
    if adapter.modules and adapter.stays_apart:
        yield Fault("adapter.modules", f"expected none with method={method}, which adapts no maps")
    if unfreeze:
        yield Fault(
            "unfreeze",
            f"expected no phases with adapter.method={method}, which keeps the encoder frozen; "
            "leave out one of the two",
        )


def _unless(holds: bool, config: Any, name: str, expected: str) -> Iterator[Fault]:
    if not holds:
        yield Fault(name, f"expected {expected} but got {getattr(config, name)}")


def _divisor(size: int, near: int) -> int:
    return next(micro for micro in range(min(near, size), 0, -1) if size % micro == 0)
