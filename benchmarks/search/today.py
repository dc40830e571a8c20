"""Whole studies: the stack people have today, and ours.

Today: Optuna's defaults (``TPESampler()``, ``MedianPruner()``) round ``transformers.Trainer`` with
its own (fp32, dynamic padding, a score after each epoch); every trial fine-tunes, prunes, distils
and quantises: ``programs/today.py``. Ours: ``run.py -m`` with its defaults and ``pruner=median``.
The same model, rows, search space (of which two keys of early stages have two values), epochs,
batches and number of trials; both score the int8 model by entity F1 on the validation split.
Fresh processes of one thread, in turns (A B, B A, ...), one pair a seed. CPU-seconds are those of
whole processes, start and end included. "Until its best" are the CPU-seconds after which ours had
a trial at least as good as today's best of all 24.

    OMP_NUM_THREADS=1 python benchmarks/search/today.py
    OMP_NUM_THREADS=1 python benchmarks/search/today.py --data DIRECTORY_OF_CONLL_FILES
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

import chains
from measure import Results, abba, describe, interval, table

TODAY, OURS = "today", "stagetree"
TARGET, POINT = 8.0, 0.01
_MEANS = ("cpu", "wall", "best", "pruned", "load")
HEADER = ["stack", "CPU s", "wall s", "best F1", "pruned", "load before"]


def until(row: Mapping[str, Any], value: float) -> float | None:
    """Return the CPU-seconds after which a study had such a value, or ``None`` if it never had."""
    return next((cpu for cpu, reached in row["reached"] if reached >= value), None)


def line(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a stack's line of the table: means over seeds."""
    means = {key: fmean(row[key] for row in rows) for key in _MEANS}
    return [
        name,
        f"{means['cpu']:.1f}",
        f"{means['wall']:.1f}",
        f"{means['best']:.4f}",
        f"{means['pruned']:.1f}",
        f"{means['load']:.1f}",
    ]


def against(name: str, theirs: Sequence[Any], ours: Sequence[Any]) -> str:
    """Return what ours saves and gains beside another stack's studies of the same seeds."""
    told = []
    for key, unit in (("cpu", "CPU-seconds"), ("wall", "seconds by the clock")):
        ratio, low, high = interval((row[key] for row in theirs), (row[key] for row in ours))
        told.append(f"{ratio:.2f} times fewer {unit} than {name} (95 %: {low:.2f} to {high:.2f})")
    gains = [mine["best"] - other["best"] for mine, other in zip(ours, theirs, strict=True)]
    told.append(
        f"best F1 {fmean(gains):+.4f} on average, "
        f"by seed {', '.join(f'{gain:+.4f}' for gain in gains)}"
    )
    pairs = [
        (other["cpu"], taken)
        for mine, other in zip(ours, theirs, strict=True)
        if (taken := until(mine, other["best"])) is not None
    ]
    told.append(f"{name}'s final best reached in {len(pairs)} of {len(ours)} seeds")
    if pairs:
        ratio, low, high = interval(*zip(*pairs, strict=True))
        told[-1] += f", there {ratio:.1f} times cheaper (95 %: {low:.1f} to {high:.1f})"
    return "\n".join(f"- {part}" for part in told)


def compare(
    options: argparse.Namespace, theirs: str, ours: Callable[[chains.Size, int], dict[str, Any]]
) -> None:
    """Run a program of ``programs`` and our study in turns; print the table and the ratios."""
    size = chains.size_of(options)
    print(describe("torch", "transformers", "optuna"), f"\n{size}\n", flush=True)
    results = Results(options.out, {**dataclasses.asdict(size), "study": theirs})
    run = {TODAY: chains.program(theirs), OURS: ours}
    found: dict[str, dict[int, Any]] = {TODAY: {}, OURS: {}}
    for seed, stack in abba(options.seeds, [TODAY, OURS]):
        found[stack][seed] = results.get(stack, seed, lambda: run[stack](size, seed))  # noqa: B023
    rows = {stack: [by_seed[seed] for seed in sorted(by_seed)] for stack, by_seed in found.items()}
    print(table(HEADER, [line(stack, each) for stack, each in rows.items()]))
    print("\n" + against(TODAY, rows[TODAY], rows[OURS]))
    ratio, _, _ = interval(*([row["cpu"] for row in rows[stack]] for stack in (TODAY, OURS)))
    mine, other = (fmean(row["best"] for row in rows[stack]) for stack in (OURS, TODAY))
    met = ratio >= TARGET and mine >= other - POINT
    print(f"- target, {TARGET:g} times and within a point: {'met' if met else 'missed'}")


def main() -> None:
    compare(chains.arguments(__doc__).parse_args(), "today", chains.ours)


if __name__ == "__main__":
    main()
