import io
import re
import sys

import pytest

from stagetree.core.trials import StageRow, TrialRow
from stagetree.report.tables import marks, order, render, run_table, spread, study_table


def numbers(text):
    """Return the trial numbers in the order of the table's rows."""
    return [int(found) for found in re.findall(r"^ +(\d+) +[a-z]+ ", text, re.MULTILINE)]


def test_best_first_then_pruned_then_failed(rows):
    assert [row.number for row in order(rows, ["maximize"])] == [1, 4, 0, 3, 2]
    assert [row.number for row in order(rows, ["minimize"])] == [0, 4, 1, 3, 2]
    assert numbers(render(study_table(rows, ["maximize"], ["f1"]))) == [1, 4, 0, 3, 2]


def test_varying_parameters_are_columns_and_fixed_ones_a_note(rows):
    text = render(study_table(rows, ["maximize"], ["f1"]))
    assert "learning_rate" in text
    assert "same in all: distill.temperature=2 seed=13" in text
    assert "finetune ↺ distill ✓" in text
    assert "finetune ✓ distill ✂" in text


def test_marks_fall_back_to_ascii(rows, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    text = render(study_table(rows, ["maximize"], ["f1"]))
    assert "finetune = distill +" in text
    assert text.isascii()


@pytest.mark.parametrize("width", [90, 100, 160, 400])
def test_no_value_is_cut_whatever_the_width(stage, width):
    names = [f"finetune.some_rather_long_option_{index}" for index in range(12)]
    many = [
        TrialRow(
            number,
            "complete",
            {name: 0.123 + number + place for place, name in enumerate(names)},
            (0.5 + number / 100,),
            (stage("finetune"), stage("distill"), stage("quantize")),
            9.0,
        )
        for number in range(3)
    ]
    text = render(study_table(many, ["maximize"], ["f1"], width=width), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for place in range(12):
        assert f"{2.123 + place:.4g}" in text


def test_a_pipe_gets_neither_colours_nor_eighty_columns(rows, capsys):
    text = render(study_table(rows, ["maximize"], ["f1"]))
    assert "\x1b" not in text
    wide = [
        TrialRow(number, "complete", {f"stage.option_{place}": number for place in range(12)})
        for number in range(2)
    ]
    assert max(map(len, render(study_table(wide, ["maximize"], ["f1"])).splitlines())) > 100


def test_several_objectives_have_a_column_each(rows):
    two = [TrialRow(0, "complete", {"a": 1}, (0.5, 20.25)), TrialRow(1, "pruned", {"a": 2})]
    text = render(study_table(two, ["maximize", "minimize"], ["f1", "size_mb"]))
    assert "size_mb" in text
    assert "20.25" in text


def test_the_front_comes_first_and_what_breaks_a_bound_after_what_does_not():
    broken = {"violations": {"bytes": 0.5}}
    two = [
        TrialRow(0, "complete", {"a": 0}, (0.1, 9.0)),
        TrialRow(1, "complete", {"a": 1}, (0.9, 1.0), **broken),
        TrialRow(2, "failed", {"a": 2}, error="x"),
        TrialRow(3, "complete", {"a": 3}, (0.5, 3.0)),
    ]
    directions, names = ["maximize", "minimize"], ["f1", "size_mb"]
    text = render(study_table(two, directions, names, front={3}))
    assert re.findall(r"^ +(\d+) +([a-z]+) ", text, re.MULTILINE) == [
        ("3", "front"),
        ("0", "complete"),
        ("1", "infeasible"),
        ("2", "failed"),
    ]


def test_one_objective_has_no_front_but_its_best_is_feasible():
    rows = [
        TrialRow(0, "complete", {"a": 0}, (0.9,), violations={"bytes": 0.5}),
        TrialRow(1, "complete", {"a": 1}, (0.5,)),
    ]
    text = render(study_table(rows, ["maximize"], ["f1"], front={1}))
    assert numbers(text) == [1, 0]
    assert "front" not in text


def test_one_trial_keeps_its_parameters(rows):
    assert "0.0003" in render(study_table(rows[1:2], ["maximize"], ["f1"]))


def test_an_empty_study_has_a_table():
    assert "trial" in render(study_table([], ["maximize"], ["f1"]))


def test_a_run_shows_sizes_and_uncut_directories(stage):
    stages = [
        stage("finetune", 41.2, reused=True, f1=0.8123, loss=0.31, parameters=22713216.0),
        stage("quantize", 2.0, f1=0.81, bytes=23.5e6, latency_ms=7.7),
    ]
    text = render(run_table(stages, "f1"), width=72)
    assert "22.7 M" in text
    assert "23.5" in text
    assert "reused" in text
    assert "quantize  /store/quantize/model" in text


def test_a_run_over_seeds_names_the_seed_of_every_stage():
    metrics = {"f1": 0.5}
    stages = [
        StageRow(name, kind, "0" * 64, 1.0, False, f"/store/{name}", metrics)
        for name, kind in [("finetune@1", "finetune"), ("recover@1", "finetune")]
    ]
    text = render(run_table(stages, "f1"), width=100)
    assert "finetune@1 " in text
    assert "finetune@1 (" not in text
    assert "recover@1 (finetune)" in text


def test_a_mean_over_seeds_comes_with_its_sample_deviation(monkeypatch):
    assert spread([0.5]) == "0.5000"
    assert spread([0.25, 0.75]) == "0.5000 ± 0.3536 over 2 seeds"
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert spread([0.25, 0.75]).isascii()


def test_a_stage_that_ended_and_was_then_cut_stands_once():
    stage = StageRow("distill", "distill", "0" * 64, 1.0, False, "/store/distill")
    row = TrialRow(3, "pruned", {"lr": 1}, (0.5,), (stage,), pruned_in="distill")
    text = render(study_table([row], ["maximize"], ["f1"]), width=100)
    assert text.count(marks().pruned) == 2  # the trial's mark and the legend's
    assert f"distill {marks().run}" not in text
