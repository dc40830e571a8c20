"""The exact stage cache on a grid of 24 leaves, with reuse and without.

2 fine-tunings of MiniLM-L6 x 3 distillations into 3 layers x 4 ways of int8, the dearest stage
first: 2 + 6 + 24 stages instead of 72. With reuse all trials share a store; without, each has a
store of its own. Nothing else differs: one process of one thread runs the grid, the encoded data
and the pretrained weights are kept between trials both times. Fresh processes in turns (A B, B A,
...), CPU-seconds of whole processes.

The bound is what counting gives: the seconds of all stages that ran without reuse, by the sum of
those of each different stage (its mean). A process has costs beside its stages, so that the bound
is not reached in full. Bit-equal: every leaf's files of weights have the same SHA-256 both times.

    OMP_NUM_THREADS=1 python benchmarks/search/stage_cache.py
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

import chains
from measure import Results, abba, describe, interval, table

SHARED, APART = "one store", "a store a trial"
STAGES = ("finetune", "distill", "quantize")
TARGET, SHARE = 3.8, 0.95
GRID = (
    "stages.finetune.learning_rate=3e-4,6e-4",
    "stages.distill.temperature=1.5,2.5,4.0",
    "stages.quantize.per_channel=true,false",
    "stages.quantize.embeddings=true,false",
)
QUICK = ("stages.finetune.learning_rate=3e-4", *GRID[2:3])


def words_of(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the grid's words."""
    return QUICK if options.quick else GRID


def leaves(options: argparse.Namespace) -> int:
    """Return how many points the grid has."""
    return math.prod(word.count(",") + 1 for word in words_of(options))


def grid(stack: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run the grid once; return its cost, the seconds of its stages and digests of its leaves."""
    size = chains.Size("pii", options.rows, options.validation, 0, 0, leaves(options), "auto")
    with chains.folder(size) as root:
        words = [
            "stage=[finetune,distill,quantize]",
            *chains.data_words(root),
            f"stages.finetune.epochs={options.epochs}",
            f"stages.distill.epochs={options.epochs}",
            "stages.distill.student.layers=3",
            "stages.quantize.method=torch_int8",
            *words_of(options),
        ]
        if stack == APART:
            words.append("paths.store=${paths.root}/stores/${hydra:job.num}")
        cost = chains.launch(words, root, "grid", seed)
        ended = chains.trials(root / "grid")
        row = chains.outcome(cost, ended, leaves(options))
        stages, found = _results(root / "grid")
        return {**row, "stages": stages, "leaves": found}


def _results(root: Path) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Return the seconds of every run of each stage, and a digest of the weights of each leaf.

    With a store a trial each distillation asks its own teacher, as ``bound`` takes it.
    """
    stages, found = defaultdict(list), {}
    kept = {path: json.loads(path.read_text()) for path in sorted(root.glob("**/record.json"))}
    for path, record in kept.items():
        seconds = record["seconds"]
        if record["kind"] == "distill":  # less what is a result of its own: the teacher's answers
            store = path.parents[2]
            seconds -= sum(
                other["seconds"]
                for place, other in kept.items()
                if place.parents[2] == store and other["kind"] not in STAGES
            )
        stages[record["signature"]].append(seconds)
        if record["kind"] == "quantize":
            digest = hashlib.sha256()
            for file in sorted(path.parent.glob("model/*.safetensors")):
                digest.update(file.read_bytes())
            found[record["signature"]] = digest.hexdigest()
    return dict(stages), found


def bound(apart: dict[str, Any]) -> float:
    """Return how many times cheaper the stages are when each is computed once."""
    stages = apart["stages"].values()
    return sum(map(sum, stages)) / sum(map(fmean, stages))


def show(shared: list[dict[str, Any]], apart: list[dict[str, Any]]) -> None:
    """Print the table and whether the targets are met."""
    rows = []
    for seed, (one, other) in enumerate(zip(shared, apart, strict=True)):
        ratio, limit = other["cpu"] / one["cpu"], bound(other)
        counts = [sum(map(len, each["stages"].values())) for each in (one, other)]
        same = one["leaves"] == other["leaves"]
        rows.append(
            [
                f"{seed}",
                f"{one['cpu']:.1f} ({counts[0]})",
                f"{other['cpu']:.1f} ({counts[1]})",
                f"{ratio:.2f}",
                f"{limit:.2f}",
                f"{ratio / limit:.1%}",
                "yes" if same else "NO",
                f"{one['load']:.1f}, {other['load']:.1f}",
            ]
        )
    header = ["seed", f"{SHARED}: CPU s (stages)", APART, "times", "bound", "of it", "bit-equal"]
    print(table([*header, "load before"], rows))
    ratio, low, high = interval((row["cpu"] for row in apart), (row["cpu"] for row in shared))
    share = ratio / fmean(map(bound, apart))
    met = ratio >= TARGET and share >= SHARE and all(row[6] == "yes" for row in rows)
    print(
        f"\n{ratio:.2f} times fewer CPU-seconds (95 %: {low:.2f} to {high:.2f}), {share:.1%} of "
        f"the bound; target {TARGET} and {SHARE:.0%}, bit-equal: {'met' if met else 'missed'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--validation", type=int, default=150)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/search-stage-cache.jsonl"))
    parser.add_argument("--quick", action="store_true", help="toy size: does it run?")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.validation, options.epochs, options.seeds = 32, 16, 1, 1
    print(describe("torch", "transformers", "optuna"), flush=True)
    settings = {name: getattr(options, name) for name in ("rows", "validation", "epochs")}
    print(f"{settings}\n", flush=True)
    results = Results(options.out, settings)
    found: dict[str, dict[int, Any]] = {SHARED: {}, APART: {}}
    for seed, stack in abba(options.seeds, [SHARED, APART]):
        found[stack][seed] = results.get(stack, seed, lambda: grid(stack, seed, options))  # noqa: B023
    show(*([by_seed[seed] for seed in sorted(by_seed)] for by_seed in found.values()))


if __name__ == "__main__":
    main()
