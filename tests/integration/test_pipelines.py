"""Real pipelines at toy length: what is shared, what is stored, what comes out."""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from stagetree.pipeline.store import Store
from stagetree.tasks.ner import NerConfig, NerTask

SHORT = ("debug=short", "model=tiny", "numerics=fp32", "tracker=none")
GRID = (
    "-m",
    "stage=distill",
    "stages.finetune.learning_rate=1e-3,3e-3",
    "stages.distill.temperature=1,2,4",
    "hydra.sweeper.study_name=grid",
    *SHORT,
)


def digest_of(directory: str) -> str:
    whole = hashlib.sha256()
    for file in sorted(Path(directory).rglob("*")):
        if file.is_file():
            whole.update(file.name.encode() + file.read_bytes())
    return whole.hexdigest()


def scores(command, study: str) -> dict[tuple[str, ...], float]:
    rows = command.json("trials", study)
    return {tuple(f"{k}={v}" for k, v in sorted(r["params"].items())): r["values"][0] for r in rows}


@pytest.fixture(scope="module")
def shared(command_at, tmp_path_factory):
    """One store that several tests look at: the grid of 2 teachers and 3 temperatures."""
    command = command_at(tmp_path_factory.mktemp("shared") / "runs")
    done = command.run(*GRID)
    assert done.returncode == 0, done.stdout + done.stderr
    return command, done


