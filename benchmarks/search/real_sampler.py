"""Plain TPE and the sampler that knows what is paid for, in the same CPU-seconds.

Fine-tune, prune, distil and int8 as in ``today.py``, but with continuous hyperparameters in every
stage, so that a plain sampler never meets a prefix again. Both run in our engine with the same
rules of reuse, each on a fresh store, until the budget is used up (``hydra.sweeper.timeout``: no
trial starts that would not fit). Fresh processes of one thread in turns, nothing pruned. A
candidate is a trial whose int8 model was scored.

    OMP_NUM_THREADS=1 python benchmarks/search/real_sampler.py
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import chains
from measure import Results, abba, describe, interval, table

TPE, TREE = "tpe", "stagetree_tpe"
MANY = 1000
CANDIDATES, WINS = 2.0, 0.8
SPACE = (
    "stages.finetune.learning_rate=tag(log,interval(1e-4,1e-3))",
    "stages.finetune.layer_decay=interval(0.6,1.0)",
    "stages.finetune.warmup=interval(0.0,0.3)",
    "stages.prune.heads=interval(0.3,0.9)",
    "stages.prune.ffn=interval(0.3,0.9)",
    "stages.distill.learning_rate=tag(log,interval(2e-4,2e-3))",
    "stages.distill.temperature=interval(1.0,4.0)",
    "stages.distill.alpha=interval(0.2,0.9)",
)


def study(sampler: str, seed: int, size: chains.Size, budget: float) -> dict[str, Any]:
    """Search until the budget is used up."""
    with chains.folder(size) as root:
        pipeline = chains.chain_words(root, size.epochs, size.recovery)
        words = [word for word in pipeline if not word.startswith("stages.prune.heads")]
        words += [*SPACE, f"sampler={sampler}", "pruner=none", "hydra.sweeper.defaults_first=false"]
        words += [f"hydra.sweeper.timeout={budget:g}", f"hydra.sweeper.n_trials={MANY}"]
        cost = chains.launch(words, root, "ours", seed)
        return chains.outcome(cost, chains.trials(root / "ours"), None)


def show(plain: Sequence[dict[str, Any]], tree: Sequence[dict[str, Any]]) -> None:
    """Print the table and whether the targets are met."""
    rows = [
        [
            str(seed),
            *(f"{one['trials']} in {one['cpu']:.0f} s" for one in pair),
            f"{pair[1]['trials'] / pair[0]['trials']:.2f}",
            *(f"{one['best']:.4f}" for one in pair),
            f"{pair[1]['best'] - pair[0]['best']:+.4f}",
            ", ".join(f"{one['load']:.1f}" for one in pair),
        ]
        for seed, pair in enumerate(zip(plain, tree, strict=True))
    ]
    header = ["seed", f"{TPE}: candidates", TREE, "times", f"{TPE}: best F1", TREE, "gain"]
    print(table([*header, "load before"], rows))
    counts = ([row["trials"] for row in each] for each in (tree, plain))
    ratio, low, high = interval(*counts)
    gains = [mine["best"] - other["best"] for mine, other in zip(tree, plain, strict=True)]
    wins = sum(gain >= 0 for gain in gains)
    met = ratio >= CANDIDATES and wins >= WINS * len(gains)
    print(
        f"\n{ratio:.2f} times the candidates (95 %: {low:.2f} to {high:.2f}), best F1 "
        f"{fmean(gains):+.4f}, better or equal in {wins} of {len(gains)} seeds; target "
        f"{CANDIDATES:g} times and {WINS:.0%} of the seeds: {'met' if met else 'missed'}"
    )


def main() -> None:
    parser = chains.arguments(__doc__)
    parser.add_argument("--budget", type=float, default=180.0, help="seconds a study")
    parser.set_defaults(sampler=TREE)
    options = parser.parse_args()
    size = chains.size_of(options)
    budget = 60.0 if options.quick else options.budget
    print(describe("torch", "transformers", "optuna"), f"\n{size}, {budget:g} s\n", flush=True)
    results = Results(options.out, {**dataclasses.asdict(size), "budget": budget, "space": SPACE})
    found: dict[str, dict[int, Any]] = {TPE: {}, options.sampler: {}}
    for seed, sampler in abba(options.seeds, list(found)):
        found[sampler][seed] = results.get(
            sampler,
            seed,
            lambda: study(sampler, seed, size, budget),  # noqa: B023
        )
    show(*([by_seed[seed] for seed in sorted(by_seed)] for by_seed in found.values()))


if __name__ == "__main__":
    main()
