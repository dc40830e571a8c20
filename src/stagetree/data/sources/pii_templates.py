"""The PII sentence templates: cleaned, parsed and divided among the splits."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stagetree.core.errors import DataError
from stagetree.data.sources.pii_values import (
    PLACEHOLDERS,
    STREET_ADDRESS,
    Identity,
    Pools,
)
from stagetree.data.splits import Split, stratified

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_SINGLE_BRACES = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")
_WORD = re.compile(r"\w+|[^\w\s]")
_HOUSE = "{{building_number}} {{street_name}}"
_ADDRESSES = (
    "{{street_address}}, {{city}}, {{postcode}} {{country}}",
    "{{street_address}}, {{postcode}} {{city}}",
    "{{street_address}}, {{city}}",
    "{{street_address}} {{secondary_address}}, {{city}}, {{state_abbr}} {{postcode}}",
    "{{street_address}}, {{city}}, {{country}}",
)


@dataclass(frozen=True)
class Template:
    """A sentence with places for values.

    Attributes:
        text: The cleaned line of the templates file.
    """

    text: str

    @property
    def placeholders(self) -> list[str]:
        """Names of the places, in order."""
        return _PLACEHOLDER.findall(self.text)

    def fill(self, rng: Random, pools: Pools) -> tuple[list[str], list[str]]:
        """Return words and IOB2 tags of one sentence made from this template.

        A repeated placeholder gets another person each time.
        """
        text = re.sub(r"\{\{address\}\}", lambda _: rng.choice(_ADDRESSES), self.text)
        people = rng.sample(pools.identities, min(_most_repeated(text), len(pools.identities)))
        seen: Counter[str] = Counter()
        tokens: list[str] = []
        tags: list[str] = []
        open_type = ""  # type of the entity that ends exactly where the next part starts
        for place, part in enumerate(_PLACEHOLDER.split(text)):
            if place % 2:
                kind, words = _value(part, people[seen[part] % len(people)], rng, pools)
                seen[part] += 1
            else:
                kind, words = None, _WORD.findall(part)
            if not words:
                continue
            # House, street and flat written side by side are one address.
            first = "I" if kind == open_type == STREET_ADDRESS else "B"
            tokens += words
            tags += ["O"] * len(words) if kind is None else _tags(first, kind, len(words))
            open_type = kind or ""
        return tokens, tags


def _most_repeated(text: str) -> int:
    return max(Counter(_PLACEHOLDER.findall(text)).values(), default=1)


def _value(name: str, who: Identity, rng: Random, pools: Pools) -> tuple[str | None, list[str]]:
    kind, make = PLACEHOLDERS[name]
    return kind, _WORD.findall(make(rng, who, pools))


def _tags(first: str, kind: str, count: int) -> list[str]:
    return [f"{first}-{kind}", *[f"I-{kind}"] * (count - 1)]


def parse(text: str) -> list[Template]:
    """Return the different templates of a file's text, in order.

    Raises:
        DataError: A line has a placeholder nobody knows how to fill.
    """
    templates: dict[str, Template] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        cleaned = _clean(line)
        for name in _PLACEHOLDER.findall(cleaned):
            if name not in PLACEHOLDERS and name != "address":
                raise DataError(f"templates.txt:{number}: unknown placeholder {name!r}")
        if cleaned:
            templates.setdefault(cleaned, Template(cleaned))
    return list(templates.values())


def _clean(line: str) -> str:
    line = line.replace("\\n", " ").replace("\\,", ",").replace("\ufffd", "\u2013")
    line = _SINGLE_BRACES.sub(r"{{\1}}", line)
    return " ".join(line.split()).replace(_HOUSE, "{{street_address}}")


def divide(templates: Sequence[Template], shares: Sequence[float], seed: int) -> Split:
    """Divide templates so that every split gets templates of every entity type.

    A template counts as one of its rarest type, those without entities as a type of their own.
    """
    types = [
        sorted({PLACEHOLDERS[name][0] or "" for name in _expanded(template)} - {""})
        for template in templates
    ]
    frequency = Counter(kind for kinds in types for kind in kinds)
    groups = [min(kinds, key=lambda kind: (frequency[kind], kind), default="") for kinds in types]
    return stratified(groups, shares, seed)


def _expanded(template: Template) -> list[str]:
    return ["street_address" if name == "address" else name for name in template.placeholders]
