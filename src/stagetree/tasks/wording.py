"""Examples and answers in words, as a person reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stagetree.tasks.spans import Sentence, spans_of

if TYPE_CHECKING:
    from stagetree.tasks.examples import Answer

_TAG = re.compile(r"O|[BI]-.+")


def text_of(row: Mapping[str, Any]) -> str:
    """Return the text of an example: its words, or its text and the second of a pair.

    >>> text_of({"tokens": ["Ask", "Ada"]}), text_of({"text": "Fine", "text_pair": "Good"})
    ('Ask Ada', 'Fine | Good')
    """
    if row.get("tokens"):
        return " ".join(row["tokens"])
    return " | ".join(str(row[name]) for name in ("text", "text_pair") if row.get(name) is not None)


def say(answer: Answer, row: Mapping[str, Any] | None = None) -> str:
    """Return an answer as a person says it.

    >>> say(["O", "B-PERSON", "I-PERSON"], {"tokens": ["Ask", "Ada", "King"]})
    'PERSON "Ada King"'
    >>> say(["B-PERSON", "O"]), say(["O"]), say("good"), say(["mood", "good"])
    ('PERSON [0:1]', 'no entity', 'good', 'mood: good')
    """
    if isinstance(answer, str):
        return answer
    if all(isinstance(item, str) and _TAG.fullmatch(item) for item in answer):
        return _entities(answer, (row or {}).get("tokens"))
    task, own = answer
    return f"{task}: {say(own, row)}"


def _entities(tags: Sequence[str], words: Sequence[str] | None) -> str:
    spans = spans_of(tags, [1.0] * len(tags))
    if words is None:
        named = [f"{span.type} [{span.start}:{span.end}]" for span in spans]
    else:
        named = [f'{span.type} "{Sentence(words).cover(span)}"' for span in spans]
    return ", ".join(named) or "no entity"
