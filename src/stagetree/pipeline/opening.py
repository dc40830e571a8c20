"""The store that a configuration names, with what stands behind it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stagetree.pipeline.remote import remote
from stagetree.pipeline.scratch import Scratch
from stagetree.pipeline.store import Store

if TYPE_CHECKING:
    from omegaconf import DictConfig


def store_of(cfg: DictConfig) -> Store:
    """Return the store of a composed configuration; nothing is opened or asked yet."""
    root, scratch, url = Path(cfg.paths.store), cfg.paths.scratch, cfg.store.remote
    return Store(
        root,
        remote=remote(str(url)) if url else None,
        scratch=Scratch(Path(scratch), cfg.store.scratch_gb * 1e9, root) if scratch else None,
        unfinished=cfg.store.unfinished_gb * 1e9,
    )
