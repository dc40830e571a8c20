"""What a proposal costs when a study has 100, 300 or 1,000 trials.

The pipelines of ``synthetic.py`` with the dear stages first, where most prefixes are stored and
most trials extend one. Medians over the 30 proposals before that many trials, in CPU-milliseconds.

    OMP_NUM_THREADS=1 python benchmarks/search/asking.py
"""

from __future__ import annotations

import argparse
import math
from statistics import median

from measure import describe, table
from synthetic import FAMILIES, SAMPLERS, search

TRIALS, LAST, TARGET = (100, 300, 1000), 30, 50


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samplers", nargs="+", default=["tpe", "stagetree_tpe"], choices=SAMPLERS)
    parser.add_argument("--trials", type=int, nargs="+", default=TRIALS)
    options = parser.parse_args()
    print(describe("optuna", "numpy", "scipy"), flush=True)
    rows, worst = [], 0.0
    for name in options.samplers:
        for family in FAMILIES:
            asking = search((name, family, "first", 0, math.inf), max(options.trials)).asking
            each = [1000 * median(asking[max(0, count - LAST) : count]) for count in options.trials]
            worst = max(worst, each[-1])
            rows.append([name, family, *(f"{one:.1f}" for one in each)])
    print(table(["sampler", "family", *(f"at {count}" for count in options.trials)], rows))
    met = "met" if worst < TARGET else "missed"
    print(f"\ntarget, less than {TARGET} ms at {max(options.trials)} trials: {met}")


if __name__ == "__main__":
    main()
