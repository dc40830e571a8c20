"""Garbage collection: which results stay and why, and the removal of the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stagetree.core.kept import Kept
from stagetree.pipeline import leavings, unfinished
from stagetree.pipeline.record import Record
from stagetree.pipeline.store import Store

PARTIAL = "work of workers that are gone"
DAMAGED = "damaged results, set aside"
TRUNKS = "checkpoints that runs of other length may start from"


@dataclass(frozen=True)
class Verdict:
    """What becomes of a stored result.

    Attributes:
        signature: Its signature.
        kind: Its kind.
        name: Its stage's name; empty for what stages share.
        bytes: What it takes.
        keep: Whether it stays.
        reason: Why.
        last_used: When it was last used, as the store says it.
    """

    signature: str
    kind: str
    name: str
    bytes: int
    keep: bool
    reason: str
    last_used: int


def judge(
    store: Store, look: Callable[[], Kept], *, older_than: float, inputs: bool
) -> list[Verdict]:
    """Return what would become of every stored result, largest first; touches nothing.

    Args:
        store: The store.
        look: Says what studies, experiments and single runs refer to. It is asked after the
            store: what a worker lets go of in between is found in its study.
        older_than: Results that were used in the last so many seconds stay.
        inputs: Whether what a kept result was made from stays, too: a result opens without it,
            but another one can then be made from it without computing it again.
    """
    records = {record.signature: record for record in store.records()}
    used = {signature: store.last_used(signature) for signature in records}
    held = dict.fromkeys(store.used(), "in use")
    kept = look()
    stay = {**kept.reasons, **held}
    if inputs:
        for signature in _ancestors(records, stay):
            stay.setdefault(signature, "input of a kept result")
    now = time.time()
    verdicts = []
    for signature, record in records.items():
        young = now - used[signature] / 1e9 < older_than
        reason = stay.get(signature) or _shared(record, stay, inputs=inputs)
        if not reason and young:
            reason = "used lately"
        why = reason or _garbage(record, kept)
        size = store.size(signature)
        verdict = Verdict(
            signature, record.kind, record.name, size, bool(reason), why, used[signature]
        )
        verdicts.append(verdict)
    return sorted(verdicts, key=lambda verdict: (-verdict.bytes, verdict.signature))


def leavings_of(store: Store, older_than: float, *, dry: bool) -> dict[str, int]:
    """Remove what is no result, or only say what it takes, in bytes by what it is.

    Partial work that can be gone on with, damaged results and trunks go when they are as old as
    ``older_than`` says, in seconds.
    """
    found = {
        PARTIAL: store.clean_partial(older_than, dry=dry),
        DAMAGED: leavings.clean_quarantine(store.root, older_than, dry=dry),
        TRUNKS: unfinished.clean(store.root, older_than, dry=dry),
    }
    return {what: size for what, size in found.items() if size}


def collect(store: Store, verdicts: Sequence[Verdict]) -> int:
    """Free the results whose verdict says so; return the bytes that were freed.

    One that was used since it was judged, or is in use, stays. What is known of a freed result
    is remembered.

    Raises:
        StoreError: The store cannot be written; what was freed so far is gone, the rest whole.
    """
    gone = [verdict for verdict in verdicts if not verdict.keep]
    return sum(store.free(verdict.signature, verdict.last_used) for verdict in gone)


def _ancestors(records: dict[str, Record], stay: dict[str, str]) -> set[str]:
    """Return what kept results were made from, and so on to the first stage."""
    found: set[str] = set()
    ahead = [signature for signature in stay if signature in records]
    while ahead:
        for signature in records[ahead.pop()].inputs:
            if signature in records and signature not in found:
                found.add(signature)
                ahead.append(signature)
    return found


def _shared(record: Record, stay: dict[str, str], *, inputs: bool) -> str:
    """Return why something that stages share stays: what it was made from is in use.

    A teacher's answers serve who distils from it; a teacher that is merely kept needs none.
    """
    if not record.shared:
        return ""
    uses = [stay.get(signature, "") for signature in record.inputs]
    active = [use for use in uses if use == "in use" or use.endswith("running") or (use and inputs)]
    return f"shared, of: {active[0]}" if active else ""


def _garbage(record: Record, kept: Kept) -> str:
    if record.shared:
        return "shared, of nothing in use"
    if record.signature in kept.upstream:
        return "only an input of kept results"
    return "nothing keeps it"
