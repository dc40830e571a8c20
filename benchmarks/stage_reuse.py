"""What reuse inside a stage saves: frozen layers, and a teacher's outputs.

MiniLM-L6 (BERT, 6 layers of 384) learns to find personal data in text on one thread, every
measurement in an own process with an empty cache. Times are CPU time of the process from the first
step on: ``step`` is the mean from the end of one to the end of the next, loading of rows and all,
``fill`` what comes on top in the first. ``full`` trains every layer. ``diff`` is the largest
difference of the final fp32 weights, with reuse and without; under a live teacher it is that of
rounding in other batches.

A teacher of the same size, or of 12 layers of 768, has a student of 3 layers. It answers every
batch again where it is live; where it is stored, each row once, in the fill. ``--teacher-epochs``
is how often the rows come round, in epochs times trials.
Needs ``stagetree assets get minilm_l6 pii``.

    OMP_NUM_THREADS=1 python benchmarks/stage_reuse.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from equal_quality import Alone
from machine import describe, table
from stagetree.models.student import select_layers, spread
from stagetree.training import answers, engine
from stagetree.training.batches import TEACHER_LOGITS
from stagetree.training.config import Phase, TrainingConfig
from stagetree.training.learner import Learner, Lessons
from stagetree.training.memory import BatchSize
from stagetree.training.objectives import CrossEntropy, Distillation
from stagetree.training.soft_targets import aligned
from throughput import BATCH, Problem

CASES = {
    "full": {},
    "top-1": {"layers": 1, "reuse": False},
    "top-1 reused": {"layers": 1, "reuse": True},
    "head": {"layers": 0, "reuse": False},
    "head reused": {"layers": 0, "reuse": True},
    "live teacher": {"teacher": "live"},
    "stored teacher": {"teacher": "stored"},
    "live teacher 12x768": {"teacher": "live", "large": True},
    "stored teacher 12x768": {"teacher": "stored", "large": True},
}
"""What is measured: name and options of :func:`measure`; a new case is a new line."""

PAIRS = (
    ("top-1 reused", "top-1"),
    ("top-1 reused", "full"),
    ("head reused", "head"),
    ("head reused", "full"),
    ("stored teacher", "live teacher"),
    ("stored teacher 12x768", "live teacher 12x768"),
)
"""Which cases are set against each other."""


class StepClock(TrainerCallback):
    """Takes the CPU time at the beginning and at the end of every step."""

    def __init__(self) -> None:
        self.begins: list[float] = []
        self.ends: list[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Read the clock; this callback comes before the one that fills."""
        self.begins.append(time.process_time())

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Read the clock."""
        self.ends.append(time.process_time())


class LiveTeacher:
    """The loss of distillation, with a teacher that answers every batch."""

    asks: Mapping[str, bool] = {}

    def __init__(self, teacher: Any) -> None:
        self._teacher = teacher.eval()
        self._loss = Distillation()
        self.inputs: dict[str, torch.Tensor] = {}
        self._hook: Any = None

    def watch(self, student: Any) -> None:
        """Take note of what ``student`` reads."""
        student.register_forward_pre_hook(self._read, with_kwargs=True)

    def __call__(self, outputs: Any, labels: Any, batch: Any) -> Any:
        """See ``Objective``."""
        with torch.no_grad():
            logits = self._teacher(**self.inputs).logits
        return self._loss(outputs, labels, {**batch, TEACHER_LOGITS: logits[labels != -100]})

    def _read(self, module: Any, args: Any, kwargs: Any) -> None:
        self.inputs = dict(kwargs)


def teacher_of(problem: Problem, large: bool) -> Any:
    """Return a teacher with a random head; the large one is random altogether."""
    model = problem.model(seed=1)
    if large:
        sizes = {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12}
        config = {**model.config.to_dict(), **sizes, "intermediate_size": 3072}
        model = type(model)(type(model.config).from_dict(config))
    return model.eval()


class TeacherRunner:
    """A teacher as ``answers.write`` asks for it."""

    def __init__(self, problem: Problem, model: Any) -> None:
        self.tokenizer = problem.tokenizer
        self._model = model

    def logits(self, batch: Mapping[str, torch.Tensor]) -> np.ndarray:
        """Return the teacher's logits of a padded batch."""
        with torch.inference_mode():
            logits: np.ndarray = self._model(**batch).logits.numpy()
        return logits


