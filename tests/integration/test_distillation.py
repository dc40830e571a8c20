"""Distillation as a user types it: answers kept once, several teachers, text without labels."""

from __future__ import annotations

import json

SHORT = ("debug=short", "model=tiny", "numerics=fp32", "tracker=none")


def kinds(command) -> list[str]:
    return sorted(row["kind"] for row in command.json("store", "ls", "--all"))


def test_a_grid_over_temperatures_asks_the_teacher_once(command) -> None:
    grid = ("-m", "stage=distill", "stages.distill.temperature=1,2,4", *SHORT)
    done = command.run(*grid, "hydra.sweeper.n_workers=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert command.kinds() == {"finetune": 1, "distill": 3}
    assert kinds(command) == ["answers", "distill", "distill", "distill", "finetune"]
    [answers] = [r for r in command.json("store", "ls", "--all") if r["kind"] == "answers"]
    shown = command.json("store", "show", answers["signature"][:12])
    assert shown["config"]["split"] == "train"
    assert shown["seconds"] > 0
    assert set(shown["files"]) == {"logits.npy", "counts.npy"}

    other = ("stage=distill", "stages.distill.alpha=0.9", *SHORT)
    planned = command.json("plan", *other)
    assert (planned["stage_executions"], planned["reused"]) == (1, 1)
    assert planned["seconds"] > 0
    [_, reason] = command.json("store", "why", *other)
    assert any(line.startswith("config.alpha") for line in reason["differences"])
    assert command.run(*other).returncode == 0
    assert kinds(command).count("answers") == 1


def test_teachers_together_and_text_without_labels(command, tmp_path) -> None:
    text = tmp_path / "text.jsonl"
    text.write_text("\n".join(json.dumps({"text": f"Call {n} Main Street"}) for n in range(20)))
    both = "{kind: distill, teachers: {finetune: 0.7, distill: 0.3}, student: {layers: 1}}"
    line = (
        "stage=distill",
        f"+stages.both={both}",
        f"+stages.both.unlabeled.files=[{text}]",
        "+stages.both.transfer.hidden=0",
        *SHORT,
    )
    done = command.run(*line)
    assert done.returncode == 0, done.stdout + done.stderr
    assert command.kinds() == {"finetune": 1, "distill": 2}
    assert kinds(command).count("answers") == 4  # of two teachers, on two sources
    wrong = command.run(*line[:1], f"+stages.both={both.replace('finetune', 'fintune')}", *SHORT)
    assert wrong.returncode == 2
    assert "stages.both.teachers.fintune" in wrong.stderr
    assert "Did you mean 'finetune'" in wrong.stderr


def test_transfer_from_inside_runs_from_the_command_line(command) -> None:
    done = command.run(
        "stage=distill",
        "stages.distill.transfer={hidden: 1.0, attention: 0.5, relation: 1.0}",
        "stages.distill.transfer.layers=last",
        *SHORT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert command.kinds() == {"finetune": 1, "distill": 1}
    wrong = command.run("stage=distill", "stages.distill.transfer.hiden=1", *SHORT)
    assert wrong.returncode == 2
    assert "hidden" in wrong.stderr