def test_the_default_line_runs_and_says_where_everything_lies(command) -> None:
    done = command.run(*SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "finetune" in done.stdout
    assert "distill" in done.stdout
    rows = command.json("store", "ls")
    assert [row["kind"] for row in rows] == ["finetune", "distill"]
    assert rows[-1]["model_dir"] in done.stdout
    for row in rows:
        examples = Store(command.root / "store").examples(row["signature"])
        assert sum(examples.right()) / len(examples) < 1
        task = NerTask(NerConfig())
        f1 = task.from_tallies(task.tallies(examples).sum(axis=0))
        assert f1 == pytest.approx(row["metrics"]["f1"])
    again = command.run(*SHORT)
    assert again.returncode == 0
    assert len(command.json("store", "ls")) == 2


def test_what_a_run_did_not_measure_is_measured_when_needed_and_not_trained_again(command) -> None:
    assert command.run("stage=finetune", "measure=needed", *SHORT).returncode == 0
    (row,) = command.json("store", "ls")
    assert row["metrics"]["bytes"] > 0
    assert "latency_ms" not in row["metrics"]
    done = command.run("stage=finetune", "objective=latency", *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "latency" in done.stdout
    assert "reused" in done.stdout
    assert command.kinds() == {"finetune": 1}


def test_jobs_of_a_sweep_and_a_later_run_share_their_fine_tuning(command) -> None:
    done = command.run("-m", "stage=finetune,distill", *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    before = {row["kind"]: digest_of(row["model_dir"]) for row in command.json("store", "ls")}
    assert command.kinds() == {"finetune": 1, "distill": 1}
    assert command.run("stage=[finetune,distill]", *SHORT).returncode == 0
    after = {row["kind"]: digest_of(row["model_dir"]) for row in command.json("store", "ls")}
    assert after == before


def test_a_grid_computes_each_node_once(shared) -> None:
    command, done = shared
    assert command.kinds() == {"finetune": 2, "distill": 6}
    rows = command.json("trials", "grid")
    assert [row["state"] for row in rows] == ["complete"] * 6
    assert sum(line.startswith("[") for line in done.stdout.splitlines()) >= 6
    points = [
        (r["params"]["finetune.learning_rate"], r["params"]["distill.temperature"]) for r in rows
    ]
    assert points == [(a, b) for a in (1e-3, 3e-3) for b in (1, 2, 4)]


@pytest.mark.slow
def test_scores_with_reuse_equal_those_of_an_empty_store_each_time(
    shared, command_at, tmp_path
) -> None:
    command, _ = shared
    for number, (params, value) in enumerate(scores(command, "grid").items()):
        lone = command_at(tmp_path / str(number))
        words = [f"stages.{param}" for param in params]
        done = lone.run("stage=distill", *words, *SHORT)
        assert done.returncode == 0, done.stdout + done.stderr
        metrics = lone.json("store", "ls")[-1]["metrics"]
        assert metrics["f1"] == value


def test_the_study_opens_with_plain_optuna(shared) -> None:
    command, _ = shared
    (journal,) = (command.root / "studies" / "grid").glob("*.log")
    study = optuna.load_study(
        study_name="grid", storage=JournalStorage(JournalFileBackend(str(journal)))
    )
    assert len(study.trials) == 6
    assert all(trial.state.name == "COMPLETE" for trial in study.trials)
    assert study.direction.name == "MAXIMIZE"


def test_the_same_line_again_starts_nothing(shared) -> None:
    command, _ = shared
    before = command.json("trials", "grid")
    done = command.run(*GRID)
    assert done.returncode == 0
    assert command.json("trials", "grid") == before
    assert command.kinds() == {"finetune": 2, "distill": 6}


def test_the_printed_line_reruns_the_best_trial_from_the_store(shared) -> None:
    command, _ = shared
    best = command.json("best", "grid")
    words = shlex.split(best["command"])
    assert words[:2] == ["python", "run.py"]
    done = command.run(*words[2:])
    assert done.returncode == 0, done.stderr
    assert command.kinds() == {"finetune": 2, "distill": 6}
    assert f"{best['values'][0]:.4f}" in done.stdout


def test_an_absurd_learning_rate_is_pruned_in_its_first_stage(command) -> None:
    done = command.run(
        "-m",
        "stage=distill",
        "stages.finetune.learning_rate=2e-3,3e-3,100",
        "sampler=grid",
        "pruner=median",
        "pruner.n_startup_trials=2",
        "pruner.n_min_trials=2",
        "objective.metric=loss",
        "objective.direction=minimize",
        "hydra.sweeper.study_name=absurd",
        "debug=short",
        "debug.max_steps=12",
        "model=tiny",
        "numerics=fp32",
        "tracker=wandb",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = command.json("trials", "absurd")
    assert [row["state"] for row in rows] == ["complete", "complete", "pruned"]
    assert rows[2]["pruned_in"] == "finetune"
    assert command.kinds() == {"finetune": 2, "distill": 2}
    mirrored = sorted((command.root / "wandb").glob("offline-run-*/*.wandb"))
    assert len(mirrored) == 4  # each trial, and the study, whose table says "pruned" too
    assert [b"pruned" in file.read_bytes() for file in mirrored].count(True) == 2
    last = json.loads((command.root / "studies/absurd/2/record.jsonl").read_text().splitlines()[-1])
    assert last["status"] == "pruned"


def test_a_study_of_another_objective_is_refused_with_the_difference(shared) -> None:
    command, _ = shared
    done = command.run(*GRID, "objective=latency")
    assert done.returncode == 2
    assert "latency_ms" in done.stderr
    assert len(command.json("trials", "grid")) == 6


def test_every_result_opens_in_a_new_process_with_the_same_outputs(command) -> None:
    words = ("stage=[finetune,distill,quantize]", "stages.distill.student.layers=1", *SHORT)
    assert command.run(*words).returncode == 0
    rows = command.json("store", "ls")
    assert [row["kind"] for row in rows] == ["finetune", "distill", "quantize"]
    code = (
        "import sys, hashlib, numpy as np; from stagetree.models.load import load\n"
        "runner = load(sys.argv[1]); batch = runner.tokenizer(['Call Anna Lee in Paris', 'Hi'],"
        " padding=True, return_tensors='np')\n"
        "print(hashlib.sha256(np.ascontiguousarray(runner.logits(dict(batch)))).hexdigest())"
    )
    for row in rows:
        outputs = {
            subprocess.run(
                [sys.executable, "-c", code, row["model_dir"]],
                capture_output=True,
                text=True,
                check=True,
                env=command.environment(),
            ).stdout
            for _ in range(2)
        }
        assert len(outputs) == 1
    small, large = rows[2]["metrics"]["bytes"], rows[1]["metrics"]["bytes"]
    assert small < large


def test_every_way_of_quantising_starts_from_one_training(command) -> None:
    methods = ("onnx_static", "openvino_int8", "torch_int8", "qat")
    done = command.run(
        "-m",
        "stage=quantize",
        f"stages.quantize.method={','.join(methods)}",
        "stages.quantize.calibration_examples=16",
        "hydra.sweeper.study_name=methods",
        *SHORT,
    )
    assert done.returncode == 0, done.stderr
    assert command.kinds() == {"finetune": 1, "quantize": len(methods)}
    rows = [row for row in command.json("store", "ls") if row["kind"] == "quantize"]
    assert all(row["metrics"]["latency_ms"] > 0 for row in rows)


def test_an_unknown_way_of_quantising_is_refused_before_anything_runs(command) -> None:
    done = command.run("stage=quantize", "stages.quantize.method=onnx_int4", *SHORT)
    assert done.returncode == 2
    assert "stages.quantize.method" in done.stderr
    assert command.kinds() == {}


def test_classification_runs_the_whole_chain(command) -> None:
    done = command.run(
        "task=classification",
        "data=sentiment",
        "stage=[finetune,distill,quantize]",
        "stages.distill.student.layers=1",
        *SHORT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert command.kinds() == {"finetune": 1, "distill": 1, "quantize": 1}
    assert "macro_f1" in command.json("store", "ls")[0]["metrics"]


def test_reuse_of_frozen_layers_is_neither_a_new_result_nor_a_new_score(
    command_at, tmp_path: Path
) -> None:
    line = ["stage=finetune", "stages.finetune.unfreeze=[{until:0.6,layers:0},{layers:1}]", *SHORT]
    rows = []
    for reuse in ("true", "false"):
        command = command_at(tmp_path / reuse)
        done = command.run(*line, f"stages.finetune.reuse={reuse}")
        assert done.returncode == 0, done.stdout + done.stderr
        [row] = command.json("store", "ls")
        weights = (Path(row["model_dir"]) / "model.safetensors").read_bytes()
        rows.append((row["signature"], weights))
    assert rows[0] == rows[1]


@pytest.mark.parametrize("folder", ["experiments", "sweeps"])
def test_there_are_kept_configurations(project, folder) -> None:
    assert list((project / folder).glob("*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", sorted(file.stem for file in (Path(__file__).parents[2] / "experiments").glob("*.yaml"))
)
def test_every_experiment_runs(command, name) -> None:
    done = command.run(f"+experiment={name}", *SHORT[:1], *SHORT[2:])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", sorted(file.stem for file in (Path(__file__).parents[2] / "sweeps").glob("*.yaml"))
)
def test_every_sweep_runs(command, name) -> None:
    grid = "grid" in name
    limit = [] if grid else ["hydra.sweeper.n_trials=2"]
    own_model = name == "demo"  # it keeps four of its model's layers; the tiny one has two
    short = [word for word in SHORT if word != "model=tiny" or not own_model]
    done = command.run("-m", f"+sweep={name}", *limit, *short)
    assert done.returncode == 0, done.stdout + done.stderr
    (study,) = command.json("studies")
    assert study["name"] == name


def test_losses_and_augmentation_are_said_on_the_command_line(command) -> None:
    options = (
        "stage=distill",
        "stages.finetune.loss={kind: focal, class_weights: {O: 0.5}}",
        "stages.finetune.adversarial.method=fgm",
        "stages.distill.augment.method=mentions",
        *SHORT,
    )
    done = command.run(*options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert command.kinds() == {"finetune": 1, "distill": 1}
    strange = command.run(
        "stage=finetune", "stages.finetune.loss.class_weights={NOBODY: 2}", *SHORT
    )
    assert strange.returncode == 2
    assert "loss.class_weights.NOBODY: unknown label" in strange.stdout + strange.stderr
