"""Stored results as sides of a comparison, and the configuration that the store has of runs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from stagetree.core.errors import StoreError
from stagetree.core.trials import StageRow
from stagetree.report.compare import Curve, Side
from stagetree.tracking.flat import leaves

if TYPE_CHECKING:
    from stagetree.pipeline.record import Record
    from stagetree.pipeline.store import Store


def side(digits: str, store: Store) -> Side:
    """Return a stored result with the results it was made from.

    Raises:
        StoreError: The digits begin no signature, or several; or the result is damaged.
    """
    signature = store.find(digits)
    chain = list(_chain(signature, store))
    if not chain:
        raise StoreError(f"the result {signature[:12]} is damaged; see quarantine/")
    return Side(
        name=signature[:12],
        what="result",
        status="stored",
        config=_signed(chain),
        stages=[_stored_row(kept, store) for kept in chain],
        curves={kept.name: _curve(kept) for kept in chain},
        whole=False,
    )


def curves(stages: Sequence[StageRow], store: Store) -> dict[str, Curve]:
    """Return the learning curves that the store has of stages, by their names."""
    found = {stage.name: store.get(stage.signature) for stage in stages if stage.signature}
    return {name: _curve(kept) for name, kept in found.items() if kept is not None}


def signed(side: Side, store: Store) -> Side:
    """Return a side with the configuration that the store has of its stages.

    That is how runs are compared with stored results, which know no other: what limits laid over
    a run (``debug``) have made of its settings stands there.
    """
    last = side.stages[-1].signature if side.stages else ""
    chain = list(_chain(last, store))
    return dataclasses.replace(side, config=_signed(chain), whole=False) if chain else side


def _signed(chain: Sequence[Record]) -> dict[str, object]:
    last = chain[-1]
    config: dict[str, object] = {"seed": last.seed, "data": last.data, "model": last.model}
    for kept in chain:
        config |= {f"{kept.name}.{key}": value for key, value in leaves(kept.config)}
    return config


def _chain(signature: str, store: Store) -> Iterator[Record]:
    """Yield the records a result was made from, first ones first, and its own."""
    kept = store.get(signature) if re.fullmatch("[0-9a-f]{64}", signature) else None
    if kept is None:
        return
    seen: set[str] = set()
    for upstream in kept.inputs:
        for earlier in _chain(upstream, store):
            if earlier.signature not in seen:
                seen.add(earlier.signature)
                yield earlier
    yield kept


def _stored_row(kept: Record, store: Store) -> StageRow:
    return StageRow(
        name=kept.name,
        kind=kept.kind,
        signature=kept.signature,
        seconds=kept.seconds,
        reused=True,
        model_dir=str(store.model_dir(kept.signature)),
        metrics=kept.metrics,
    )


def _curve(kept: Record) -> Curve:
    return [(float(point["fraction"]), point["metrics"]) for point in kept.curve]
