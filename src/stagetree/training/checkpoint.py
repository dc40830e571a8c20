"""Checkpoints inside a stage, as safetensors and JSON: nothing in them can run code.

A checkpoint is a directory that is renamed into place when it is whole, and its ``checkpoint.json``
knows the checksums of the other files. It holds the weights of now and of the best evaluation
(one file where they are the same), so that one directory is all that a resume needs.
"""

from __future__ import annotations

import json
import logging
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, load_model, save_file, save_model

from stagetree.core.atomic import share
from stagetree.training import ranks, sharding
from stagetree.training.progress import Progress

logger = logging.getLogger(__name__)

MODEL = "model.safetensors"
BEST = "best.safetensors"
OPTIMIZER = "optimizer.safetensors"
RUN = "run.json"
MANIFEST = "checkpoint.json"
_PREFIX = "step-"


def directory_name(step: int) -> str:
    """Return how the directory of a checkpoint after so many steps is called."""
    return f"{_PREFIX}{step:09d}"


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint.

    Attributes:
        directory: Where it lies.
        progress: The evaluations so far.
        trunk: Name of what all its steps were trained as; see :class:`stagetree.training.forks`.
            Empty where they were not all trained in one way, or that is not known.
        seconds: What training took up to here, whoever did it.
    """

    directory: Path
    progress: Progress
    trunk: str = ""
    seconds: float = 0.0

    @property
    def step(self) -> int:
        """Optimiser steps before it."""
        return int(self.directory.name.removeprefix(_PREFIX))

    @classmethod
    def read(cls, directory: Path) -> Checkpoint:
        """Return the checkpoint in a directory, whose files are not looked at.

        Raises:
            OSError: It cannot be read.
            ValueError: It is damaged; so do KeyError and TypeError say.
        """
        manifest = _manifest(directory)
        return cls(
            directory,
            Progress.from_json(manifest["progress"]),
            str(manifest.get("trunk", "")),
            float(manifest.get("seconds", 0.0)),
        )

    def verify(self) -> None:
        """Read the files and compare their checksums.

        Raises:
            ValueError: One differs; it, or one of the others of ``DAMAGE``, also says damaged.
        """
        _verify(self.directory, _manifest(self.directory)["checksums"])


DAMAGE = (OSError, ValueError, KeyError, TypeError)
"""What reading a checkpoint raises when it is damaged or gone."""


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

    def commit(
        self,
        directory: Path,
        progress: Progress,
        step: int,
        trunk: str = "",
        seconds: float = 0.0,
    ) -> Path:
        """Seal what was written to ``directory``, make it the last checkpoint, drop the others.

        Args:
            directory: What ``begin`` gave.
            progress: The evaluations so far.
            step: Optimiser steps made.
            trunk: See :class:`Checkpoint`.
            seconds: See :class:`Checkpoint`.
        """
        files = sorted(path for path in directory.iterdir() if path.is_file())
        manifest = {
            "progress": progress.to_json(),
            "vocabulary": self.vocabulary,
            "trunk": trunk,
            "seconds": round(seconds, 3),
            "checksums": {path.name: _checksum(path) for path in files},
        }
        return self._seal(directory, manifest, step)

    def plant(self, source: Checkpoint, progress: Progress) -> Path:
        """Make a checkpoint from elsewhere the last one; its files are shared, not looked at.

        Args:
            source: The checkpoint.
            progress: The evaluations that it stands for here; without any it has no best weights.

        Raises:
            OSError: It is gone, or cannot be written; so do the others of ``DAMAGE`` say.
        """
        manifest = _manifest(source.directory)
        checksums = dict(manifest["checksums"])
        if not progress.evaluations:
            checksums.pop(BEST, None)
        directory = self.begin()
        for name in checksums:
            share(source.directory / name, directory / name)
        changed = {**manifest, "progress": progress.to_json(), "checksums": checksums}
        return self._seal(directory, changed, source.step)

    def _seal(self, directory: Path, manifest: Mapping[str, Any], step: int) -> Path:
        (directory / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        final = self.root / directory_name(step)
        shutil.rmtree(final, ignore_errors=True)
        directory.rename(final)
        for other in self._all():
            if other != final:
                shutil.rmtree(other, ignore_errors=True)
        return final

    def last(self) -> Checkpoint | None:
        """Return the last whole checkpoint; damaged and foreign ones are dropped with a warning."""
        for directory in reversed(self._all()):
            try:
                manifest = _manifest(directory)
                _verify(directory, manifest["checksums"])
                self._refuse_other(manifest["vocabulary"])
                return Checkpoint.read(directory)
            except DAMAGE as error:
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


def _manifest(directory: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    return manifest


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
    """Give a schedule back the state of ``save_schedule``; from there on it goes its own way.

    The state may be that of another schedule that was the same so far: the optimiser's next rates
    are this one's.
    """
    lambdas = schedule.state_dict().get("lr_lambdas")
    schedule.load_state_dict({**saved, "lr_lambdas": lambdas})
    rates = [
        base * rate(schedule.last_epoch)
        for base, rate in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
    ]
    for group, rate in zip(schedule.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    schedule._last_lr = rates


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
