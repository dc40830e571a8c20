"""From Hydra overrides with sweeps in them to a search space and the rest of the line."""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeGuard

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
)
from hydra.errors import HydraException
from omegaconf import Container, DictConfig, FloatNode, IntegerNode, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from stagetree.core.errors import ConfigError, Fault, nearest
from stagetree.search.condition import same
from stagetree.search.parameter import Choice, Parameter, display_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hydra.core.config_loader import ConfigLoader

_PLAIN_TEXT = re.compile(r"[A-Za-z_][\w./-]*")
_RESERVED = {"true", "false", "null", "nan", "inf"}


@dataclass(frozen=True)
class Line:
    """A command line taken apart.

    Attributes:
        fixed: Overrides that are the same in every trial, in order.
        sweeps: Overrides that vary, in order, or that only some trials have.
    """

    fixed: tuple[str, ...]
    sweeps: tuple[Override, ...]


def split(arguments: Sequence[str], params: Mapping[str, Any], loader: ConfigLoader) -> Line:
    """Merge the configured space with the command line, which wins, and take them apart.

    Args:
        arguments: Overrides of the command line.
        params: Configured space: key to override text (``tag(log, interval(1e-5, 1e-3))``), to
            a list (a choice) or to a plain value (fixed).
        loader: Lists the options that a ``glob`` stands for.

    Raises:
        ConfigError: With every text that Hydra cannot parse.
    """
    parser = OverridesParser.create(config_loader=loader)
    merged: dict[str, tuple[str, Override]] = {}
    faults: list[Fault] = []
    for text in [*(f"{key}={_as_text(value)}" for key, value in params.items()), *arguments]:
        try:
            (override,) = parser.parse_overrides([text])
        except HydraException as error:
            faults.append(Fault(text.split("=")[0], f"cannot read {text!r}: {_first(error)}"))
            continue
        merged[override.get_key_element().lstrip("+~")] = (text, override)
    if faults:
        raise ConfigError(faults)
    parsed = list(merged.values())
    return Line(
        fixed=tuple(text for text, override in parsed if not override.is_sweep_override()),
        sweeps=tuple(override for _, override in parsed if override.is_sweep_override()),
    )


def parameters(
    sweeps: Sequence[Override], base: DictConfig, seed: int | None = None
) -> tuple[Parameter, ...]:
    """Return the parameters that sweeping overrides describe.

    A comma list, ``choice`` and ``glob`` are categorical, whatever they list; ``range`` means
    the same values under every sampler; ``interval`` is continuous, or whole numbers, both
    ends included, where it is cast by ``int`` or the key is typed as an int.

    Args:
        sweeps: The overrides, in order.
        base: The composed configuration without them, for the types of the keys.
        seed: Seed of the order of a shuffled sweep.

    Raises:
        ConfigError: With every sweep that describes no values.
    """
    faults: list[Fault] = []
    names = display_names([override.get_key_element() for override in sweeps])
    found: list[Parameter] = []
    for name, override in zip(names, sweeps, strict=True):
        key = override.get_key_element()
        try:
            distribution, choices = _distribution(override, base, seed)
        except ValueError as error:
            faults.append(Fault(key.lstrip("+"), str(error)))
            continue
        found.append(Parameter(name, key, distribution, choices))
    if faults:
        raise ConfigError(faults)
    return tuple(found)


def _distribution(
    override: Override, base: DictConfig, seed: int | None
) -> tuple[BaseDistribution, tuple[Choice, ...]]:
    sweep: Any = override.value()
    if isinstance(sweep, IntervalSweep):
        return _interval(sweep, _node(base, override.key_or_group)), ()
    tags = set(getattr(sweep, "tags", ()))
    if tags:
        raise ValueError(f"expected tags on an interval only but got {', '.join(sorted(tags))}")
    choices = _distinct(listed(override))
    if not choices:
        raise ValueError(f"expected at least one value but got {override.get_value_string()}")
    distribution = _discrete(sweep, choices)
    if getattr(sweep, "shuffle", False):
        choices = random.Random(seed or 0).sample(choices, len(choices))
    return distribution, tuple(choices)


