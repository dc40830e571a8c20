"""How well a stage's seconds are told beforehand: the learnt model against the rule it starts from.

A random search over epochs, batch size, input length and learning rate of ``finetune`` and over
epochs and batch size of ``distill`` (random weights of ``model=tiny`` on real text) leaves the
records. Then each record is left out and told from the others, or from so many of them drawn at
random: by the rule alone (the mean of what others took, times how many more examples are seen),
and by the model. ``error`` is the mean of the absolute log ratio in per cent, ``worst`` its
largest; ``held`` is the share of records within the model's range, which promises 80 %.
Needs ``stagetree assets get pii``.

    OMP_NUM_THREADS=1 python benchmarks/search/cost_model.py
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe, table
from stagetree.pipeline import commandline
from stagetree.pipeline.compose import compose
from stagetree.pipeline.cost import Costs, longer
from stagetree.pipeline.nodes import Node, Pipeline
from stagetree.pipeline.record import Record
from stagetree.pipeline.store import Store
from stagetree.search.results import rows
from stagetree.search.study import load

LINE = (
    "model=tiny", "stage=distill", "numerics=fp32", "tracker=none", "data.max_train=512",
    "data.max_validation=64", "stages.finetune.evaluations=1", "stages.distill.evaluations=1",
)  # fmt: skip
SPACE = (
    "stages.finetune.epochs=0.25,0.5,1,2,4", "stages.finetune.batch_size=4,8,16,32",
    "stages.finetune.max_length=16,32,64,128",
    "stages.finetune.learning_rate=tag(log,interval(1e-4,1e-2))",
    "stages.distill.epochs=0.25,0.5,1,2", "stages.distill.batch_size=4,8,16,32",
)  # fmt: skip

Told = tuple[float, float]
"""Seconds, and the standard deviation of their logarithm."""


def search(root: Path, trials: int) -> None:
    """Run the search that leaves the records."""
    words = [f"paths.root={root}", "sampler=random", f"hydra.sweeper.n_trials={trials}"]
    more = ["hydra.sweeper.study_name=costs", "seed=1"]
    line = [sys.executable, "run.py", "-m", *LINE, *SPACE, *words, *more]
    subprocess.run(line, check=True, stdout=sys.stderr)


def examples(root: Path) -> Iterator[tuple[Pipeline, Node]]:
    """Yield every stage that the search ran, once, with the pipeline it belongs to."""
    seen: set[str] = set()
    for row in rows(load(root / "studies" / "costs", "costs", None)):
        point = [f"stages.{name}={value}" for name, value in row.params.items()]
        with commandline.composer():
            pipeline = compose(commandline.load([*LINE, "seed=1", f"paths.root={root}", *point]))
        for node in pipeline.nodes:
            if node.signature not in seen:
                seen.add(node.signature)
                yield pipeline, node


def by_rule(records: Sequence[Record], pipeline: Pipeline, node: Node) -> float:
    """Return what the rule alone says; all records are of the stage's data and model."""
    return statistics.fmean(one.seconds * longer(node.fields, one, pipeline) for one in records)


def by_model(records: Sequence[Record], pipeline: Pipeline, node: Node) -> Told:
    """Return what the model says."""
    cost = Costs(records).of(pipeline, node)
    assert cost is not None
    return cost.seconds, cost.deviation


def compared(kind: str, known: int, stages: Sequence[tuple[Pipeline, Node, Record]]) -> list[str]:
    """Return a line of the table: every stage told from so many of the others."""
    draw = random.Random(known)
    rule, model, held = [], [], []
    for pipeline, node, record in stages:
        others = [other for _, _, other in stages if other is not record]
        chosen = draw.sample(others, min(known, len(others)))
        rule.append(abs(math.log(by_rule(chosen, pipeline, node) / record.seconds)))
        seconds, deviation = by_model(chosen, pipeline, node)
        model.append(abs(math.log(seconds / record.seconds)))
        held.append(model[-1] < 1.2816 * deviation)
    shown = [statistics.fmean(rule), statistics.fmean(model), max(rule), max(model)]
    return [f"{kind}, {known} others", *(f"{100 * one:.0f} %" for one in shown),
            f"{100 * statistics.fmean(held):.0f} %"]  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--trials", type=int, default=36)
    options.add_argument("--root", type=Path, help="a root with such a search, run before")
    given = options.parse_args()
    print(describe("torch", "scikit-learn"))
    with tempfile.TemporaryDirectory() as made:
        root = given.root or Path(made)
        begin = time.monotonic()
        search(root, given.trials)
        print(f"{given.trials} trials in {time.monotonic() - begin:.0f} s")
        records = {record.signature: record for record in Store(root / "store").records()}
        stages = [(*one, records[one[1].signature]) for one in examples(root)]
    lines = []
    for kind in ("finetune", "distill"):
        own = [stage for stage in stages if stage[1].stage.kind == kind]
        times = sorted(record.seconds for _, _, record in own)
        print(f"{kind}: {len(own)} results, {times[0]:.2f} to {times[-1]:.2f} s")
        lines += [compared(kind, known, own) for known in (1, 2, 4, 8, 16, len(own) - 1)]
    header = ["told from", "rule, error", "model, error", "rule, worst", "model, worst", "held"]
    print(table(header, lines))


if __name__ == "__main__":
    main()
