"""Rules that mend predicted entities, one function a rule, applied in the order of a file."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from stagetree.core.errors import ConfigError, Fault, unknown
from stagetree.core.registry import Registry
from stagetree.tasks.spans import Sentence, Span

Rule = Callable[..., list[Span]]

RULES: Registry[Rule] = Registry("rule")
"""Every rule, by name: called with spans, their sentence and the options of the file."""


@RULES.register("merge_adjacent")
def merge_adjacent(
    spans: Sequence[Span], _: Sentence, types: Sequence[str] | None = None, gap: int = 0
) -> list[Span]:
    """Join neighbours of one type with at most ``gap`` words between them."""
    merged: list[Span] = []
    for span in spans:
        last = merged[-1] if merged else None
        alike = last is not None and last.type == span.type and _concerned(span, types)
        if last is None or not alike or span.start - last.end > gap:
            merged.append(span)
            continue
        sizes = (last.end - last.start, span.end - span.start)
        score = (last.score * sizes[0] + span.score * sizes[1]) / sum(sizes)
        merged[-1] = Span(span.type, last.start, span.end, score, last.opened)
    return merged


@RULES.register("drop_short")
def drop_short(
    spans: Sequence[Span],
    sentence: Sentence,
    types: Sequence[str] | None = None,
    characters: int = 0,
    words: int = 0,
) -> list[Span]:
    """Drop entities of fewer characters or fewer words."""
    return [
        span
        for span in spans
        if not _concerned(span, types)
        or (len(sentence.cover(span)) >= characters and span.end - span.start >= words)
    ]


@RULES.register("allow")
def allow(spans: Sequence[Span], _: Sentence, types: Sequence[str]) -> list[Span]:
    """Keep only entities of these types."""
    return [span for span in spans if span.type in types]


@RULES.register("deny")
def deny(spans: Sequence[Span], _: Sentence, types: Sequence[str]) -> list[Span]:
    """Drop entities of these types."""
    return [span for span in spans if span.type not in types]


@RULES.register("must_match")
def must_match(
    spans: Sequence[Span], sentence: Sentence, patterns: Mapping[str, str]
) -> list[Span]:
    """Drop entities whose whole text does not match their type's regular expression."""
    return [
        span
        for span in spans
        if span.type not in patterns or re.fullmatch(patterns[span.type], sentence.cover(span))
    ]


@RULES.register("drop_orphans")
def drop_orphans(spans: Sequence[Span], _: Sentence) -> list[Span]:
    """Drop entities that began with ``I-`` instead of ``B-``."""
    return [span for span in spans if span.opened]


def bound(
    listed: Sequence[tuple[str, Mapping[str, Any]]], types: Sequence[str]
) -> list[Callable[[Sequence[Span], Sentence], list[Span]]]:
    """Return the rules of a file, ready to be called with spans and their sentence.

    Args:
        listed: Name and options of each rule.
        types: Entity types of the model.

    Raises:
        ConfigError: A rule, an option or a type is unknown, or a pattern is malformed; every
            fault is listed.
    """
    faults = [
        Fault(f"--rules[{index}].{name}", message)
        for index, (name, options) in enumerate(listed)
        for message in _faults(name, options, types)
    ]
    if faults:
        raise ConfigError(faults)
    return [partial(RULES[name], **options) for name, options in listed]


def _faults(name: str, options: Mapping[str, Any], types: Sequence[str]) -> list[str]:
    if name not in RULES:
        return [unknown("rule", name, RULES)]
    signature = inspect.signature(RULES[name])
    known = list(signature.parameters)[2:]
    faults = [unknown("option", option, known) for option in options if option not in known]
    faults += [
        f"expected the option {option!r} but got {sorted(options) or 'none'}"
        for option in known
        if signature.parameters[option].default is inspect.Parameter.empty and option not in options
    ]
    return faults or [
        message
        for option, value in options.items()
        for message in _value_faults(option, value, types)
    ]


def _value_faults(option: str, value: Any, types: Sequence[str]) -> list[str]:
    if option in ("gap", "characters", "words"):
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return [] if whole else [f"expected {option} to be a whole number but got {value!r}"]
    if option == "types" and not isinstance(value, list):
        return [f"expected types to be a list but got {value!r}"]
    if option == "patterns" and not isinstance(value, Mapping):
        return [f"expected patterns to be expressions by type but got {value!r}"]
    faults = [unknown("entity type", str(name), types) for name in value if name not in types]
    return faults + (_pattern_faults(value) if option == "patterns" else [])


def _pattern_faults(patterns: Mapping[str, Any]) -> list[str]:
    faults = []
    for name, pattern in patterns.items():
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            faults.append(f"the pattern of {name}, {pattern!r}, is no regular expression: {error}")
    return faults


def _concerned(span: Span, types: Sequence[str] | None) -> bool:
    return types is None or span.type in types
