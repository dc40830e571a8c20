"""The same 24 trials in the stack people have today, and in ours.

A grid: 2 rates of fine-tuning x 3 temperatures of distillation x 4 ways of int8, the layers cut in
between. Today: Optuna's ``GridSampler`` round ``transformers.Trainer`` with its defaults (fp32,
dynamic padding); every trial runs every stage: ``programs/grid.py``. Ours: ``run.py -m`` with its
defaults, where 24 trials are 2 + 2 + 6 + 24 stages. Nothing is pruned, so nobody scores after each
epoch: today's stack scores the int8 model, ours the result of every stage.
Fresh processes of one thread, in turns (A B, B A, ...), one pair a seed. CPU-seconds are those of
whole processes, start and end included.

    OMP_NUM_THREADS=1 python benchmarks/search/grid.py
    OMP_NUM_THREADS=1 python benchmarks/search/grid.py --data DIRECTORY_OF_CONLL_FILES
"""

from __future__ import annotations

import chains
from today import compare


def main() -> None:
    parser = chains.arguments(__doc__)
    parser.set_defaults(sampler="grid")
    options = parser.parse_args()
    compare(options, "grid", chains.our_grid)


if __name__ == "__main__":
    main()
