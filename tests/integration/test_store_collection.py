"""Searches that make room for themselves, and garbage collection after and beside them."""

from __future__ import annotations

import json
import shutil
import signal
import time
from typing import Any

import pytest

pytestmark = pytest.mark.slow
SHORT = ("debug=short", "model=tiny", "numerics=fp32", "tracker=none")
GRID = ("-m", "stage=distill", "stages.finetune.learning_rate=1e-3,3e-3",
        "stages.distill.temperature=1,2,4", "hydra.sweeper.study_name=s", *SHORT)  # fmt: skip
BUDGET = ("store.budget_gb=0.03", "store.keep_best=1")  # three results of nine megabytes


def outcome(command) -> list[tuple[Any, ...]]:
    """What a table of trials says that depends on neither the clock nor who was first."""
    rows = [
        (
            trial["state"],
            trial["params"],
            trial["values"],
            [(stage["name"], stage["signature"], stage["metrics"]["f1"])
             for stage in trial["stages"]],
        )
        for trial in command.json("trials", "s")
    ]  # fmt: skip
    return sorted(rows, key=repr)


def stored(command) -> set[str]:
    return {row["signature"] for row in command.json("store", "ls")}


def best(command) -> set[str]:
    """The signatures of the best trial's stages."""
    return {stage["signature"] for stage in command.json("best", "s")["stages"]}


def test_a_search_within_a_budget_ends_with_the_same_table(command, command_at, tmp_path) -> None:
    free, bound = command_at(tmp_path / "free"), command_at(tmp_path / "bound")
    line = (*GRID, "hydra.sweeper.n_workers=2")
    for one, words in ((free, line), (bound, (*line, *BUDGET))):
        done = one.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    assert outcome(bound) == outcome(free)
    assert all(trial["state"] == "complete" for trial in bound.json("trials", "s"))
    assert len(stored(free)) == 8
    assert len(stored(bound)) <= 4  # three, and one of a stage published meanwhile
    assert bound.json("best", "s")["stages"][-1]["signature"] in stored(bound)
    again = bound.run(*line, *BUDGET)  # a finished study is reopened, whatever its budget was
    assert again.returncode == 0
    assert outcome(bound) == outcome(free)


def test_a_freed_model_is_computed_again_where_it_is_needed_and_only_there(command) -> None:
    done = command.run(*GRID)
    assert done.returncode == 0, done.stdout + done.stderr
    before, winner = outcome(command), best(command)
    dry = command.json("store", "gc", "--older-than", "0", "--keep-best", "1")
    assert (dry["done"], dry["bytes_freed"]) == (False, 0)
    assert len(stored(command)) == 8
    did = command.json("store", "gc", "--older-than", "0", "--keep-best", "1", "--yes")
    assert did["reasons"] == dry["reasons"]
    assert did["bytes_freed"] == dry["bytes_to_free"] > 50e6
    assert len(stored(command) & winner) == len(stored(command)) == 1
    assert outcome(command) == before
    rerun = command.json("best", "s")["command"].split()[2:]
    words = [word for word in rerun if not word.startswith("paths.")]
    plan = command.json("plan", *words)
    assert (plan["stage_executions"], plan["reused"]) == (0, 2)
    done = command.run(*words)
    assert done.returncode == 0, done.stderr
    assert "not here; it is fetched or computed again" in done.stdout
    assert len(stored(command)) == 1
    other = [*words, "stages.distill.temperature=8"]
    why = {row["stage"]: row for row in command.json("store", "why", *other)}
    assert "its model was freed since" in why["finetune"]["differences"][0]
    assert command.json("plan", *other)["stage_executions"] == 2
    assert command.run(*other).returncode == 0
    stages = [stage for *_, row in before for stage in row if stage[0] == "finetune"]
    finetune = next(stage for stage in stages if stage[1] in stored(command))
    record = command.json("store", "show", finetune[1])
    assert record["metrics"]["f1"] == finetune[2]
    kept = command.json("store", "gc", "--older-than", "0", "--keep-best", "1")
    reasons = {row["reason"] for row in kept["reasons"] if row["keep"]}
    assert len(reasons) == 2  # the best, which is the first run's, too, and the second run
    shutil.rmtree(command.root / "outputs")
    kept = command.json("store", "gc", "--older-than", "0", "--keep-best", "1")
    assert {row["reason"] for row in kept["reasons"] if row["keep"]} == {"best of s"}


def test_collection_beside_a_running_search_takes_nothing_from_it(command) -> None:
    running = command.start(*GRID)
    rounds = []
    while running.poll() is None:
        rounds.append(command.json("store", "gc", "--older-than", "0", "--yes"))
    output = running.communicate()[0]
    assert running.returncode == 0, output
    during = [told for told in rounds if "study s is running" in str(told["reasons"])]
    assert during
    gone = [row for told in during for row in told["results"] if row["name"] and not row["keep"]]
    assert gone == []
    trials = command.json("trials", "s")
    assert [trial["state"] for trial in trials] == ["complete"] * 6
    executed = [stage for trial in trials for stage in trial["stages"] if not stage["reused"]]
    assert len(executed) == 8  # each once, as without the collection


@pytest.mark.thorough
def test_what_an_unfinished_trial_has_stays_until_it_goes_on(command) -> None:
    running = command.start(*GRID, *BUDGET[1:])
    while not list(command.root.glob("store/[0-9a-f][0-9a-f]/*/record.json")):
        assert running.poll() is None
        time.sleep(0.1)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    told = command.json("store", "gc", "--older-than", "0", "--yes")
    reasons = {row["reason"] for row in told["reasons"] if row["keep"]}
    assert any("is unfinished" in reason for reason in reasons), json.dumps(told)
    held = {row["signature"] for row in told["results"] if row["keep"]}
    done = command.run(*GRID)
    assert done.returncode == 0, done.stdout + done.stderr
    first = command.json("trials", "s")[0]
    assert first["stages"][0]["reused"]
    assert first["stages"][0]["signature"] in held


def test_a_strange_age_is_refused_and_an_empty_store_is_left_alone(command) -> None:
    done = command.stagetree("store", "gc", "--older-than", "soon", "--root", str(command.root))
    assert done.returncode == 2
    assert "expected an age such as 30m, 12h, 7d or 0 but got 'soon'" in done.stderr
    done = command.stagetree("store", "gc", "--root", str(command.root))
    assert done.returncode == 0
    assert done.stdout.strip() == "the store is empty"
    assert not command.root.exists()
