"""Pruning on the command line: where it stands in a pipeline is searched like anything else."""

from __future__ import annotations

SHORT = ("debug=short", "model=tiny", "numerics=fp32", "tracker=none")


def test_the_order_of_stages_is_searched_and_the_first_stage_shared(command) -> None:
    done = command.run("-m", "stage=[finetune,prune,distill],[finetune,distill,prune]", *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert command.kinds() == {"finetune": 1, "prune": 2, "distill": 2}
    rows = command.json("store", "ls")
    finetune = next(row for row in rows if row["kind"] == "finetune")
    for row in rows:
        if row["kind"] != "finetune":
            assert row["metrics"]["parameters"] < finetune["metrics"]["parameters"]


def test_a_pruned_model_is_repaired_by_its_teacher_and_quantised(command) -> None:
    done = command.run(
        "stage=[finetune,prune,distill,quantize]", "stages.distill.student.layers=0", *SHORT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["kind"]: row["metrics"] for row in command.json("store", "ls")}
    assert rows["distill"]["parameters"] == rows["prune"]["parameters"]
    assert rows["quantize"]["bytes"] < rows["distill"]["bytes"]


def test_pruning_after_quantising_is_refused_before_anything_runs(command) -> None:
    done = command.run("stage=[finetune,quantize,prune]", *SHORT)
    assert done.returncode == 2
    assert "cannot be changed further" in " ".join(done.stderr.split())
    alone = command.run("stage=prune", "stages.prune.heads=1.5", *SHORT)
    assert alone.returncode == 2
    assert "stages.prune.heads" in alone.stderr


def test_movement_is_learnt_in_the_stage(command) -> None:
    words = ("stage=prune", "stages.prune.method=movement", *SHORT)
    refused = command.run(*words)
    assert refused.returncode == 2
    assert "stages.prune.epochs" in refused.stderr
    done = command.run(*words, "stages.prune.epochs=1")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = command.json("store", "ls")
    assert [row["kind"] for row in rows] == ["finetune", "prune"]
    assert rows[0]["metrics"]["parameters"] == rows[1]["metrics"]["parameters"]
