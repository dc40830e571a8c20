"""What a run needs: which stages it must compute, and which stored models it starts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from stagetree.pipeline.nodes import Pipeline

if TYPE_CHECKING:
    from stagetree.pipeline.record import Record
    from stagetree.pipeline.store import Store


class Needs(NamedTuple):
    """What a run needs.

    Attributes:
        computed: Signatures of the stages that it has to compute.
        models: Signatures of the results whose model it uses: its own results, the last stage of
            each seed, and the inputs of stages that it computes.
    """

    computed: set[str]
    models: set[str]


def needs(
    pipeline: Pipeline, stored: Callable[[str], bool], remembered: Callable[[str], bool]
) -> Needs:
    """Return what a run needs.

    A stage whose model was freed is told from its record, unless the run needs the model.

    Args:
        pipeline: The run.
        stored: Returns whether a result can be had.
        remembered: Returns whether the record of a result is there, though its model was freed.
    """
    last = {node.seed: node.signature for node in pipeline.nodes}
    models, found = set(last.values()), set()
    for node in reversed(pipeline.nodes):
        if stored(node.signature):
            continue
        if node.signature in models or not remembered(node.signature):
            found.add(node.signature)
            models.update(node.inputs)
    return Needs(found, models)


def computed(
    pipeline: Pipeline, stored: Callable[[str], bool], remembered: Callable[[str], bool]
) -> set[str]:
    """Return the signatures of the stages that a run has to compute; see :func:`needs`."""
    return needs(pipeline, stored, remembered).computed


class Brought(NamedTuple):
    """What is known before a run begins.

    Attributes:
        computed: Signatures of the stages that it has to compute.
        told: Records of the stages that are told without their models being here.
    """

    computed: set[str]
    told: dict[str, Record]


def bring(pipeline: Pipeline, store: Store) -> Brought:
    """Fetch what a run needs from the remote store, if there is one.

    Only models that the run uses are fetched; of other stages the record is enough. What turns
    out to be damaged or out of reach changes what must be computed, so the needs are looked at
    again until all that is needed is here.

    Raises:
        StoreError: The store cannot be written.
    """
    lost: set[str] = set()

    def stored(signature: str) -> bool:
        return store.here(signature) or (signature not in lost and store.has(signature))

    while True:
        need = needs(pipeline, stored, store.remembers)
        if store.remote is None:
            return Brought(need.computed, {})
        told: dict[str, Record] = {}
        before = len(lost)
        for node in pipeline.nodes:
            signature = node.signature
            if signature in need.computed or store.here(signature):
                continue
            used = signature in need.models
            found = store.fetch(signature) if used else store.recall(signature)
            if found is None:
                lost.add(signature)
            elif not used:
                told[signature] = found
        if len(lost) == before:
            return Brought(need.computed, told)
