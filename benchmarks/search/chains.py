"""The pipeline and the spaces that the stacks of ``grid.py``, ``today.py`` and others share.

Fine-tune MiniLM-L6, keep 4 of its 6 layers, half of their heads and a share of their feed-forward
units (the heaviest), repair by distillation, int8 by ``torch.ao``; entity F1 of the int8 model on
the validation split. All stacks read the same two files and train as long in the same batches, at
the same rates, with the same warm-up, decay and clipping.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from measure import Cost, run
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from stagetree.data import assets
from stagetree.data.load import load
from stagetree.data.sources.base import SOURCES
from stagetree.tasks.base import TASKS

HERE = Path(__file__).parent
STUDY = "study"
LAYERS, HEADS, BATCH = 4, 0.5, 8
SPACE = (
    "stages.finetune.learning_rate=choice(3e-4,6e-4)",
    "stages.prune.ffn=choice(0.5,0.75)",
    "stages.distill.learning_rate=tag(log,interval(2e-4,2e-3))",
    "stages.distill.temperature=interval(1.0,4.0)",
    "stages.distill.alpha=interval(0.2,0.9)",
    "stages.quantize.per_channel=false",
    "stages.quantize.embeddings=false",
)
GRID: dict[str, tuple[float | bool, ...]] = {
    "finetune_rate": (3e-4, 6e-4),
    "temperature": (1.5, 2.5, 4.0),
    "per_channel": (True, False),
    "embeddings": (True, False),
}
"""A grid of 24 points, by the names that ``programs`` give to keys."""

KEYS = {
    "finetune_rate": "stages.finetune.learning_rate",
    "ffn": "stages.prune.ffn",
    "distill_rate": "stages.distill.learning_rate",
    "alpha": "stages.distill.alpha",
    "temperature": "stages.distill.temperature",
    "per_channel": "stages.quantize.per_channel",
    "embeddings": "stages.quantize.embeddings",
}
FIXED: dict[str, float | bool] = {
    "ffn": 0.75,
    "distill_rate": 1e-3,
    "alpha": 0.5,
    "temperature": 2.0,
    "per_channel": False,
    "embeddings": False,
}
"""What the grid does not search has these values."""


@dataclass(frozen=True)
class Size:
    """How much there is to do.

    Attributes:
        data: ``pii``, or a directory with ``train.conll`` and ``dev.conll``.
        rows: Training sentences.
        validation: Validation sentences.
        epochs: Of fine-tuning.
        recovery: Epochs of distillation after the cut.
        trials: Trials of a study.
        sampler: What our search proposes by.
    """

    data: str
    rows: int
    validation: int
    epochs: int
    recovery: int
    trials: int
    sampler: str


@contextmanager
def folder(size: Size) -> Iterator[Path]:
    """Give a directory with the rows of both splits as files, and what ``programs`` reads."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        counts = {"train": size.rows, "validation": size.validation}
        for split, found in _splits(size.data).items():
            chosen = random.Random(0).sample(found, min(counts[split], len(found)))
            (root / f"{split}.conll").write_text("\n\n".join(chosen) + "\n")
        settings = {
            "model": str(assets.fetch("minilm_l6")),
            "folder": str(root / "trainer"),
            "epochs": size.epochs,
            "recovery": size.recovery,
            "layers": LAYERS,
            "heads": HEADS,
            "batch": BATCH,
            "grid": GRID,
            "fixed": FIXED,
            "labels": _labels(root),
            **{split: str(root / f"{split}.conll") for split in counts},
        }
        (root / "settings.json").write_text(json.dumps(settings))
        yield root


def _labels(root: Path) -> list[str]:
    """Return the names and the order that our task gives labels, so that heads begin alike."""
    train, validation = (str(root / f"{split}.conll") for split in ("train", "validation"))
    files = SOURCES["files"].Config(
        kind="files", train=train, validation=validation, test=validation
    )
    return TASKS["ner"](TASKS["ner"].Config(kind="ner")).labels(load(files))


def _splits(data: str) -> dict[str, list[str]]:
    """Return sentences in CoNLL's format by split."""
    if data != "pii":
        names = {"train": "train.conll", "validation": "dev.conll"}
        texts = {split: (Path(data) / name).read_text() for split, name in names.items()}
        return {split: text.strip().split("\n\n") for split, text in texts.items()}
    corpus = load(SOURCES["pii"].Config(kind="pii"))
    return {
        split: [
            "\n".join(map("\t".join, zip(row["tokens"], row["tags"], strict=True)))
            for row in getattr(corpus, split)
        ]
        for split in ("train", "validation")
    }


def data_words(root: Path) -> list[str]:
    """Return our line's words for model and rows."""
    return [
        "model=minilm_l6",
        "data=files",
        f"data.train={root / 'train.conll'}",
        f"data.validation={root / 'validation.conll'}",
        f"data.test={root / 'validation.conll'}",
    ]


