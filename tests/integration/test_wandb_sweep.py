"""A search exported for W&B, and a trial of it started by W&B's own agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

SHORT = ("debug=short", "model=tiny", "numerics=fp32")

AGENT = textwrap.dedent("""
    import json, os, sys
    from wandb.wandb_agent import Agent

    config, point = json.loads(sys.argv[1]), json.loads(sys.argv[2])
    os.environ["WANDB_SWEEP_ID"] = "sweep1"  # as Agent does when it has met the server
    agent = Agent(None, None, sweep_id="sweep1")
    agent._sweep_command = config["command"]
    args = {name: {"value": value} for name, value in point.items()}
    agent._command_run({"run_id": "given123", "args": args, "program": config["program"]})
    sys.exit(agent._run_processes["given123"].wait())
""")


def export(command: Any, *words: str) -> dict[str, Any]:
    """Return the sweep that the command writes."""
    file = command.root.parent / "sweep.yaml"
    done = command.stagetree("export-wandb-sweep", *words, "-o", str(file))
    assert done.returncode == 0, done.stderr
    found = OmegaConf.to_container(OmegaConf.load(file))
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def test_each_kind_of_parameter_is_written_as_wandb_has_it(command) -> None:
    sweep = export(
        command,
        "ner_tpe",
        "pruner=hyperband",
        "stages.finetune.epochs=range(1,5)",
        "stages.finetune.batch_size=int(tag(log,interval(4,64)))",
        "stages.finetune.dropout=null,0.1",
        "stages.finetune.schedule=cosine,linear",
        "data.train_size=range(100,900,100)",
        "data.test_size=range(50,400,100)",
    )
    assert sweep["method"] == "bayes"
    assert sweep["run_cap"] == 40
    assert sweep["early_terminate"] == {"type": "hyperband", "min_iter": 1, "eta": 3}
    assert sweep["metric"] == {"name": "finetune/f1", "goal": "maximize"}
    found = {key.removeprefix("stages.finetune."): row for key, row in sweep["parameters"].items()}
    assert found == {
        "learning_rate": {"distribution": "log_uniform_values", "min": 1e-5, "max": 2e-3},
        "warmup": {"distribution": "uniform", "min": 0.0, "max": 0.3},
        "label_smoothing": {"distribution": "uniform", "min": 0.0, "max": 0.2},
        "layer_decay": {"distribution": "uniform", "min": 0.6, "max": 1.0},
        "epochs": {"distribution": "int_uniform", "min": 1, "max": 4},
        "batch_size": {"distribution": "q_log_uniform_values", "min": 4, "max": 64, "q": 1},
        "dropout": {"values": ["null", 0.1]},
        "schedule": {"values": ["cosine", "linear"]},
        "data.train_size": {"distribution": "q_uniform", "min": 100, "max": 800, "q": 100},
        "data.test_size": {"values": [50, 150, 250, 350]},
    }


@pytest.mark.parametrize("name", ["demo", "distill_grid", "ner_tpe", "sentiment_random"])
def test_wandbs_own_schema_takes_every_sweep_of_the_project(command, name) -> None:
    schema = pytest.importorskip("sweeps.config.cfg")  # W&B's package, where it is installed
    assert schema.schema_violations_from_proposed_config(export(command, name)) == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["stage=finetune,distill", "stages.distill.temperature=1,2"], "only when stage=distill"),
        (
            [
                "stages.finetune.epochs=1,2,3",
                "hydra.sweeper.zip=[[stages.finetune.batch_size,stages.finetune.epochs]]",
            ],
            "finetune.batch_size and finetune.epochs together",
        ),
        (["objective=score_latency", "pruner=none"], "one objective"),
        (["+objective.constraints.bytes={max: 5}"], "objective.constraints.bytes"),
        (["tracker=none"], "expected tracker=wandb"),
        (["+stages.finetune=1"], "stages.finetune"),
    ],
)
def test_what_wandb_cannot_say_is_refused_with_the_reason(command, words, why) -> None:
    done = command.stagetree("export-wandb-sweep", "ner_tpe", *words)
    assert done.returncode == 2
    assert why in done.stderr
    assert done.stdout == ""


def test_what_is_left_out_is_said(command) -> None:
    done = command.stagetree("export-wandb-sweep", "ner_tpe", "hydra.sweeper.timeout=60")
    assert done.returncode == 0, done.stderr
    comments = [line for line in done.stdout.splitlines() if line.startswith("#")]
    assert [line.split(":")[0] for line in comments[1:]] == [
        "# sampler",
        "# pruner",
        "# hydra.sweeper.timeout",
    ]


def test_wandbs_agent_runs_a_point_under_the_id_it_gave(command, tmp_path, read_wandb) -> None:
    sweep = export(command, "distill_grid", *SHORT, "--root", str(command.root))
    point = {name: row["values"][0] for name, row in sweep["parameters"].items()}
    agent = subprocess.run(
        [sys.executable, "-c", AGENT, json.dumps(sweep), json.dumps(point)],
        cwd=Path(__file__).parents[2],
        env=command.environment(
            PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            WANDB_DIR=str(tmp_path),
            WANDB_PROJECT="of_the_agent",
        ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert agent.returncode == 0, agent.stdout + agent.stderr
    (path,) = command.root.glob("wandb/offline-run-*/*.wandb")
    found = read_wandb(path)
    assert found["run"].run_id == "given123"
    assert found["run"].sweep_id == "sweep1"
    assert "locked" not in agent.stderr
    for name, value in point.items():
        assert found["config"][name.removeprefix("stages.")] == value
    (stored,) = [row for row in command.json("store", "ls") if row["kind"] == "distill"]
    assert found["summary"]["value"] == pytest.approx(stored["metrics"]["f1"])
    assert any("value" in row for row in found["history"])
