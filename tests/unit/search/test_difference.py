from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, distribution_to_json

from stagetree.search.difference import compare

NARROW = distribution_to_json(FloatDistribution(1e-5, 1e-3, log=True))
WIDE = distribution_to_json(FloatDistribution(1e-5, 1e-2))
TWO = distribution_to_json(CategoricalDistribution([1, 2]))
THREE = distribution_to_json(CategoricalDistribution([1, 2, 4]))
KNOWN: dict[str, Any] = {
    "space": {"stages.finetune.learning_rate": NARROW, "stages.distill.t": TWO},
    "config": {"data.name": "pii", "stages.finetune.epochs": "3", "seed": "${other}"},
    "directions": ["maximize"],
    "metrics": ["f1"],
}


def asked(**changes: Any) -> dict[str, Any]:
    """Return the known question with other entries; ``None`` takes one away."""
    question = {**KNOWN, "space": dict(KNOWN["space"]), "config": dict(KNOWN["config"])}
    for section, change in changes.items():
        if isinstance(change, dict):
            merged = {**question[section], **change}
            change = {key: text for key, text in merged.items() if text is not None}
        question[section] = change
    return question


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        (
            {"space": {"stages.finetune.learning_rate": WIDE}},
            "finetune.learning_rate: log interval(1e-05, 0.001) -> interval(1e-05, 0.01)",
        ),
        ({"space": {"stages.distill.t": THREE}}, "distill.t: choice(1, 2) -> choice(1, 2, 4)"),
        (
            {"space": {"stages.finetune.epochs": TWO}, "config": {"stages.finetune.epochs": None}},
            "finetune.epochs: 3 -> choice(1, 2)",
        ),
        (
            {"space": {"stages.distill.t": None}, "config": {"stages.distill.t": "2"}},
            "distill.t: choice(1, 2) -> 2",
        ),
        (
            {"space": {"stages.distill.t": f"{TWO} when a=1"}},
            f"distill.t: choice(1, 2) -> {TWO} when a=1",
        ),
    ],
)
def test_another_space_is_compatible(changes: dict[str, Any], shown: str) -> None:
    found = compare(KNOWN, asked(**changes))
    assert found.compatible
    assert str(found) == shown
    assert len(found.faults) == 1


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"directions": ["minimize"]},
            'directions: study has ["maximize"], this line asks ["minimize"]',
        ),
        ({"metrics": ["loss"]}, 'metrics: study has ["f1"], this line asks ["loss"]'),
        (
            {"constraints": ["size_mb <= 20"]},
            'constraints: study has null, this line asks ["size_mb <= 20"]',
        ),
        ({"config": {"data.name": "conll"}}, "data.name: study has pii, this line asks conll"),
        ({"config": {"data.rows": "8"}}, "data.rows: study has none, this line asks 8"),
        ({"config": {"model.a": "1", "model.b": "2"}}, "model: study has none, this line asks it"),
        ({"space": {"new": TWO}}, "new: study has none, this line asks choice(1, 2)"),
        (
            {"space": {"stages.distill.t": None}},
            "stages.distill: study has it, this line does not",
        ),
        (
            {"space": {"seed": TWO}, "config": {"seed": None}},
            "seed: study has ${other}, this line asks choice(1, 2)",
        ),
    ],
)
def test_anything_else_is_not(changes: dict[str, Any], fault: str) -> None:
    found = compare(KNOWN, asked(**changes))
    assert not found.compatible
    assert [str(each) for each in found.faults] == [fault]


def test_the_same_question_does_not_differ() -> None:
    backwards = dict(reversed(KNOWN["space"].items()))
    found = compare(KNOWN, {**asked(), "space": backwards, "constraints": []})
    assert not found.faults
    assert found.compatible


def test_every_difference_is_told_searched_keys_first() -> None:
    question = asked(
        space={"stages.distill.t": THREE, "y": TWO},
        config={"data.name": "conll", "stages.finetune.epochs": None},
        directions=["minimize"],
    )
    assert [fault.path for fault in compare(KNOWN, question).faults] == [
        "stages.distill.t",
        "y",
        "data.name",
        "stages.finetune.epochs",
        "directions",
    ]
