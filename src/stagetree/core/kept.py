"""Why a stored result must not be removed, in words, by signature."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass
class Kept:
    """Results that something refers to.

    Attributes:
        reasons: What refers to a result first, by its signature, such as ``best of study demo``.
        upstream: What refers to the results that such a result was made from, by signature; they
            are needed to make it again, not to open it.
    """

    reasons: dict[str, str] = field(default_factory=dict)
    upstream: dict[str, str] = field(default_factory=dict)

    def add(self, signatures: Iterable[str], reason: str) -> None:
        """Keep results, unless something else does already."""
        for signature in signatures:
            self.reasons.setdefault(signature, reason)

    def add_run(self, stages: Sequence[tuple[str, str]], reason: str) -> None:
        """Keep the results of a run's last stage, one a seed, and know those before it.

        Args:
            stages: Name, which may end in ``@SEED``, and signature of each stage, in order.
            reason: What refers to them.
        """
        last = {name.partition("@")[2]: signature for name, signature in stages}
        self.add(last.values(), reason)
        for _, signature in stages:
            self.upstream.setdefault(signature, reason)
