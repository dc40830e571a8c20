"""What W&B is told of real trials and of their study."""

from __future__ import annotations

from collections import Counter

import pytest

from stagetree.pipeline.store import Store

SEARCH = (
    "-m",
    "stage=finetune,distill",
    "stages.finetune.epochs=1",
    "debug=short",
    "model=tiny",
    "numerics=fp32",
    "hydra.sweeper.study_name=seen",
)


@pytest.fixture(scope="module")
def seen(command_at, read_wandb, tmp_path_factory):
    """A search of two pipelines, and what W&B holds of it by displayed name."""
    command = command_at(tmp_path_factory.mktemp("seen") / "runs")
    done = command.run(*SEARCH, "tracker.samples=7")
    assert done.returncode == 0, done.stdout + done.stderr
    runs = [read_wandb(path) for path in command.root.glob("wandb/offline-run-*/*.wandb")]
    return command, {found["run"].display_name: found for found in runs}


def test_a_trials_tables_are_those_of_its_last_stage(seen) -> None:
    command, runs = seen
    (last,) = [row for row in command.json("store", "ls") if row["kind"] == "distill"]
    store = Store(command.root / "store")
    record, examples = store.get(last["signature"]), store.examples(last["signature"])
    assert record is not None
    assert examples is not None
    tables = runs["seen/1"]["tables"]
    assert {row["class"]: row["support"] for row in tables["tables/per_class"]} == {
        name: row["support"] for name, row in record.per_class.items()
    }
    gold: Counter[str] = Counter()
    for row in tables["tables/confusion_table"]:
        gold[row["Actual"]] += row["nPredictions"]
    types = {name for name in gold if name != "none"}
    assert len(types) > 3
    assert {name: gold[name] for name in types} == {
        name: record.per_class[name]["support"] for name in types
    }
    samples = tables["tables/samples"]
    assert len(samples) == 7
    assert all(row["text"] for row in samples)
    assert all(row["right"] == (row["gold"] == row["predicted"]) for row in samples)


def test_trials_show_the_same_samples_and_what_they_reused(seen) -> None:
    _, runs = seen
    texts = [
        [row["text"] for row in runs[name]["tables"]["tables/samples"]]
        for name in ("seen/0", "seen/1")
    ]
    assert texts[0] == texts[1]
    assert list(runs["seen/0"]["run"].tags) == []
    assert list(runs["seen/1"]["run"].tags) == ["reused"]
    assert set(runs["seen/1"]["axes"]) == {"finetune/*", "distill/*"}


def test_the_study_has_a_run_that_agrees_with_the_command_line(seen) -> None:
    command, runs = seen
    study = runs["seen"]
    assert study["run"].job_type == "study"
    assert {found["run"].run_group for found in runs.values()} == {"seen"}
    told = {row["trial"]: row["f1"] for row in study["tables"]["tables/trials"]}
    assert told == {row["number"]: row["values"][0] for row in command.json("trials", "seen")}
    assert study["summary"]["best/trial"] == max(told, key=lambda number: told[number])
    assert study["summary"]["stages_reused"] == 1
    assert study["summary"]["seconds_saved"] > 0


def test_a_study_that_cannot_be_told_of_changes_no_exit_code(command) -> None:
    done = command.run(*SEARCH, "tracker=none", "hydra.sweeper.finished=builtins.int")
    assert done.returncode == 0
    assert "hydra.sweeper.finished=builtins.int failed" in done.stderr
