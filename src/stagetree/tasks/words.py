r"""Splitting raw text into words, with the place of each.

Models of token tasks are trained on words that somebody split. Three ways:

``conll``
    As in the CoNLL corpora: punctuation stands alone, but hyphenated words, decimals, dates,
    abbreviations, e-mail addresses and web addresses stay whole, and ``'s`` is a word.
``simple``
    Runs of letters and digits, and every other sign alone, as BERT splits.
``spaces``
    At white space only: text that is split already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

_CONLL = r"""
    (?:https?://|www\.)[^\s<>"]*[^\s<>".,;:!?)\]}']   # web addresses
  | [\w.+-]+@[\w-]+(?:\.[\w-]+)+                      # e-mail addresses
  | (?:[^\W\d_]\.){2,}                                # U.N.
  | (?<=\w)['\u2019](?:s|S|t|T|re|ve|ll|d|m)\b        # Peter 's
  | [+-]?\d+(?:[.,:/-]\d+)*%?(?!\w|-\w)              # 1,000.5  1996-08-22  10:30
  | \w+(?:-\w+)*                                      # words, German-born
  | \.{2,}                                            # ...
  | [^\w\s]                                           # every other sign
"""

SPLITTERS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "conll": re.compile(_CONLL, re.VERBOSE),
        "simple": re.compile(r"\w+|[^\w\s]"),
        "spaces": re.compile(r"\S+"),
    }
)
"""Every way to split, by name."""

DEFAULT = "conll"


def split(text: str, how: str = DEFAULT) -> list[tuple[str, int, int]]:
    """Return the words of a text with the characters they start and end (exclusive) at.

    Only white space is left out.

    >>> text = "Peter's U.N. e-mail (a.b@c.org) cost 1,000.50 on the 3rd."
    >>> [word for word, _, _ in split(text)][:7]
    ['Peter', "'s", 'U.N.', 'e-mail', '(', 'a.b@c.org', ')']
    >>> [word for word, _, _ in split(text)][7:]
    ['cost', '1,000.50', 'on', 'the', '3rd', '.']
    """
    return [(found.group(), *found.span()) for found in SPLITTERS[how].finditer(text)]
