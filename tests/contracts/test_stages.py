"""What every stage kind promises, on every task: it runs, opens again, and says what it costs."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from stagetree.core.reporting import Reporters, RunInfo
from stagetree.models.format import CARD
from stagetree.models.load import load
from stagetree.pipeline import runner
from stagetree.pipeline.compose import compose
from stagetree.pipeline.store import Store
from stagetree.stages.base import STAGES, StageConfig

TASKS = {
    "ner": ("task=ner", "data=pii"),
    "classification": ("task=classification", "data=sentiment"),
}
SEVERAL = ("task=multitask", "stages.head.task=pii", "objective.metric=f1")
VARIANTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "finetune": (
        ("stages.finetune.adapter.method=lora",),
        ("stages.finetune.adapter.method=prefix",),
        ("stages.finetune.adversarial.method=fgm", "stages.finetune.r_drop=1"),
    ),
    "distill": (
        ("stages.distill.transfer.hidden=1", "stages.distill.transfer.attention=1"),
        ("stages.distill.unlabeled.share=0.5",),
    ),
    "prune": (
        ("stages.prune.method=magnitude",),
        ("stages.prune.method=movement", "stages.prune.epochs=1"),
    ),
    "quantize": tuple(
        (f"stages.quantize.method={name}",)
        for name in ("onnx_static", "openvino_int8", "torch_int8", "qat")
    ),
}
"""Overrides that give a stage kind another method, so that each method keeps the promises."""


def _cases(*, variants: bool) -> Iterator[Any]:
    for kind in STAGES:
        tasks = {"multitask": SEVERAL} if kind == "head" else TASKS
        for task, words in tasks.items():
            yield pytest.param(kind, words, id=f"{kind}-{task}")
        for own in VARIANTS.get(kind, ()) if variants else ():
            name = "-".join(word.partition(f".{kind}.")[2] for word in own)
            yield pytest.param(kind, (*TASKS["ner"], *own), id=f"{kind}-{name}")


SENTENCES = ["Call Anna Lee in Paris on Monday .", "Hi", "A splendid film , if a long one ."]
COSTS = {"parameters", "bytes", "latency_ms", "latency_ms_p95"}


@pytest.fixture(scope="module")
def run_stage(tmp_path_factory: pytest.TempPathFactory):
    """Return a function that runs the pipeline up to a stage kind in a store of its own."""
    shared = tmp_path_factory.mktemp("contracts")

    def run(compose_line: Any, *words: str, root: Path = shared) -> runner.PipelineResult:
        line = [*words, "model=tiny", "debug=short", "numerics=fp32", "tracker=none"]
        pipeline = compose(compose_line(line))
        info = RunInfo("contract", root / "run", {})
        return runner.run(pipeline, Store(root / "store"), shared / "cache", Reporters([]), info)

    return run


OPENER = """
import hashlib, json, sys
import numpy as np
from stagetree.models.load import load
for line in sys.stdin:
    directory, sentences = json.loads(line)
    runner = load(directory, threads=1)
    batch = dict(runner.tokenizer(sentences, padding=True, return_tensors="np"))
    logits = np.ascontiguousarray(runner.logits(batch))
    digest = hashlib.sha256(logits).hexdigest()
    row = {"digest": digest, "shape": logits.shape, "labels": list(runner.labels)}
    print("\\n" + json.dumps(row), flush=True)
"""


@pytest.fixture(scope="module")
def opened_elsewhere(tmp_path_factory: pytest.TempPathFactory):
    """Return a function that opens a result in a process that has trained nothing."""
    errors = tmp_path_factory.mktemp("opener") / "stderr"
    with (
        errors.open("w") as told,
        subprocess.Popen(
            [sys.executable, "-c", OPENER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
        ) as process,
    ):

        def opened(directory: str) -> dict[str, Any]:
            process.stdin.write(json.dumps([directory, SENTENCES]) + "\n")
            process.stdin.flush()
            answer = next((line for line in process.stdout if line.startswith("{")), None)
            assert answer is not None, errors.read_text()
            return json.loads(answer)

        yield opened


@pytest.mark.parametrize("kind", list(STAGES))
def test_the_config_is_a_schema_with_its_kind(kind: str) -> None:
    stage = STAGES[kind]
    assert issubclass(stage.Config, StageConfig)
    assert OmegaConf.structured(stage.Config).kind == kind == stage.kind
    assert isinstance(stage.VERSION, int)


@pytest.mark.parametrize("kind", list(STAGES))
def test_its_group_file_composes_and_shows_its_upstream(kind: str, in_project) -> None:
    words = SEVERAL if kind == "head" else TASKS["ner"]
    cfg = in_project([f"stage={kind}", *words, "model=tiny"])
    nodes = compose(cfg).nodes
    assert nodes[-1].stage is STAGES[kind]
    assert (len(nodes) > 1) == STAGES[kind].needs_input


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "words"), _cases(variants=True))
def test_a_result_opens_in_a_new_process_with_equal_outputs(
    kind: str, words: tuple[str, ...], run_stage, opened_elsewhere, in_project
) -> None:
    result = run_stage(in_project, f"stage={kind}", *words)
    row = result.stages[-1]
    assert row.kind == kind
    here = load(row.model_dir, threads=1)
    batch = dict(here.tokenizer(SENTENCES, padding=True, return_tensors="np"))
    logits = np.ascontiguousarray(here.logits(batch))
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    there = opened_elsewhere(row.model_dir)
    assert there["shape"] == list(logits.shape)
    assert there["labels"] == list(here.labels)
    assert there["digest"] == hashlib.sha256(logits).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "words"), _cases(variants=True))
def test_a_result_is_scored_and_measured(
    kind: str, words: tuple[str, ...], run_stage, in_project
) -> None:
    result = run_stage(in_project, f"stage={kind}", *words)
    (value,) = result.values
    metrics = result.stages[-1].metrics
    assert value in metrics.values()
    assert set(metrics) >= COSTS
    assert all(math.isfinite(number) for number in metrics.values())
    files = [file for file in Path(result.stages[-1].model_dir).rglob("*") if file.is_file()]
    held = sum(file.stat().st_size for file in files if file.name != CARD)
    assert metrics["bytes"] == held


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "words"), _cases(variants=False))
def test_the_same_again_in_an_empty_store_gives_the_same_score(
    kind: str, words: tuple[str, ...], run_stage, in_project, tmp_path
) -> None:
    line = (f"stage={kind}", *words)
    first, again = run_stage(in_project, *line), run_stage(in_project, *line, root=tmp_path)
    assert [row.signature for row in again.stages] == [row.signature for row in first.stages]
    assert not any(row.reused for row in again.stages)
    assert again.values == first.values
