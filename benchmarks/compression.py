r"""What distillation, pruning and int8 keep of a fine-tuned model, and what they save, over seeds.

Two questions, each with its own runs of ``run.py`` (stages that both need are trained once):

- *student*: does a student of half the layers keep its teacher's score, and does it beat the same
  student trained as long on the same labels without a teacher: from the pretrained model's layers,
  and from the teacher's own (``alpha=0``)?
- *chain*: fine-tune, prune (layers, heads, feed-forward), repair by distillation, int8: how much of
  the score, the size and the latency of the fine-tuned fp32 model remains?

Scores are those of the validation split. Latencies are taken afterwards, in one process: one
thread, one input of 128 sub-words, each model asked a block of times after a warm-up, the models in
turn, five blocks each; the median.

    OMP_NUM_THREADS=1 python benchmarks/compression.py --seeds 1 2 3 \
        --data data=files data.train=train.conll data.validation=dev.conll data.test=test.conll
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoModel, AutoTokenizer

from machine import describe, table
from stagetree.data import assets
from stagetree.models.load import load
from stagetree.models.runner import Runner
from stagetree.models.student import select_layers, spread

TEACHER = (
    "stages.finetune.learning_rate=5e-4",
    "stages.finetune.epochs=4",
    "stages.finetune.evaluations=4",
)
STUDENT = (
    "stages.distill.learning_rate=8e-4",
    "stages.distill.epochs=6",
    "stages.distill.evaluations=6",
)
CHAIN = (
    "stages.prune.layers=0.5",
    "stages.prune.heads=0.34",
    "stages.prune.ffn=0.34",
    "stages.distill.student.layers=0",
    "stages.distill.learning_rate=1e-3",
    "stages.distill.epochs=8",
    "stages.distill.evaluations=8",
)
LENGTH = 128
BLOCKS, WARM_UP, ROUNDS = 5, 5, 20


def run(root: Path, *words: str) -> dict[str, Any]:
    """Run a line and return what each of its stages gave, by name."""
    line = [sys.executable, "run.py", *words, f"paths.root={root}", "tracker=none", "threads=1"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)} failed:\n{done.stdout}\n{done.stderr}")
    (record,) = (
        text.split(maxsplit=1)[1] for text in done.stdout.splitlines() if text[:7] == "record "
    )
    events = (Path(record) / "record.jsonl").read_text(encoding="utf-8").splitlines()
    found = (json.loads(event) for event in events)
    return {row["name"]: row for row in found if row["event"] == "stage_finished"}


def latencies(runners: Sequence[Runner]) -> list[float]:
    """Return the median milliseconds of each model, asked by itself; blocks take turns."""
    times: list[list[float]] = [[] for _ in runners]
    ids = np.random.default_rng(0).integers(5, 20_000, size=(1, LENGTH))
    batch = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    for _ in range(BLOCKS):
        for place, runner in enumerate(runners):
            for round_ in range(-WARM_UP, ROUNDS):
                start = time.perf_counter()
                runner.logits(batch)
                if round_ >= 0:
                    times[place].append(1e3 * (time.perf_counter() - start))
    return [statistics.median(each) for each in times]


def students(root: Path, data: Sequence[str], seed: int, more: Sequence[str]) -> list[str]:
    """Return a row of the student's table."""
    line = ("stage=distill", f"seed={seed}", *data, *TEACHER, *STUDENT)
    pretrained = shallow(root)
    own = [word.replace(".distill.", ".finetune.") for word in STUDENT]
    untaught = run(root, "stage=finetune", f"seed={seed}", *data, *own, f"model.name={pretrained}")
    alone = run(root, *line, "stages.distill.alpha=0")
    taught = run(root, *line, *more)
    metric = next(name for name in ("f1", "macro_f1") if name in alone["distill"]["metrics"])
    rows = (untaught["finetune"], alone["distill"], taught["distill"])
    teacher = alone["finetune"]["metrics"][metric]
    scores = [row["metrics"][metric] for row in rows]
    gains = [f"{scores[-1] - score:+.4f}" for score in scores[:-1]]
    return [str(seed), f"{teacher:.4f}", *(f"{x:.4f} ({x / teacher:.1%})" for x in scores), *gains]


def shallow(root: Path) -> Path:
    """Return a directory with the pretrained model's layers that a student of half of them has."""
    place = (root / "shallow").resolve()
    if not place.is_dir():
        source = assets.fetch("minilm_l6")
        model = AutoModel.from_pretrained(source)
        select_layers(model, spread(6, 3)).save_pretrained(place)
        AutoTokenizer.from_pretrained(source).save_pretrained(place)
    return place


def chains(
    root: Path, data: Sequence[str], seed: int, methods: Sequence[str], more: Sequence[str]
) -> list[list[str]]:
    """Return the rows of the chain's table: one a method of quantisation."""
    line = ("stage=[finetune,prune,distill,quantize]", f"seed={seed}", *data, *TEACHER, *CHAIN)
    found = [run(root, *line, f"stages.quantize.method={name}", *more) for name in methods]
    rows = []
    first = found[0]["finetune"]
    metric = next(name for name in ("f1", "macro_f1") if name in first["metrics"])
    places = [first["model_dir"], *(chain["quantize"]["model_dir"] for chain in found)]
    full, *small = latencies([load(place, threads=1, numerics="fp32") for place in places])
    score, size = first["metrics"][metric], first["metrics"]["bytes"]
    for method, chain, took in zip(methods, found, small, strict=True):
        metrics = chain["quantize"]["metrics"]
        rows.append(
            [
                str(seed),
                method,
                f"{score:.4f}",
                f"{metrics[metric]:.4f} ({metrics[metric] / score:.1%})",
                f"{size / 1e6:.1f} -> {metrics['bytes'] / 1e6:.1f} ({size / metrics['bytes']:.1f})",
                f"{full:.1f} -> {took:.2f} ({full / took:.1f})",
            ]
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--data", nargs="+", default=["data=pii", "data.max_train=2000"])
    parser.add_argument("--only", choices=["student", "chain"])
    parser.add_argument("--methods", nargs="+", default=["onnx_int8"])
    parser.add_argument("--distill", nargs="*", default=[], help="further options of distill")
    parser.add_argument("--root", type=Path, default=Path("runs/compression"))
    options = parser.parse_args()
    print(describe("torch", "onnxruntime"))
    parts: dict[str, Callable[[int], list[list[str]]]] = {
        "student": lambda seed: [students(options.root, options.data, seed, options.distill)],
        "chain": lambda seed: chains(
            options.root, options.data, seed, options.methods, options.distill
        ),
    }
    headers = {
        "student": ["seed", "teacher", "untaught", "teacher's layers", "taught", "gain", "gain"],
        "chain": ["seed", "int8 by", "fp32", "int8", "MB (times)", "ms (times)"],
    }
    for name, part in parts.items():
        if options.only in (None, name):
            rows = [row for seed in options.seeds for row in part(seed)]
            print(f"\n{table(headers[name], rows)}", flush=True)


if __name__ == "__main__":
    main()
