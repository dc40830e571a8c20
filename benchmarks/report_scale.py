"""What ``stagetree report`` takes on a study of 1,000 trials, and how large the page is.

The study is made up, but written as a worker writes it: a journal with notes, reports coded by
stage and stage signatures, and a record in the store for every result. Its pipeline has four
stages; early stages are shared, a fifth of the trials is pruned, some fail, one still runs.

    OMP_NUM_THREADS=1 python benchmarks/report_scale.py --keep /tmp/scale
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

import machine
from stagetree.core.trials import StageRow
from stagetree.pipeline.record import Record
from stagetree.search.journal import open_storage
from stagetree.search.notes import ENDED, ERROR, NOTES
from stagetree.search.stage_pruner import stage_attribute, step_of
from stagetree.search.study import Fingerprint, begin

STUDY = "scale"
STAGES = ("finetune", "distill", "prune", "quantize")
SECONDS = (240.0, 120.0, 60.0, 9.0)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
SPACE: dict[str, BaseDistribution] = {
    "finetune.learning_rate": CategoricalDistribution([1e-4, 2e-4, 3e-4, 5e-4]),
    "finetune.epochs": CategoricalDistribution([2, 3, 4]),
    "finetune.batch_size": CategoricalDistribution([16, 32]),
    "distill.learning_rate": CategoricalDistribution([1e-4, 3e-4, 1e-3]),
    "distill.temperature": CategoricalDistribution([1.0, 2.0, 3.0, 4.0]),
    "distill.alpha": CategoricalDistribution([0.2, 0.5, 0.8]),
    "prune.sparsity": FloatDistribution(0.1, 0.7),
    "prune.method": CategoricalDistribution(["magnitude", "movement"]),
    "quantize.method": CategoricalDistribution(["onnx_int8", "openvino_int8"]),
}
LABELS = ("AGE", "DATE", "GPE", "ORG", "PERSON", "PHONE", "ZIP")


class Maker:
    """Makes trials that share what they can.

    Args:
        root: The root of studies and store.
        seed: Seed of everything random.
    """

    def __init__(self, root: Path, seed: int = 0) -> None:
        self._root = root
        self._draw = random.Random(seed)
        self._stored: set[str] = set()

    def trial(self, number: int, last: int) -> FrozenTrial:
        """Return a trial in the form that a worker leaves it in."""
        params = {name: self._sample(one) for name, one in SPACE.items()}
        state = self._outcome(number, last)
        cut = self._draw.randrange(len(STAGES)) if state in ("pruned", "failed") else len(STAGES)
        quality = self._quality(params)
        attributes: dict[str, Any] = {}
        reports: dict[int, float] = {}
        stages: list[StageRow] = []
        seconds, chain = 1.5, ""
        for index, name in enumerate(STAGES[: cut + 1]):
            own = {key: value for key, value in params.items() if key.startswith(f"{name}.")}
            signature = hashlib.sha256(f"{chain}{name}{own}".encode()).hexdigest()
            whole = index < cut
            points = (0.25, 0.5, 0.75, 1.0) if whole else (0.25, 0.5)
            for share in points:
                reports[step_of(index, share)] = quality * (0.4 + 0.6 * share) - 0.01 * index
            attributes[stage_attribute(index)] = [name, signature]
            if not whole:
                seconds += 0.5 * SECONDS[index]
                break
            reused = signature in self._stored
            stages.append(self._finish(name, index, signature, quality, reused=reused))
            seconds += 0.2 if reused else stages[-1].seconds
            chain = signature
        notes: dict[str, Any] = {
            ENDED: state,
            "seconds": round(seconds, 3),
            "command": f"python run.py +sweep={STUDY} "
            + " ".join(f"stages.{name}={value}" for name, value in params.items()),
            "stages": [asdict(stage) for stage in stages],
        }
        if state == "pruned":
            notes["pruned_in"] = STAGES[cut]
        if state == "failed":
            notes[ERROR] = f"TrialFailed: expected a finite f1 at {cut * 25}% but got nan"
        return create_trial(
            state={
                "complete": TrialState.COMPLETE,
                "pruned": TrialState.PRUNED,
                "failed": TrialState.FAIL,
            }[state],
            value=quality - 0.03 if state == "complete" else None,
            params=params,
            distributions=SPACE,
            intermediate_values=reports,
            user_attrs={**attributes, NOTES: notes},
        )

    def _outcome(self, number: int, last: int) -> str:
        if number in (0, last):
            return "complete"
        return self._draw.choices(("complete", "pruned", "failed"), (70, 25, 5))[0]

    def _sample(self, one: BaseDistribution) -> Any:
        if isinstance(one, CategoricalDistribution):
            return self._draw.choice(one.choices)
        assert isinstance(one, FloatDistribution)
        return self._draw.uniform(one.low, one.high)

    def _quality(self, params: dict[str, Any]) -> float:
        rate = 1 - abs(params["finetune.learning_rate"] - 3e-4) / 5e-4
        lost = 0.3 * params["prune.sparsity"] ** 2
        noise = self._draw.gauss(0, 0.015)
        return 0.5 + 0.25 * rate + 0.03 * params["distill.alpha"] - lost + noise

    def _finish(
        self, name: str, index: int, signature: str, quality: float, *, reused: bool
    ) -> StageRow:
        metrics = {
            "f1": quality - 0.01 * index,
            "loss": 1 - quality,
            "parameters": 22e6 / (1 + index),
            "bytes": 9e7 / (1 + index),
            "latency_ms": 26.0 / (1 + index),
        }
        seconds = SECONDS[index] * self._draw.uniform(0.8, 1.2)
        folder = self._root / "store" / signature[:2] / signature
        row = StageRow(name, name, signature, seconds, reused, str(folder / "model"), metrics)
        if not reused:
            self._stored.add(signature)
            self._store(row, folder)
        return row

    def _store(self, row: StageRow, folder: Path) -> None:
        config = {f"option_{number}": number for number in range(30)}
        record = Record(
            row.signature, row.kind, row.name, 1, config, (), "d" * 64, 13,
            metrics=row.metrics,
            per_class={label: {"precision": 0.7, "recall": 0.6, "f1": 0.65} for label in LABELS},
            seconds=row.seconds,
            environment={"python": "3.11", "versions": {"torch": "2.13"}},
        )  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "record.json").write_text(json.dumps(record.to_json()), encoding="utf-8")


def make(root: Path, trials: int) -> None:
    """Write a study of so many trials below ``root``."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    home = root / "studies" / STUDY
    home.mkdir(parents=True)
    storage = open_storage(home, None)
    study = optuna.create_study(study_name=STUDY, storage=storage, direction="maximize")
    described = {
        f"stages.{name}": optuna.distributions.distribution_to_json(one)
        for name, one in SPACE.items()
    }
    begin(study, Fingerprint(described, ["maximize"], ["f1"]), 13)
    maker = Maker(root)
    made = [maker.trial(number, trials - 2) for number in range(trials - 1)]
    for number, trial in enumerate(made):
        trial.datetime_start = BEGIN + timedelta(minutes=4 * number)
        trial.datetime_complete = BEGIN + timedelta(minutes=4 * number + 3)
    study.add_trials(made)
    running = study.ask(fixed_distributions=SPACE)
    running.set_user_attr(stage_attribute(0), ["finetune", "f" * 64])
    running.report(0.3, step_of(0, 0.25))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--keep", type=Path, help="make the study here and keep it")
    options = parser.parse_args()
    print(machine.describe("optuna", "plotly", "jinja2"), flush=True)
    with tempfile.TemporaryDirectory() as name:
        root = options.keep or Path(name)
        if not (root / "studies" / STUDY).is_dir():
            make(root, options.trials)
        target = root / "report.html"
        words = ["report", STUDY, "--root", str(root), "-o", str(target)]
        code = "from stagetree.cli import main; main()"
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)
        taken = time.perf_counter() - start
        size = target.stat().st_size / 1e6
        row = [f"{options.trials:,}", f"{taken:.1f}", f"{size:.1f}"]
        print(machine.table(["trials", "seconds", "MB"], [row]))


if __name__ == "__main__":
    main()
