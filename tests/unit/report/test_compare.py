import math

import pytest

from stagetree.core.trials import StageRow, TrialRow
from stagetree.report.compare import (
    LAST,
    Side,
    StudyFacts,
    config_differences,
    curves,
    drawn,
    metrics,
    space_differences,
    to_json,
)
from stagetree.report.compare_tables import comparison
from stagetree.report.tables import render


def stage(name, seconds=1.0, **scores):
    return StageRow(name, name.partition("@")[0], "ab" * 32, seconds, False, "/m", scores)


def side(name="A", config=(), stages=(), **more):
    return Side(name, "run", "complete", dict(config), stages, **more)


def test_only_settings_that_differ_are_kept():
    first = side(config={"seed": 1, "finetune.epochs": 3.0, "finetune.unfreeze": []})
    other = side(config={"seed": 1, "finetune.epochs": 3, "finetune.unfreeze": [], "new": None})
    assert config_differences([first, other]) == {"finetune.epochs": [3.0, 3], "new": ["-", None]}


def test_what_a_part_of_a_configuration_does_not_have_is_no_difference():
    whole = side(config={"seed": 1, "lr": 2, "paths": "x"})
    part = side(config={"seed": 3, "lr": 2}, whole=False)
    assert config_differences([whole, part]) == {"seed": [1, 3]}


def test_metrics_are_compared_stage_by_stage_and_at_the_end():
    first = side(stages=[stage("finetune", f1=0.5), stage("distill", f1=0.6)])
    other = side(stages=[stage("finetune", f1=0.7), stage("prune", f1=math.nan)])
    found = metrics([first, other])
    assert list(found) == ["finetune", LAST]
    assert found["finetune"]["f1"] == [0.5, 0.7]
    assert found[LAST]["f1"] == [0.6, None]
    assert metrics([first, side()]) == {}


def test_stages_of_several_seeds_are_compared_by_their_means():
    several = side(stages=[stage("finetune@1", f1=0.5), stage("finetune@2", f1=0.7)])
    found = metrics([several, side(stages=[stage("finetune", f1=0.5)])])
    assert found["finetune"]["f1"] == [pytest.approx(0.6), 0.5]


def test_curves_have_every_point_of_every_side():
    first = side(curves={"finetune": [(0.5, {"f1": 0.1}), (1.0, {"f1": 0.2, "loss": 3.0})]})
    found = curves([first, side()])
    assert found == {"finetune": {"f1": [[[0.5, 0.1], [1.0, 0.2]], []], "loss": [[[1.0, 3.0]], []]}}
    assert drawn(found["finetune"], ["nosuch"]) == "f1"
    assert drawn({"mse": 1}, []) == "mse"
    assert drawn({}, ["f1"]) is None


def test_studies_are_compared_by_counts_and_spaces():
    rows = [TrialRow(0, "complete", {}, (0.5,)), TrialRow(1, "pruned", {})]
    first = side(study=StudyFacts.of(rows, {"lr": "a", "t": "b"}))
    other = side(study=StudyFacts.of(rows, {"lr": "c", "t": "b"}))
    assert space_differences([first, other]) == {"lr": ["a", "c"]}
    assert space_differences([first, side()]) == {}
    assert to_json([first, other])["sides"][0]["trials"] == {"complete": 1, "pruned": 1}


def test_a_person_sees_the_differences_and_why_examples_are_missing():
    first = side("one", {"lr": 0.1}, [stage("finetune", f1=0.5)], values={"f1": 0.5})
    other = side("two", {"lr": 0.2}, [stage("finetune", f1=0.75)], values={"f1": 0.75})
    text = render(comparison([first, other, first], ["no reason", "another"], ["a note"]))
    assert "B  two  complete  f1 0.7500  finetune" in text
    row = next(line for line in text.splitlines() if "finetune.f1" in line)
    assert row.split() == ["finetune.f1", "0.5000", "0.7500", "0.5000", "+0.2500", "="]
    assert "examples  A and B: no reason" in text
    assert text.endswith("a note")
