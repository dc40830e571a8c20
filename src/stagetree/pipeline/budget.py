"""The disk budget: what goes first when the store holds more than it may."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stagetree.core.errors import StagetreeError
from stagetree.core.kept import Kept
from stagetree.core.lease import Lease
from stagetree.pipeline import unfinished
from stagetree.pipeline.record import Record
from stagetree.pipeline.sizes import Sizes
from stagetree.pipeline.store import Store

_log = logging.getLogger(__name__)

LOW_WATER = 0.9
"""Share of the budget down to which results go, so that not every stage has to make room."""


@dataclass(frozen=True)
class _Candidate:
    record: Record
    bytes: int
    last_used: int


class Budget:
    """Keeps a store's results within a number of bytes, as far as something refers to none.

    Checkpoints from which later runs may go on (:mod:`stagetree.pipeline.unfinished`) count and go
    first. Of results, what goes is what is cheapest to compute again for the space it takes and
    the time it was not used: ``seconds / (bytes * idle time)``, the profit of P. Scheuermann, J.
    Shim and R. Vingralek, WATCHMAN: a data warehouse intelligent cache manager (VLDB 1996).
    Results in use and those that studies, experiments or single runs refer to stay. If that
    leaves too much, the user is told once what holds the space, and the work goes on.

    Args:
        store: The store.
        limit: Bytes that its results may take.
        kept: Returns what must stay; asked only when something has to go.
    """

    def __init__(self, store: Store, limit: float, kept: Callable[[], Kept]) -> None:
        self._store = store
        self._limit = limit
        self._kept = kept
        self._sizes = Sizes(store.root)
        self._told = False

    def settle(self) -> int:
        """Bring the store below its budget if it is above; return the bytes freed.

        Of several workers one does it; the others go on. Cheap while nothing has to go.
        """
        sizes = self._sizes.read()
        if sum(sizes.values()) + unfinished.size(self._store.root) <= self._limit:
            return 0
        lease = Lease(self._store.root / "locks" / "budget.lock")
        try:
            if not lease.try_acquire():
                return 0
            return self._evict(sizes)
        except (StagetreeError, OSError) as error:
            self._tell(f"the store is over its budget and nothing could be freed: {error}")
            return 0
        finally:
            lease.release()

    def _evict(self, sizes: Mapping[str, int]) -> int:
        held = dict.fromkeys(self._store.used(), "in use")
        stay = {**self._kept().reasons, **held}  # asked last: it knows what was just let go of
        results = sum(sizes.values())
        freed = unfinished.trim(self._store.root, max(0.0, LOW_WATER * self._limit - results))
        total = results + unfinished.size(self._store.root) + freed
        for candidate in self._candidates(sizes, stay):
            if total - freed <= LOW_WATER * self._limit:
                break
            record = candidate.record
            gone = self._store.free(record.signature, candidate.last_used)
            if gone:
                _log.info("freed %s %s, %.1f MB", record.name, record.signature[:12], gone / 1e6)
            freed += gone
        if total - freed > self._limit:
            self._tell(self._explain(total - freed, sizes, stay))
        return freed

    def _candidates(self, sizes: Mapping[str, int], stay: Mapping[str, str]) -> list[_Candidate]:
        """Return what may go, the least worth keeping first."""
        found = [
            _Candidate(record, sizes[record.signature], self._store.last_used(record.signature))
            for record in self._store.records()
            if record.signature in sizes and record.signature not in stay
        ]
        now = time.time()
        return sorted(found, key=lambda item: (_worth(item, now), item.record.signature))

    def _explain(self, total: int, sizes: Mapping[str, int], stay: Mapping[str, str]) -> str:
        holds: dict[str, int] = {}
        for signature, reason in stay.items():
            if self._store.last_used(signature):
                holds[reason] = holds.get(reason, 0) + sizes.get(signature, 0)
        largest = sorted(holds.items(), key=lambda item: -item[1])[:4]
        shown = ", ".join(f"{reason} {size / 1e6:.1f} MB" for reason, size in largest)
        return (
            f"the store holds {total / 1e6:.1f} MB and may hold {self._limit / 1e6:.1f} MB "
            f"(store.budget_gb), but what is left must stay: {shown}. The work goes on. Raise "
            "store.budget_gb, lower store.keep_best, or look at: stagetree store gc"
        )

    def _tell(self, text: str) -> None:
        if not self._told:
            self._told = True
            _log.warning(text)


def _worth(item: _Candidate, now: float) -> float:
    idle = max(now - item.last_used / 1e9, 1.0)
    return item.record.seconds / (max(item.bytes, 1) * idle)
