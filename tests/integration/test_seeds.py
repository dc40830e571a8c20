"""Real runs over several seeds: what is computed, what comes out, what a search makes of it."""

from __future__ import annotations

import re
import statistics
import time
from typing import Any

import pytest

SHORT = ("debug=short", "model=tiny", "numerics=fp32", "tracker=none", "progress=false")
ONE = ("stage=finetune", *SHORT)


def objective(command, *words: str) -> float:
    """Return the objective that a run prints, with four decimals."""
    done = command.run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"^loss +([0-9.]+)", done.stdout, re.MULTILINE)
    assert found, done.stdout
    return float(found[1])


def stored(command) -> dict[str, dict[str, Any]]:
    return {row["signature"]: row for row in command.json("store", "ls")}


def test_the_objective_is_the_mean_of_the_runs_of_each_seed(command) -> None:
    line = ("stage=distill", "objective.metric=loss", "objective.direction=minimize", *SHORT)
    planned = command.json("plan", "seeds=[1,2]", *line)
    assert planned["exact"]
    assert planned["executions"] == {"finetune": 2, "distill": 2}
    mean = objective(command, "seeds=[1,2]", *line)
    computed = stored(command)
    assert len(computed) == planned["stage_executions"]
    alone = [objective(command, f"seed={seed}", *line) for seed in (1, 2)]
    assert alone[0] != alone[1]
    assert mean == pytest.approx(statistics.fmean(alone), abs=1e-4)
    done = command.run("seeds=[1,2]", *line)
    shown = re.search(r"^loss +([0-9.]+) ± ([0-9.]+) over 2 seeds$", done.stdout, re.MULTILINE)
    assert shown, done.stdout
    assert float(shown[1]) == mean
    assert float(shown[2]) == pytest.approx(statistics.stdev(alone), abs=1e-3)
    for stage in ("finetune@1", "distill@1", "finetune@2", "distill@2"):
        assert re.search(rf"^ {stage} .* reused$", done.stdout, re.MULTILINE), done.stdout
    assert stored(command) == computed
    again = command.json("plan", "seeds=[1,2,3]", *line)
    assert (again["stage_executions"], again["reused"]) == (2, 4)


def test_a_run_stopped_in_its_second_seed_goes_on_there(command) -> None:
    line = ("seeds=[1,2]", *ONE, "debug.max_steps=300")
    process = command.start(*line)
    deadline = time.monotonic() + 240
    partial = command.root / "store" / "partial"
    while not (
        len(list(command.root.glob("store/*/*/record.json"))) == 1
        and any(partial.glob("*/scratch/curve.jsonl"))
    ):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
    process.kill()
    process.wait()
    (first,) = stored(command).values()
    done = command.run(*line)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^ finetune@1 .* reused$", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^ finetune@2 .* run$", done.stdout, re.MULTILINE), done.stdout
    after = stored(command)
    assert after[first["signature"]] == first
    assert len(after) == 2


def test_a_search_compares_trials_seed_by_seed(command) -> None:
    line = (
        "-m",
        "stages.finetune.learning_rate=2e-3,3e-3,100",
        "sampler=grid",
        "pruner=wilcoxon",
        "pruner.p_threshold=0.3",
        "pruner.n_startup_steps=2",
        "seeds=[1,2,3]",
        "objective.metric=loss",
        "objective.direction=minimize",
        "+objective.constraints.bytes.max=20e6",
        "hydra.sweeper.study_name=seeds",
        *ONE,
    )
    planned = command.json("plan", *line)
    assert planned["executions"] == {"finetune": 9}
    done = command.run(*line)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = command.json("trials", "seeds")
    assert [row["state"] for row in rows] == ["complete", "complete", "pruned"]
    names = [[stage["name"] for stage in row["stages"]] for row in rows]
    assert names == [[f"finetune@{seed}" for seed in (1, 2, 3)]] * 2 + [
        ["finetune@1", "finetune@2"]
    ]
    assert rows[2]["pruned_in"] == "seeds"
    for row in rows[:2]:
        losses = [stage["metrics"]["loss"] for stage in row["stages"]]
        assert row["values"] == [statistics.fmean(losses)]


def test_a_random_search_over_seeds_runs_through_and_its_best_trial_is_kept(
    command, tmp_path
) -> None:
    done = command.run(
        "-m",
        "stages.finetune.learning_rate=tag(log,interval(1e-3,5e-3))",
        "sampler=random",
        "pruner=wilcoxon",
        "seeds=[1,2,3]",
        "hydra.sweeper.n_trials=2",
        "hydra.sweeper.study_name=drawn",
        *ONE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["state"] for row in command.json("trials", "drawn")] == ["complete"] * 2
    kept = tmp_path / "kept.yaml"
    best = command.json("best", "drawn", "--export", str(kept))
    text = kept.read_text()
    assert "seeds:\n- 1\n- 2\n- 3\n" in text
    for stage in best["stages"]:
        assert f"{stage['name']}  " in text
        assert stage["signature"] in text


def test_the_wilcoxon_pruner_wants_several_seeds(command) -> None:
    for words in (["pruner=wilcoxon"], ["-m", "pruner=wilcoxon", "stage=finetune,distill"]):
        done = command.run(*words, "seeds=[1]", "data.split=[0.5,0.1,0.1]")
        assert done.returncode == 2, done.stdout + done.stderr
        assert "seeds=[1,2,3]" in done.stderr
        assert "data.split" in done.stderr
        assert not (command.root / "store").exists()
