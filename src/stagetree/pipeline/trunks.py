"""Checkpoints of training that runs of different length have in common, in the store.

``root/trunks/NAME/step-000000120`` holds a checkpoint, renamed into place as a whole. A run links
its files into its own work area, so that it may vanish from here at any time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from stagetree.core import nfs
from stagetree.core.atomic import share
from stagetree.core.signature import signature
from stagetree.pipeline import unfinished
from stagetree.pipeline.nodes import Node
from stagetree.training.schedule import HORIZON

_log = logging.getLogger(__name__)


class StageTrunks:
    """The trunks of one node's stage; see :class:`stagetree.training.forks.Trunks`.

    Nothing here fails a run: what cannot be kept costs one warning.

    Args:
        root: The store's directory.
        node: The stage.
        data: Fingerprint of data and task.
        limit: Bytes that everything to go on from may take in the store.
    """

    def __init__(self, root: Path, node: Node, data: str, limit: float) -> None:
        self._root = root
        self._node = node
        self._data = data
        self._limit = limit
        self._told = False

    def name(self, fields: Mapping[str, object]) -> str:
        """See ``Trunks.name``."""
        node = self._node
        own = {key: value for key, value in node.fields.items() if key not in HORIZON}
        kind = f"trunk of {node.stage.kind}"
        whole = {**own, "run": dict(fields)}
        return signature(kind, node.stage.VERSION, whole, node.inputs, self._data, node.seed)

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
            if not self._told:
                self._told = True
                _log.warning("cannot keep a checkpoint for other runs: %s. Going on", error)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

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
