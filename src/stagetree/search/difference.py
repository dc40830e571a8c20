"""How two questions differ, and whether trials of one are evidence for the other."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import Fault
from stagetree.search.parameter import display_names, readable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BY_KEY = ("space", "config")


@dataclass(frozen=True)
class Setting:
    """What a question says of one key.

    Attributes:
        text: The text of its values or, of a fixed key, of its value.
        swept: Whether it is searched over.
    """

    text: str
    swept: bool

    @property
    def shown(self) -> str:
        """The values as a person would write them."""
        if self.swept:
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                return readable(self.text)
        return self.text

    @property
    def known(self) -> bool:
        """Whether the text says which values a run gets, without the rest of the configuration."""
        return self.swept or not ("${" in self.text or self.text == "???")


@dataclass(frozen=True)
class Difference:
    """Where a question departs from a known one.

    Attributes:
        space: Each key that is searched over in one of them, with both settings.
        other: What else differs: a trial of the known question says nothing about the new one.
        faults: All of it, as a person who repeats a study must hear it.
    """

    space: Mapping[str, tuple[Setting, Setting]]
    other: Sequence[str]
    faults: Sequence[Fault]

    @property
    def compatible(self) -> bool:
        """Whether nothing but the search space differs, in keys whose values both sides know."""
        return not self.other

    def __str__(self) -> str:
        names = display_names(list(self.space))
        return "; ".join(
            f"{name}: {before.shown} -> {after.shown}"
            for name, (before, after) in zip(names, self.space.values(), strict=True)
        )


def settings(question: Mapping[str, Any]) -> dict[str, Setting]:
    """Return what a question, as plain data, says of each key, searched keys first."""
    return {
        **{key: Setting(text, swept=True) for key, text in question["space"].items()},
        **{key: Setting(text, swept=False) for key, text in question["config"].items()},
    }


def compare(known: Mapping[str, Any], asked: Mapping[str, Any]) -> Difference:
    """Return how the question ``asked`` differs from ``known``; both as plain data.

    A key may change its values, join the space or leave it, as long as both questions have the
    key: what it was in the old trials is then known. Any other key must be the same, and so must
    every section beside space and configuration, one that only one side knows included.
    """
    before, after = settings(known), settings(asked)
    space: dict[str, tuple[Setting, Setting]] = {}
    other: list[str] = []
    for key in [*before, *(key for key in after if key not in before)]:
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if old and new and (old.swept or new.swept) and old.known and new.known:
            space[key] = (old, new)
        else:
            other.append(key)
    sections = sorted({*known, *asked} - set(_BY_KEY))
    differing = [
        name for name in sections if (known.get(name) or None) != (asked.get(name) or None)
    ]
    faults = [*_by_key(before, after), *(_section_fault(name, known, asked) for name in differing)]
    if known.get("custom") or asked.get("custom"):  # what a function adds cannot be moved
        other += space
    return Difference(space, [*other, *differing], faults)


def _section_fault(name: str, known: Mapping[str, Any], asked: Mapping[str, Any]) -> Fault:
    shown, wanted = json.dumps(known.get(name)), json.dumps(asked.get(name))
    return Fault(name, f"study has {shown}, this line asks {wanted}")


def _by_key(known: Mapping[str, Setting], asked: Mapping[str, Setting]) -> list[Fault]:
    """Return a fault for every key that differs, and one for a section only one side has."""
    messages: dict[str, str] = {}
    swept = {key for side in (known, asked) for key in side if side[key].swept}
    for key in sorted({*known, *asked}, key=lambda key: (key not in swept, key)):
        old, new = known.get(key), asked.get(key)
        if old == new:
            continue
        if old and new:
            messages[key] = f"study has {old.shown}, this line asks {new.shown}"
        elif old:
            section = _section(key, asked)
            messages[section] = (
                f"study has {old.shown if section == key else 'it'}, this line does not"
            )
        elif new:
            section = _section(key, known)
            messages[section] = (
                f"study has none, this line asks {new.shown if section == key else 'it'}"
            )
    return [Fault(key, message) for key, message in messages.items()]


def _section(key: str, other: Mapping[str, Setting]) -> str:
    """Return the shortest part of a dotted key under which ``other`` has nothing."""
    parts = key.split(".")
    for length in range(1, len(parts)):
        prefix = ".".join(parts[:length])
        if not any(name == prefix or name.startswith(f"{prefix}.") for name in other):
            return prefix
    return key
