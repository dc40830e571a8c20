"""Checkpoints inside a stage, as safetensors and JSON: nothing in them can run code.

A checkpoint is a directory that is renamed into place when it is whole, and its ``checkpoint.json``
knows the checksums of the other files. It holds the weights of now and of the best evaluation
(one file where they are the same), so that one directory is all that a resume needs.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, load_model, save_file, save_model

from stagetree.training import ranks, sharding
from stagetree.training.progress import Progress

logger = logging.getLogger(__name__)

MODEL = "model.safetensors"
BEST = "best.safetensors"
OPTIMIZER = "optimizer.safetensors"
RUN = "run.json"
MANIFEST = "checkpoint.json"
_PREFIX = "step-"


class Checkpoints:
    """The checkpoints of one stage; only the last is kept.

    Attributes:
        root: Directory of the checkpoints.
        vocabulary: What ``vocabulary.compact`` gave; checkpoints of another one do not fit.
    """

    def __init__(self, root: Path, vocabulary: str = "") -> None:
        self.root = root
        self.vocabulary = vocabulary

    @property
    def partial(self) -> Path:
        """Where the next checkpoint is written to."""
        return self.root / "partial"

    def begin(self) -> Path:
        """Return an empty directory to write the next checkpoint to."""
        directory = self.partial
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        return directory

    def commit(self, directory: Path, progress: Progress, step: int) -> Path:
        """Seal what was written to ``directory``, make it the last checkpoint, drop the others.

        Args:
            directory: What ``begin`` gave.
            progress: The evaluations so far.
            step: Optimiser steps made.
        """
        files = sorted(path for path in directory.iterdir() if path.is_file())
        manifest = {
            "progress": progress.to_json(),
            "vocabulary": self.vocabulary,
            "checksums": {path.name: _checksum(path) for path in files},
        }
        (directory / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        final = self.root / f"{_PREFIX}{step:09d}"
        shutil.rmtree(final, ignore_errors=True)
        directory.rename(final)
        for other in self._all():
            if other != final:
                shutil.rmtree(other, ignore_errors=True)
        return final

    def last(self) -> tuple[Path, Progress] | None:
        """Return the last whole checkpoint; damaged and foreign ones are dropped with a warning."""
        for directory in reversed(self._all()):
            try:
                manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
                _verify(directory, manifest["checksums"])
                self._refuse_other(manifest["vocabulary"])
                return directory, Progress.from_json(manifest["progress"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                logger.warning("checkpoint %s is damaged or unfit, dropped: %s", directory, error)
                shutil.rmtree(directory, ignore_errors=True)
        return None

    def _refuse_other(self, vocabulary: str) -> None:
        if vocabulary != self.vocabulary:
            raise ValueError(
                f"expected the rows of vocabulary {self.vocabulary!r} but got {vocabulary!r}"
            )

    def _all(self) -> list[Path]:
        return sorted(self.root.glob(f"{_PREFIX}*"))


def save_weights(
    model: torch.nn.Module,
    path: Path,
    frozen: bool = True,
    gathered: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write a model's weights; tied ones once; only those with gradients without ``frozen``.

    Those of a model that processes share out among them are given, as ``gathered``.
    """
    if gathered is not None:
        save_file(dict(gathered), path)
        return
    if frozen:
        save_model(model, str(path))
        return
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    save_file({name: weight.detach().contiguous() for name, weight in trained.items()}, path)


def load_weights(model: torch.nn.Module, path: Path, frozen: bool = True) -> None:
    """Copy the weights of ``save_weights`` into a model of the same shapes."""
    if frozen:
        load_model(model, str(path))
        return
    stored = load_file(path)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                weight.copy_(stored[name])


def share(source: Path, target: Path) -> None:
    """Let ``target`` be the same file as ``source``, or a copy where links are not possible."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def save_optimizer(optimizer: Any, path: Path) -> dict[str, Any]:
    """Write an optimiser's tensors to ``path``, in the process that leads; all must call it.

    Returns:
        The rest of its state, as plain JSON values.
    """
    state = optimizer.state_dict()
    tensors, values = {}, {}
    for index, entries in state["state"].items():
        for name, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{name}"] = sharding.whole(value).detach().contiguous()
            else:
                values[f"{index}.{name}"] = value
    if ranks.leads():
        save_file(tensors, path)
    return {"values": values, "param_groups": state["param_groups"]}


def load_optimizer(optimizer: Any, path: Path, rest: Mapping[str, Any]) -> None:
    """Give an optimiser back the state of ``save_optimizer``."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**load_file(path), **rest["values"]}.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for index, entries in state.items():
        for name, value in entries.items():
            if isinstance(value, torch.Tensor):
                entries[name] = sharding.like(value, weights[index])
    groups = [{**group, "betas": tuple(group["betas"])} for group in rest["param_groups"]]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def save_schedule(schedule: Any) -> dict[str, Any]:
    """Return a learning rate schedule's state as plain JSON values."""
    return {name: value for name, value in schedule.state_dict().items() if name != "lr_lambdas"}


def load_schedule(schedule: Any, saved: Mapping[str, Any]) -> None:
    """Give a schedule back the state of ``save_schedule``."""
    lambdas = schedule.state_dict().get("lr_lambdas")
    schedule.load_state_dict({**saved, "lr_lambdas": lambdas})


def _verify(directory: Path, checksums: Mapping[str, int]) -> None:
    for name, expected in checksums.items():
        found = _checksum(directory / name)
        if found != expected:
            raise ValueError(f"expected {name} to have checksum {expected} but got {found}")


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            checksum = zlib.crc32(block, checksum)
    return checksum
