"""Whole studies: Ray Tune's ASHA with ``OptunaSearch``, random search, and ours.

The pipeline, the rows, the space and the trials of ``today.py``. Ray runs one trial at a time on
one thread, in one actor that is used again (the fastest way it has; a new process a trial would
import PyTorch each time), and ASHA compares trials after every epoch: ``programs/ray_asha.py``.
Random search draws the same space with Optuna's ``RandomSampler`` and ends nothing. Ray's own
servers count, as they run as long as the study does. Rows that ``today.py`` left in ``--out`` at
the same size are not run again.

    OMP_NUM_THREADS=1 python benchmarks/search/ray_asha.py
"""

from __future__ import annotations

import dataclasses
from typing import Any

import chains
from measure import Results, abba, describe, table
from today import HEADER, OURS, against, line

RAY, RANDOM = "Ray ASHA", "random"


def main() -> None:
    options = chains.arguments(__doc__).parse_args()
    size = chains.size_of(options)
    print(describe("torch", "transformers", "optuna", "ray"), f"\n{size}\n", flush=True)
    results = Results(options.out, {**dataclasses.asdict(size), "study": "today"})
    run = {
        RAY: chains.program("ray_asha"),
        RANDOM: chains.program("today", "--sampler", "random"),
        OURS: chains.ours,
    }
    found: dict[str, dict[int, Any]] = {stack: {} for stack in run}
    for seed, stack in abba(options.seeds, list(run)):
        found[stack][seed] = results.get(stack, seed, lambda: run[stack](size, seed))  # noqa: B023
    rows = {stack: [by_seed[seed] for seed in sorted(by_seed)] for stack, by_seed in found.items()}
    print(table(HEADER, [line(stack, each) for stack, each in rows.items()]))
    for stack in (RAY, RANDOM):
        print(f"\n{stack}:\n" + against(stack, rows[stack], rows[OURS]))


if __name__ == "__main__":
    main()
