"""Which stages of a run the store already has, and what keeps the others from being reused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stagetree.pipeline import commandline
from stagetree.pipeline.compose import compose
from stagetree.pipeline.nodes import Node, Pipeline
from stagetree.pipeline.store import Store
from stagetree.pipeline.why import explain


def reuse(words: Sequence[str], store: Store) -> list[dict[str, Any]]:
    """Return a row a stage: its name, signature, whether and where it is stored, and what differs.

    Raises:
        ConfigError: The words do not describe a run.
    """
    pipeline = compose(commandline.load(words))
    return [_row(pipeline, node, store) for node in pipeline.nodes]


def where(*, here: bool, remote: bool) -> str:
    """Say where a result is.

    >>> where(here=True, remote=True)
    'here and remote'
    """
    return " and ".join(["here"] * here + ["remote"] * remote)


def _row(pipeline: Pipeline, node: Node, store: Store) -> dict[str, Any]:
    here = store.get(node.signature) is not None
    remote = store.remote is not None and store.remote.has(node.signature)
    stored = here or remote
    return {
        "stage": node.name,
        "signature": node.signature,
        "stored": stored,
        "where": where(here=here, remote=remote),
        "differences": [] if stored else _differences(pipeline, node, store),
    }


def _differences(pipeline: Pipeline, node: Node, store: Store) -> list[str]:
    freed = store.recall(node.signature)
    if freed is None:
        return explain(store, _wanted(pipeline, node))
    return [f"nothing: it was computed {freed.created[:19]}, and its model was freed since"]


def _wanted(pipeline: Pipeline, node: Node) -> dict[str, Any]:
    return {
        "kind": node.stage.kind,
        "version": node.stage.VERSION,
        "config": node.fields,
        "inputs": list(node.inputs),
        "data": pipeline.data_fingerprint,
        "model": pipeline.model_revision,
        "seed": pipeline.seed,
    }