def chain_words(root: Path, epochs: int, recovery: int, *, scored: bool = True) -> list[str]:
    """Return our line's words for the pipeline, without what is searched.

    Args:
        root: Where the rows are.
        epochs: Of fine-tuning.
        recovery: Epochs of distillation.
        scored: Score after each epoch, not only at the end of each stage.
    """
    return [
        "stage=[finetune,prune,distill,quantize]",
        *data_words(root),
        f"stages.finetune.epochs={epochs}",
        f"stages.finetune.evaluations={epochs if scored else 1}",
        f"stages.finetune.batch_size={BATCH}",
        f"stages.prune.layers={LAYERS}",
        "stages.prune.layer_choice=even",
        f"stages.prune.heads={HEADS}",
        "stages.prune.uniform=true",
        "stages.prune.importance=magnitude",
        "stages.distill.teacher=finetune",
        "stages.distill.student.layers=0",
        f"stages.distill.epochs={recovery}",
        f"stages.distill.evaluations={recovery if scored else 1}",
        f"stages.distill.batch_size={BATCH}",
        "stages.quantize.method=torch_int8",
    ]


def launch(words: Sequence[str], root: Path, name: str, seed: int) -> Cost:
    """Run one of our searches in a fresh process on stores of its own below ``root / name``."""
    line = [sys.executable, str(HERE.parents[1] / "run.py"), "-m", *words, f"seed={seed}"]
    line += [f"paths.root={root / name}", f"hydra.sweeper.study_name={STUDY}"]
    line += ["tracker=none", "threads=1", "measure=needed"]
    return run(line, root / f"{name}.log")


def trials(root: Path) -> list[dict[str, Any]]:
    """Return state, value and end (seconds since 1970) of the trials below ``paths.root``."""
    (journal,) = root.glob(f"**/{STUDY}/journal*.log")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    names = optuna.get_all_study_names(JournalStorage(JournalFileBackend(str(journal))))
    study = optuna.load_study(
        study_name=names[-1], storage=JournalStorage(JournalFileBackend(str(journal)))
    )
    return [
        {"state": trial.state.name, "value": trial.value, "end": _seconds(trial.datetime_complete)}
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished()
    ]


def _seconds(moment: datetime.datetime | None) -> float:
    return moment.timestamp() if moment else 0.0


def outcome(cost: Cost, ended: Sequence[dict[str, Any]], expected: int | None) -> dict[str, Any]:
    """Return a row of results: what it cost, the best value, and what it had cost until each.

    Raises:
        SystemExit: Not as many trials ended as expected, or one failed.
    """
    states = [trial["state"] for trial in ended]
    if "FAIL" in states or len(ended) != (expected or len(ended)) or "COMPLETE" not in states:
        raise SystemExit(f"expected {expected or 'some'} trials, none failed, but got {states}")
    done = [trial for trial in ended if trial["state"] == "COMPLETE"]
    return {
        "cpu": cost.cpu,
        "wall": cost.wall,
        "load": cost.load,
        "best": max(trial["value"] for trial in done),
        "pruned": states.count("PRUNED"),
        "trials": len(ended),
        "reached": sorted([cost.at(trial["end"]), trial["value"]] for trial in done),
    }


def ours(size: Size, seed: int) -> dict[str, Any]:
    """Run our study of the shared space, with everything on."""
    more = (f"sampler={size.sampler}", "pruner=median", f"hydra.sweeper.n_trials={size.trials}")
    return _ours(size, seed, (*SPACE, *more), scored=True)


def our_grid(size: Size, seed: int) -> dict[str, Any]:
    """Run the shared grid, or the first of its points where fewer trials are wanted."""
    points = {**{name: (value,) for name, value in FIXED.items()}, **GRID}
    words = [f"{KEYS[name]}={','.join(map(str, points[name]))}".lower() for name in points]
    return _ours(size, seed, (*words, f"hydra.sweeper.n_trials={size.trials}"), scored=False)


def _ours(size: Size, seed: int, space: Sequence[str], *, scored: bool) -> dict[str, Any]:
    with folder(size) as root:
        words = [*chain_words(root, size.epochs, size.recovery, scored=scored), *space]
        cost = launch(words, root, "ours", seed)
        return outcome(cost, trials(root / "ours"), size.trials)


def program(name: str, *more: str) -> Callable[[Size, int], dict[str, Any]]:
    """Return how to run a study of one of ``programs``, which imports nothing of ours."""

    def study(size: Size, seed: int) -> dict[str, Any]:
        with folder(size) as root:
            log = root / "trials.jsonl"
            line = [sys.executable, str(HERE / "programs" / f"{name}.py"), "--log", str(log)]
            line += ["--settings", str(root / "settings.json"), "--seed", str(seed)]
            line += ["--trials", str(size.trials), *more]
            cost = run(line, root / "output.log", PYTHONPATH="")
            ended = [json.loads(row) for row in log.read_text().splitlines()]
            return outcome(cost, ended, size.trials)

    return study


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return the options that every benchmark of studies has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="pii", help="pii, or a directory of CoNLL files")
    parser.add_argument("--rows", type=int, default=150)
    parser.add_argument("--validation", type=int, default=150)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--recovery", type=int, default=2)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--sampler", default="tpe", help="ours: a file of conf/sampler")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/search-studies.jsonl"))
    parser.add_argument("--quick", action="store_true", help="toy size: does it run?")
    return parser


def size_of(options: argparse.Namespace) -> Size:
    """Return what the options ask for."""
    if options.quick:
        options.seeds = 1
        return Size(options.data, 48, 32, 1, 1, 3, options.sampler)
    return Size(
        options.data,
        options.rows,
        options.validation,
        options.epochs,
        options.recovery,
        options.trials,
        options.sampler,
    )
