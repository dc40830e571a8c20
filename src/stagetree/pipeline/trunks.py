"""Checkpoints of training that runs of different length have in common, in the store.

``root/trunks/NAME/step-000000120`` holds a checkpoint, renamed into place as a whole. A run links
its files into its own work area, so that it may vanish from here at any time.

Whoever trains a trunk holds ``root/locks/NAME.lock``, beside which ``NAME.lock.steps`` says after
which steps it leaves checkpoints: whoever needs one of them waits for it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stagetree.core import atomic, nfs
from stagetree.core.atomic import share
from stagetree.core.lease import Lease
from stagetree.core.signature import signature
from stagetree.pipeline import unfinished
from stagetree.pipeline.nodes import Node
from stagetree.training.checkpoint import directory_name
from stagetree.training.schedule import HORIZON

_log = logging.getLogger(__name__)

_POLL = 0.2
"""Seconds between looks at what another run has left."""


class StageTrunks:
    """The trunks of one node's stage; see :class:`stagetree.training.forks.Trunks`.

    Nothing here fails a run: what cannot be kept costs one warning.

    Args:
        root: The store's directory.
        node: The stage.
        data: Fingerprint of data and task.
        limit: Bytes that everything to go on from may take in the store.
        waiting: Called as ``waiting(seconds)``, with the seconds since its last call, while
            another run trains the trunk; may raise to give up.
    """

    def __init__(
        self,
        root: Path,
        node: Node,
        data: str,
        limit: float,
        waiting: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._root = root
        self._node = node
        self._data = data
        self._limit = limit
        self._waiting = waiting
        self._lease: Lease | None = None
        self._told = False

    def name(self, fields: Mapping[str, object]) -> str:
        """See ``Trunks.name``."""
        node = self._node
        own = {key: value for key, value in node.fields.items() if key not in HORIZON}
        kind = f"trunk of {node.stage.kind}"
        whole = {**own, "run": dict(fields)}
        return signature(kind, node.stage.VERSION, whole, node.inputs, self._data, node.seed)

    def claim(self, trunk: str, steps: Sequence[int], reached: int) -> None:
        """See ``Trunks.claim``."""
        lease = Lease(self._root / "locks" / f"{trunk}.lock")
        asked = time.perf_counter()
        while not self._acquire(lease, steps):
            useful = max(
                (step for step in _planned(lease, steps[-1]) if step <= steps[-1]), default=0
            )
            there = self._root / unfinished.TRUNKS / trunk / directory_name(useful)
            if useful <= reached or there.exists():
                return
            time.sleep(_POLL)
            before, asked = asked, time.perf_counter()
            self._waiting(asked - before)

    def _acquire(self, lease: Lease, steps: Sequence[int]) -> bool:
        """Return whether nobody else trains the trunk, or nobody could tell."""
        try:
            if not lease.try_acquire():
                return False
            self._lease = lease
            atomic.write_json(_plan(lease), list(steps))
        except OSError as error:
            self._warn(error)
        return True

    def release(self) -> None:
        """See ``Trunks.release``."""
        lease, self._lease = self._lease, None
        if lease is not None:
            with contextlib.suppress(OSError):
                _plan(lease).unlink(missing_ok=True)
            lease.release()

    def before(self, trunk: str, step: int) -> Sequence[Path]:
        """See ``Trunks.before``."""
        places = sorted((self._root / unfinished.TRUNKS / trunk).glob("step-*"), reverse=True)
        found = [place for place in places if int(place.name.removeprefix("step-")) <= step]
        for place in found[:1]:
            with contextlib.suppress(OSError):
                os.utime(place)
        return found

    def keep(self, trunk: str, directory: Path, fork: bool) -> None:
        """See ``Trunks.keep``; one that is there already stays."""
        family = self._root / unfinished.TRUNKS / trunk
        target, partial = family / directory.name, family / f".{secrets.token_hex(8)}"
        try:
            if not target.exists():
                partial.mkdir(parents=True)
                for path in directory.iterdir():
                    share(path, partial / path.name)
                _place(partial, target)
            if fork:
                (target / unfinished.FORK).touch()
            unfinished.trim(self._root, self._limit)
        except OSError as error:
            self._warn(error)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _warn(self, error: OSError) -> None:
        if not self._told:
            self._told = True
            _log.warning("cannot keep a checkpoint for other runs: %s. Going on", error)

    def drop(self, place: Path) -> None:
        """See ``Trunks.drop``."""
        unfinished.remove(place)


def _place(partial: Path, target: Path) -> None:
    """Rename a checkpoint into place, unless another worker did."""
    try:
        nfs.rename(partial, target)
    except OSError:
        if not target.exists():
            raise


def _plan(lease: Lease) -> Path:
    """Return the file in which the lease's holder says where it leaves checkpoints."""
    return lease.path.with_name(f"{lease.path.name}.steps")


def _planned(lease: Lease, unknown: int) -> list[int]:
    """Return after which steps the lease's holder leaves checkpoints; ``unknown`` until it says."""
    try:
        return [int(step) for step in json.loads(_plan(lease).read_bytes())]
    except (OSError, ValueError, TypeError):
        return [unknown]
