"""Fine-tune on long sentences with so many MiB to spare, in a process of its own.

``python starved.py ROOT ROOM MICRO``: ``ROOT/model`` is the model, ``ROOM`` the MiB that the stage
may have beyond what the process holds when all is imported (0: no limit), ``MICRO`` its
``micro_batch_size``. Prints what happened as JSON.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from stagetree.core.errors import TrialFailed
from stagetree.data.corpus import Corpus
from stagetree.models.config import ModelConfig
from stagetree.stages.base import StageContext
from stagetree.stages.finetune import Finetune, FinetuneConfig
from stagetree.tasks.ner import NerConfig, NerTask

LENGTH = 1024
BATCH = 16


def sentences(count: int, words: int) -> Dataset:
    numbers = [[(row * 7 + place * 3) % 60 for place in range(words)] for row in range(count)]
    return Dataset.from_dict(
        {
            "tokens": [[f"word{number}" for number in row] for row in numbers],
            "tags": [["B-X" if number % 4 == 0 else "O" for number in row] for row in numbers],
        }
    )


def run(root: Path, name: str, words: int, **options: Any) -> Path:
    place = Path(tempfile.mkdtemp(dir=root, prefix=name))
    for part in ("output", "scratch"):
        (place / part).mkdir()
    rows = sentences(BATCH + BATCH // 2, words)
    context = StageContext(
        name=name,
        inputs={},
        output=place / "output",
        scratch=place / "scratch",
        cache=root / "cache",
        model=ModelConfig(name=str(root / "model")),
        task=NerTask(NerConfig()),
        corpus=Corpus("long", rows, rows.select([0]), rows.select([0]), f"long-{words}"),
        seed=1,
        numerics="fp32",
        stepped=lambda step, total, logs: None,
        evaluated=lambda fraction, metrics: None,
    )
    config = FinetuneConfig(
        learning_rate=1e-3, max_steps=2, evaluations=1, eval_batch_size=1, **options
    )
    Finetune.run(config, context)
    return context.output / "model.safetensors"


def main(root: Path, room: int, micro_batch_size: int) -> None:
    torch.set_num_threads(1)
    run(root, "warm", 4, batch_size=2)
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("stagetree").addHandler(handler)
    if room:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        held = int(re.search(r"VmData:\s+(\d+) kB", status)[1]) << 10  # type: ignore[index]
        limit = held + (room << 20)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    result: dict[str, Any] = {"said": said, "error": None, "weights": None}
    try:
        weights = run(
            root,
            "long",
            LENGTH - 2,
            batch_size=BATCH,
            micro_batch_size=micro_batch_size,
            max_length=LENGTH,
        )
        result["weights"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    except TrialFailed as error:
        result["error"] = [type(error).__name__, str(error)]
    print(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