def listed(override: Override) -> list[Choice]:
    """Return the values of a discrete sweep as they are written, repeats included."""
    sweep: Any = override.value()
    if not override.is_sweep_override():
        return [Choice(_value(sweep, override.get_value_string()), override.get_value_string())]
    if isinstance(sweep, ChoiceSweep):
        raw: list[Any] = list(sweep.list)
    elif isinstance(sweep, RangeSweep):
        raw = list(sweep.range())
    else:
        raw = list(override.sweep_iterator())
    texts = [Override._get_value_element_as_str(item) for item in raw]
    values = [_value(item, text) for item, text in zip(raw, texts, strict=True)]
    if _confusable(values):
        values = list(texts)
    return [Choice(value, text) for value, text in zip(values, texts, strict=True)]


def _distinct(choices: Sequence[Choice]) -> list[Choice]:
    found: list[Choice] = []
    for choice in choices:
        if not any(same(choice.value, other.value) for other in found):
            found.append(choice)
    return found


def _value(item: Any, text: str) -> Any:
    """Return what Optuna keeps for a parsed element; a list or mapping is kept as its text."""
    if isinstance(item, QuotedString):
        return item.text
    return item if item is None or isinstance(item, bool | int | float | str) else text


def _confusable(values: Sequence[Any]) -> bool:
    """Return whether two values of different types are equal for Python, as 1 and True are."""
    return any(
        one == other and type(one) is not type(other)
        for index, one in enumerate(values)
        for other in values[:index]
    )


def _discrete(sweep: Any, choices: Sequence[Choice]) -> BaseDistribution:
    values = [choice.value for choice in choices]
    if not isinstance(sweep, RangeSweep):
        return CategoricalDistribution(values)
    step, low = abs(sweep.step), min(values)
    if all(isinstance(value, int) for value in values):
        return IntDistribution(low, max(values), step=int(step))
    high = Decimal(str(low)) + (len(values) - 1) * Decimal(str(step))
    return FloatDistribution(float(low), float(high), step=float(step))


def _interval(sweep: IntervalSweep, node: Node | None) -> BaseDistribution:
    low, high = sweep.start, sweep.end
    if not _is_number(low) or not _is_number(high) or low > high:
        raise ValueError(f"expected interval(low, high) but got interval({low}, {high})")
    for tag in sorted(sweep.tags - {"log"}):
        hint = " Did you mean 'log'?" if nearest(tag, ["log"]) else ""
        raise ValueError(f"unknown tag {tag!r}.{hint} Known: log.")
    log = "log" in sweep.tags
    if log and low <= 0:
        raise ValueError(f"expected a lower end above 0 for a log interval but got {low}")
    cast = isinstance(low, int) and isinstance(high, int)
    if cast or (isinstance(node, IntegerNode) and not isinstance(node, FloatNode)):
        if low != int(low) or high != int(high):
            raise ValueError(
                f"expected whole numbers, as the key is an int, but got interval({low}, {high})"
            )
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _node(base: DictConfig, key: str) -> Node | None:
    """Return the typed node at a dotted key of the composed configuration, if there is one."""
    parent, _, last = key.rpartition(".")
    try:
        holder = OmegaConf.select(base, parent) if parent else base
        node = holder._get_node(last) if isinstance(holder, DictConfig) else None
    except OmegaConfBaseException:  # no such key, or unresolvable; composing will tell
        return None
    return node if isinstance(node, Node) else None


def _as_text(value: Any) -> str:
    """Return a value of a YAML file as override text; a list is a sweep."""
    if isinstance(value, str):
        return value
    plain = OmegaConf.to_container(value) if isinstance(value, Container) else value
    if isinstance(plain, list):
        texts = [_element(item) for item in plain]
        alone = len(texts) == 1 and not isinstance(plain[0], list)
        return f"choice({texts[0]})" if alone else ",".join(texts)
    return _element(plain)


def _element(item: Any) -> str:
    encode: Callable[[Any], str] = Override._get_value_element_as_str
    if isinstance(item, str):
        plain = _PLAIN_TEXT.fullmatch(item) and item.lower() not in _RESERVED
        return item if plain else QuotedString(item, Quote.single).with_quotes()
    if isinstance(item, list):
        return f"[{','.join(_element(inner) for inner in item)}]"
    return encode(item)


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
