"""The ``stagetree`` command: plans that come true, and JSON that says what the tables say."""

from __future__ import annotations

import pytest

SHORT = ("debug=short", "model=tiny", "numerics=fp32", "tracker=none")
LINE = ("-m", "stage=distill", "stages.finetune.learning_rate=1e-3,3e-3",
        "stages.distill.temperature=1,2")  # fmt: skip


def test_a_plan_counts_what_then_runs(command) -> None:
    plan = command.json("plan", *LINE, *SHORT)
    assert plan["trials"] == 4
    assert plan["stage_executions"] == 6
    assert plan["reused"] == 2
    assert plan["seconds"] is None
    assert not command.root.exists()
    done = command.run(*LINE, *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(command.kinds().values()) == plan["stage_executions"]
    again = command.json("plan", *LINE, *SHORT)
    assert again["stage_executions"] == 0
    assert again["seconds"] == 0
    wider = command.json("plan", "-m", *LINE[1:3], "stages.distill.temperature=1,2,4", *SHORT)
    assert wider["stage_executions"] == 2
    assert wider["seconds"] > 0
    assert wider["bytes"] > 0


def test_a_sampled_search_is_planned_as_an_upper_bound(command) -> None:
    plan = command.json("plan", "-m", "+sweep=demo", *SHORT)
    assert plan["trials"] == 12
    assert plan["exact"] is False
    assert plan["stage_executions"] == 36


def test_why_names_the_field_that_differs(command) -> None:
    assert command.run("stage=finetune", *SHORT).returncode == 0
    rows = command.json("store", "why", "stage=finetune", *SHORT)
    assert [row["stored"] for row in rows] == [True]
    rows = command.json(
        "store", "why", "stage=finetune", "stages.finetune.learning_rate=1e-5", *SHORT
    )
    assert rows[0]["stored"] is False
    assert any("learning_rate" in difference for difference in rows[0]["differences"])
    shown = command.json(
        "store", "show", rows[0]["signature"][:0] or command.json("store", "ls")[0]["signature"][:8]
    )
    assert shown["kind"] == "finetune"
    assert shown["curve"]


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["best", "nosuch"], 2, "nosuch"),
        (["store", "show", "ffff"], 1, "ffff"),
        (["assets", "get", "minilm"], 2, "minilm_l6"),
        (["plan", "stages.finetune.epoch=3"], 2, "epochs"),
        (["nosuch"], 2, "nosuch"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_one(command, words, code, named) -> None:
    done = (
        command.stagetree(*words, "--root", str(command.root))
        if words != ["nosuch"]
        else command.stagetree(*words)
    )
    assert done.returncode == code, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr
