"""Which stages of a run must be computed: not those that only a stored stage started from."""

from __future__ import annotations

from collections.abc import Callable

from stagetree.pipeline.nodes import Pipeline


def computed(
    pipeline: Pipeline, stored: Callable[[str], bool], remembered: Callable[[str], bool]
) -> set[str]:
    """Return the signatures that a run has to compute.

    A stage whose model was freed is told from its record, unless the run needs the model: as its
    own result, the last stage of each seed, or as the input of a stage that it computes.

    Args:
        pipeline: The run.
        stored: Returns whether a result is there.
        remembered: Returns whether the record of a result is, though its model was freed.
    """
    last = {node.seed: node.signature for node in pipeline.nodes}
    needed, found = set(last.values()), set()
    for node in reversed(pipeline.nodes):
        if stored(node.signature):
            continue
        if node.signature in needed or not remembered(node.signature):
            found.add(node.signature)
            needed.update(node.inputs)
    return found