def measure(
    examples: int,
    epochs: float,
    output: Path,
    layers: int = -1,
    reuse: bool = True,
    teacher: str = "",
    large: bool = False,
) -> dict[str, float]:
    """Train once; write the weights to ``output`` and return the seconds."""
    problem = Problem.pii()
    rows = problem.train.shuffle(seed=0).select(range(examples))
    validation = problem.validation.select(range(BATCH))
    phases = [] if layers < 0 else [Phase(1.0, layers)]
    config = TrainingConfig(
        batch_size=BATCH, epochs=epochs, unfreeze=phases, reuse=reuse, evaluations=1
    )
    model, clock, taught, begin = problem.model(), StepClock(), None, 0.0
    objective: Any = Distillation() if teacher else CrossEntropy()
    if teacher:  # the student that the stage makes of its input: every second layer
        torch.manual_seed(1)
        taught_by = teacher_of(problem, large)
        model = select_layers(model, spread(6, 3))
    if teacher == "live":
        objective = LiveTeacher(taught_by)
        objective.watch(model)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        begin = time.process_time()
        if teacher == "stored":
            size = BatchSize(64, "teacher")
            runner: Any = TeacherRunner(problem, taught_by)
            begin = time.process_time()
            answers.write(place, runner, problem.task, rows, size)
            counts = answers.labelled(rows)
            taught = aligned(answers.read(place), counts, len(rows), "teacher")
        filled = time.process_time() - begin
        _first(clock)
        learner = Learner(model, problem.tokenizer, problem.labels)
        lessons = Lessons(rows, validation, taught)
        engine.train(learner, lessons, problem.task, config, objective, Alone(place, 0, "fp32"))
    torch.save(model.state_dict(), output)
    step = float(np.diff(clock.ends).mean())
    first = clock.ends[0] - clock.begins[0]
    return {"fill": filled + first - step, "step": step, "steps": len(clock.ends)}


def _first(clock: StepClock) -> None:
    """Let ``clock`` be the first of all callbacks that the engine adds."""
    make = engine.StageTrainer

    def timed(**options: Any) -> Any:
        return make(**{**options, "callbacks": [clock, *options["callbacks"]]})

    engine.StageTrainer = timed  # type: ignore[misc, assignment]


def apart(case: str, options: argparse.Namespace, output: Path) -> dict[str, float]:
    """Measure a case in a process of its own."""
    line = [sys.executable, __file__, "--case", case, "--output", str(output)]
    epochs = options.teacher_epochs if "teacher" in case else options.epochs
    line += ["--examples", str(options.examples), "--epochs", str(epochs)]
    told = subprocess.run(line, check=True, capture_output=True, text=True)
    taken: dict[str, float] = json.loads(told.stdout.splitlines()[-1])
    print(f"{case}: {taken}", file=sys.stderr, flush=True)
    return taken


def compared(
    pair: tuple[str, str], taken: Mapping[str, Mapping[str, float]], root: Path
) -> list[str]:
    """Return a line of the table."""
    first, second = (taken[case] for case in pair)
    one, other = (torch.load(root / case) for case in pair)
    difference = max(float((one[name] - other[name]).abs().max()) for name in one)
    with_fill, without = (case["fill"] + case["step"] * case["steps"] for case in (first, second))
    same = "full" not in pair
    return [
        f"{pair[0]} / {pair[1]}",
        f"{first['steps']:.0f}",
        f"{first['fill']:.1f}",
        f"{1000 * first['step']:.1f}",
        f"{1000 * second['step']:.1f}",
        f"{second['step'] / first['step']:.1f}",
        f"{without / with_fill:.1f}",
        f"{difference:.1e}" if same else "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=480)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--teacher-epochs", type=float, default=12)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.case:
        case: dict[str, Any] = CASES[options.case]
        print(json.dumps(measure(options.examples, options.epochs, options.output, **case)))
        return
    print(describe("torch", "transformers"))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        taken = {case: apart(case, options, root / case) for case in options.only}
        header = [
            "",
            "steps",
            "fill s",
            "step ms",
            "against ms",
            "times a step",
            "with fill",
            "diff",
        ]
        pairs = [pair for pair in PAIRS if all(case in taken for case in pair)]
        print(table(header, [compared(pair, taken, root) for pair in pairs]))


if __name__ == "__main__":
    main()
