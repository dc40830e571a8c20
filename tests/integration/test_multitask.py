"""Several tasks at once, from the command line."""

from __future__ import annotations

import signal

import pytest

SHORT = ("debug=short", "model=tiny", "numerics=fp32", "tracker=none")


def test_several_tasks_are_trained_scored_and_distilled(command) -> None:
    done = command.run("task=multitask", "stage=distill", *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = command.json("store", "ls")
    assert [row["kind"] for row in rows] == ["finetune", "distill"]
    for row in rows:
        metrics = row["metrics"]
        assert {"mean", "pii.f1", "sentiment.macro_f1", "loss", "bytes"} <= set(metrics)
        assert metrics["mean"] == (metrics["pii.f1"] + metrics["sentiment.macro_f1"]) / 2
    assert rows[1]["metrics"]["parameters"] < rows[0]["metrics"]["parameters"]


def test_one_task_is_taken_out_and_quantised(command) -> None:
    done = command.run(
        "task=multitask",
        "stage=[finetune,head,quantize]",
        "stages.head.task=pii",
        "objective.metric=f1",
        *SHORT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    several, one, small = (row["metrics"] for row in command.json("store", "ls"))
    assert one["f1"] == several["pii.f1"]
    assert one["f1_strict"] == several["pii.f1_strict"]
    assert small["bytes"] < one["bytes"] < several["bytes"]


def test_weights_and_sampling_are_searched_by_the_metric_of_one_task(command) -> None:
    done = command.run(
        "-m",
        "task=multitask",
        "stage=finetune",
        "task.tasks.pii.weight=1,2",
        "task.sampling=uniform,temperature",
        "objective.metric=pii.f1",
        "hydra.sweeper.study_name=weights",
        *SHORT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = [row["params"] for row in command.json("trials", "weights")]
    assert len(found) == 4
    assert {"task.tasks.pii.weight": 2, "task.sampling": "temperature"} in found
    assert command.kinds() == {"finetune": 4}


@pytest.mark.thorough
def test_a_killed_run_goes_on_and_ends_with_the_same_metrics(command, command_at, tmp_path) -> None:
    words = ("task=multitask", "stage=finetune", *SHORT, "stages.finetune.max_steps=60")
    words += ("debug.max_steps=60", "debug.evaluations=10", "stages.finetune.evaluations=10")
    running = command.start(*words)
    assert running.stdout is not None
    for line in running.stdout:
        if " 20% " in line:
            break
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert command.json("store", "ls") == []
    whole = command_at(tmp_path / "whole")
    metrics = []
    for one in (command, whole):
        done = one.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        (row,) = one.json("store", "ls")
        timed = ("latency", "throughput")
        kept = {k: v for k, v in row["metrics"].items() if not k.startswith(timed)}
        metrics.append(kept)
    assert metrics[0] == metrics[1]
