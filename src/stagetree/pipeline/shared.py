"""What several stages use and no stage owns, such as a teacher's answers, kept in the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stagetree.core.signature import signature
from stagetree.pipeline.nodes import Node, Pipeline
from stagetree.pipeline.record import Record
from stagetree.pipeline.store import Store

_SEED = 0
"""Nothing that is shared may depend on a stage's seed."""


class Shared:
    """Brings shared results of one node's stage into the store; see ``StageContext.shared``.

    An entry has a signature, a lease, checksums and a record, as a stage's result has; its record
    has no name.

    Args:
        store: Where they lie.
        pipeline: Whose data and task they are of.
        node: Whose inputs they are made from.
        waiting: Called as ``waiting(seconds)`` about once a second while another worker makes
            one; may raise.
    """

    def __init__(
        self, store: Store, pipeline: Pipeline, node: Node, waiting: Callable[[float], None]
    ) -> None:
        self._store = store
        self._pipeline = pipeline
        self._node = node
        self._waiting = waiting

    def __call__(
        self,
        kind: str,
        version: int,
        fields: Mapping[str, object],
        roles: Sequence[str],
        make: Callable[[Path], None],
    ) -> Path:
        """See ``StageContext.shared``."""
        known = dict(zip(self._node.roles, self._node.inputs, strict=False))
        inputs = [known[role] for role in roles]
        data = self._pipeline.data_fingerprint
        key = signature(kind, version, fields, inputs, data, _SEED)
        record = self._store.get(key)
        if record is not None:
            self._store.offer(record)
            return self._store.readable(record)
        with self._store.open(key, self._waiting) as work:
            record = work.record
            if record is None:
                start = time.perf_counter()
                make(work.output)
                seconds = round(time.perf_counter() - start, 3)
                record = work.publish(self._record(key, kind, version, fields, inputs, seconds))
        return self._store.readable(record)

    def _record(
        self,
        key: str,
        kind: str,
        version: int,
        fields: Mapping[str, object],
        inputs: Sequence[str],
        seconds: float,
    ) -> Record:
        from stagetree.pipeline.environment import environment

        return Record(
            signature=key,
            kind=kind,
            name="",
            version=version,
            config=dict(fields),
            inputs=list(inputs),
            data=self._pipeline.data_fingerprint,
            model=self._pipeline.model_revision,
            seed=_SEED,
            seconds=seconds,
            environment=environment(self._pipeline.numerics, Path.cwd()),
        )
