"""Several processes train a stage together: the same result, and they end together."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import torch
from safetensors.torch import load_file

from stagetree.core.errors import TrialPruned
from stagetree.core.interrupt import Terminated
from stagetree.pipeline.nodes import Pipeline
from stagetree.pipeline.record import Record
from stagetree.stages.base import StageContext
from stagetree.stages.finetune import Finetune, _learner

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc"),
]
cloudpickle.register_pickle_by_value(sys.modules[__name__])

TWO = "resources.processes_per_trial=2"
MICRO = "stages.finetune.micro_batch_size=2"


class Broken(Finetune):
    """Raises in the second process, while the first waits for it."""

    @classmethod
    def run(cls, config: Any, context: StageContext) -> None:
        if os.environ["RANK"] == "1":
            raise ValueError("the second process is broken")
        super().run(config, context)


class Starved(Finetune):
    """Has room for two rows at a time in the second process."""

    @classmethod
    def run(cls, config: Any, context: StageContext) -> None:
        from stagetree.training.fit import fit
        from stagetree.training.learner import Start
        from stagetree.training.objectives import CrossEntropy

        def refuse(module: Any, args: Any, kwargs: Any) -> None:
            if module.training and len(kwargs["input_ids"]) > 2:
                raise torch.OutOfMemoryError("no room for more than two rows")

        def build() -> Any:
            learner = _learner(config, context)
            if os.environ["RANK"] == "1":
                learner.model.register_forward_pre_hook(refuse, with_kwargs=True)
            return learner

        fit(Start({"kind": "starved"}, build), config, CrossEntropy(0.0), context)


class InParts(Finetune):
    """Fails unless each process held but its part of the weights that it trained."""

    @classmethod
    def run(cls, config: Any, context: StageContext) -> None:
        from stagetree.training.fit import fit
        from stagetree.training.learner import Start
        from stagetree.training.objectives import CrossEntropy

        built: list[Any] = []

        def build() -> Any:
            built.append(_learner(config, context))
            return built[-1]

        fit(Start({"kind": "in parts"}, build), config, CrossEntropy(0.0), context)
        weights = list(built[0].model.parameters())
        held = sum(weight.to_local().numel() for weight in weights)
        assert held < 0.6 * sum(weight.numel() for weight in weights)


def of_kind(pipeline: Pipeline, stage: type[Finetune]) -> Pipeline:
    nodes = [dataclasses.replace(node, stage=stage) for node in pipeline.nodes]
    return dataclasses.replace(pipeline, nodes=tuple(nodes))


@pytest.fixture(scope="session")
def alone(shared_runs: Any) -> tuple[Record, list[float], Path]:
    hearing = shared_runs.hearing()
    record = shared_runs.run(shared_runs.pipeline("finetune", MICRO), hearing)
    return record, hearing.losses, shared_runs.model(record)


@pytest.fixture(scope="session")
def together(shared_runs: Any) -> tuple[Record, list[float], Path]:
    return _terminated_and_resumed(shared_runs, MICRO, TWO)


def _terminated_and_resumed(
    runs: Any, *words: str, stage: type[Finetune] = Finetune
) -> tuple[Record, list[float], Path]:
    """Return the result of a run that is ended at its first evaluation, and then goes on."""

    def end(fraction: float) -> None:
        raise Terminated

    hearing = runs.hearing(end)
    pipeline = of_kind(runs.pipeline("finetune", *words), stage)
    with pytest.raises(Terminated):
        runs.run(pipeline, hearing)
    assert runs.processes() == {}
    hearing = runs.hearing(hear=hearing)
    record = runs.run(pipeline, hearing)
    return record, hearing.losses, runs.model(record)


def test_interrupted_scores_are_those_of_one_process(alone: Any, together: Any) -> None:
    one, one_losses, one_model = alone
    two, two_losses, two_model = together
    assert two.config["processes"] == 2
    assert "processes" not in one.config
    assert one_losses == pytest.approx(two_losses, abs=1e-5)
    for before, after in zip(one.curve, two.curve, strict=True):
        assert before["metrics"] == pytest.approx(after["metrics"], abs=1e-5)
    weights, shared = (load_file(path / "model.safetensors") for path in (one_model, two_model))
    assert max(float((weights[name] - shared[name]).abs().max()) for name in weights) < 1e-4


def test_student_learns_from_a_teacher(shared_runs: Any, together: Any) -> None:
    options = [f"stages.distill.{option}" for option in ("batch_size=8", "epochs=2", "dropout=0")]
    losses = []
    for words in ((), (TWO,)):
        hearing = shared_runs.hearing()
        # The teacher is the same: that of two processes, so that only the student differs.
        pipeline = shared_runs.pipeline("finetune", MICRO, TWO, "stage=distill", *options)
        if not words:
            alone = shared_runs.pipeline("finetune", MICRO, "stage=distill", *options)
            pipeline = dataclasses.replace(pipeline, resources=alone.resources)
        record = shared_runs.run(_renamed(pipeline, words), hearing)
        losses.append(hearing.losses)
    assert record.kind == "distill"
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def _renamed(pipeline: Pipeline, words: tuple[str, ...]) -> Pipeline:
    """Return the pipeline with another last signature for each of several ways to compute it."""
    *before, last = pipeline.nodes
    signature = last.signature[:-1] + str(len(words))
    return dataclasses.replace(
        pipeline, nodes=(*before, dataclasses.replace(last, signature=signature))
    )


def test_pruned_trial_ends_every_process(runs: Any) -> None:
    seen: list[dict[int, int]] = []

    def prune(fraction: float) -> None:
        seen.append(runs.processes())
        raise TrialPruned("its peers do better")

    with pytest.raises(TrialPruned):
        runs.run(runs.pipeline("finetune", TWO), runs.hearing(prune))
    assert set(seen[0]) == {0, 1}
    assert runs.processes() == {}


def test_error_in_one_process_is_the_trials_error(runs: Any) -> None:
    with pytest.raises(ValueError, match="the second process is broken") as caught:
        runs.run(of_kind(runs.pipeline("finetune", TWO), Broken))
    cause = str(caught.value.__cause__)
    assert "process 1 of 2" in cause
    assert "in run" in cause
    assert runs.processes() == {}


def test_all_begin_again_when_one_is_out_of_memory(
    runs: Any, caplog: pytest.LogCaptureFixture
) -> None:
    hearing = runs.hearing()
    runs.run(of_kind(runs.pipeline("finetune", TWO), Starved), hearing)
    limits = next(runs.root.glob("cache/memory_limits.json")).read_text()
    assert '"micro_batch_size": 2' in limits
    assert hearing.fractions == [0.5, 1.0]


def test_hung_process_is_not_waited_for_for_ever(runs: Any) -> None:
    def stop(fraction: float) -> None:
        os.kill(runs.processes()[1], signal.SIGSTOP)

    pipeline = runs.pipeline("finetune", TWO, "resources.patience=8")
    with pytest.raises(RuntimeError, match=r"process 0 of 2 .* waited 8 s .*resources\.patience"):
        runs.run(pipeline, runs.hearing(stop))
    assert runs.processes() == {}


def test_shared_out_model_learns_the_same(runs: Any, alone: Any) -> None:
    one, one_losses, _ = alone
    words = (MICRO, TWO, "resources.strategy=fsdp")
    two, two_losses, _ = _terminated_and_resumed(runs, *words, stage=InParts)
    assert two.config["strategy"] == "fsdp"
    assert one_losses == pytest.approx(two_losses, abs=1e-5)
    assert one.metrics["f1"] == pytest.approx(two.metrics["f1"], abs=1e-5)


def test_search_tries_again_when_a_process_is_killed(command: Any, runs: Any) -> None:
    line = ["-m", "stage=finetune", "model=tiny", "debug=short", TWO, "tracker=none"]
    name = "hydra.sweeper.study_name=s"
    started = command.start(*line, name, "stages.finetune.learning_rate=1e-4,1e-3")
    _wait_for(lambda: 1 in runs.processes(started.pid))
    os.kill(runs.processes(started.pid)[1], signal.SIGKILL)
    said, _ = started.communicate(timeout=200)
    assert started.returncode == 0, said
    trials = command.json("trials", "s")
    assert [trial["state"] for trial in trials] == ["complete", "complete"]
    assert all(trial["values"] for trial in trials)
    assert '"crashes":1' in (command.root / "studies" / "s" / "journal.log").read_text()


def test_terminated_run_ends_every_process(command: Any, runs: Any) -> None:
    started = command.start("stage=finetune", "model=tiny", "debug=short", TWO, "tracker=none")
    _wait_for(lambda: 1 in runs.processes(started.pid))
    started.terminate()
    said, _ = started.communicate(timeout=200)
    assert started.returncode == 143, said
    assert runs.processes(started.pid) == {}


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "it did not get there"
        time.sleep(0.05)
