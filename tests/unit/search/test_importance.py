"""Which hyperparameters are said to decide, of studies where it is known."""

import random

import pytest
from optuna import Study
from optuna.distributions import CategoricalDistribution, FloatDistribution

from stagetree.search.importance import importances

SPACE = {
    "finetune.rate": FloatDistribution(0, 1),
    "distill.alpha": FloatDistribution(0, 1),
    "distill.layers": CategoricalDistribution([None, "[1,3]", "[0,2]"]),
    "seed": CategoricalDistribution([1]),
    "stage": CategoricalDistribution(["finetune", "distill"]),
}


def two_stages(recorded, count: int = 60) -> Study:
    """finetune.rate decides over finetune, distill.alpha over what distill adds."""
    draw = random.Random(0)
    made = recorded()
    for _ in range(count):
        rate, alpha = draw.choice([0.1, 0.3, 0.5, 0.7, 0.9]), draw.random()
        params = {
            "finetune.rate": rate,
            "distill.alpha": alpha,
            "distill.layers": draw.choice([None, "[1,3]", "[0,2]"]),
            "seed": 1,
        }
        tuned = 0.3 * rate
        made.add(params, SPACE, {"finetune": [tuned], "distill": [tuned + alpha]})
    return made.study


def test_overall_shares_follow_what_decides_and_sum_to_one(recorded):
    overall = importances(two_stages(recorded))[0]
    assert next(iter(overall.shares)) == "distill.alpha"
    assert overall.method == "fANOVA"
    assert sum(overall.shares.values()) == pytest.approx(1)
    assert sum(overall.by_stage.values()) == pytest.approx(1)
    assert overall.by_stage["distill"] > overall.by_stage["finetune"]
    assert overall.trials == 60


def test_a_stages_own_metric_is_decided_by_its_own_and_earlier_hyperparameters(recorded):
    study = two_stages(recorded)
    for _ in range(2):
        of_stage = {one.stage: one for one in importances(study)}
    assert list(of_stage) == ["", "finetune", "distill"]
    assert "5 of the 10" in of_stage["finetune"].reason
    assert next(iter(of_stage["distill"].shares)) == "distill.alpha"
    assert "finetune.rate" in of_stage["distill"].shares


def test_pruned_and_failed_trials_tell_about_the_stages_they_finished(recorded):
    draw = random.Random(1)
    made = recorded()
    for place in range(24):
        rate = draw.random()
        params = {"finetune.rate": rate, "distill.alpha": draw.random()}
        state = ("pruned", "failed")[place % 2]
        made.add(params, SPACE, {"finetune": [rate], "distill": [0.1]}, state=state)
    overall, finetune, distill = importances(made.study)
    assert overall.reason == "0 of the 10 different results that it takes"
    assert finetune.stage == "finetune"
    assert finetune.shares == {"finetune.rate": 1.0}
    assert not distill.shares


def test_the_same_study_always_gives_the_same_numbers(recorded):
    study = two_stages(recorded)
    assert importances(study) == importances(study)


def test_what_never_varied_is_named_and_has_no_share(recorded):
    overall = importances(two_stages(recorded))[0]
    assert overall.constant == ("seed",)
    assert "seed" not in overall.shares


def test_hyperparameters_that_only_some_trials_have_are_judged_too(recorded):
    draw = random.Random(2)
    made = recorded()
    for _ in range(120):
        stage = draw.choice(["finetune", "distill"])
        params = {"finetune.rate": draw.random(), "stage": stage}
        curves = {"finetune": [0.2]}
        if stage == "distill":
            params["distill.alpha"] = draw.random()
            curves["distill"] = [0.2 + params["distill.alpha"]]
        made.add(params, SPACE, curves, values=[list(curves.values())[-1][-1]])
    overall = importances(made.study)[0]
    assert overall.method == "PED-ANOVA"
    assert next(iter(overall.shares)) == "distill.alpha"


def test_each_objective_has_its_own(recorded):
    draw = random.Random(3)
    made = recorded(("f1", "seconds"), ("maximize", "minimize"))
    for _ in range(40):
        params = {"finetune.rate": draw.random(), "distill.alpha": draw.random()}
        values = [params["finetune.rate"], params["distill.alpha"]]
        made.add(params, SPACE, {"finetune": [0.5]}, values=values)
    first, second = importances(made.study)
    assert (first.metric, next(iter(first.shares))) == ("f1", "finetune.rate")
    assert (second.metric, next(iter(second.shares))) == ("seconds", "distill.alpha")


def test_copies_of_a_trial_are_no_further_evidence(recorded):
    made = recorded()
    for place in range(20):
        params = {"finetune.rate": place % 4 / 4}
        more = {"copy_of": place % 4} if place >= 4 else {}
        made.add(params, SPACE, {"finetune": [place % 4 / 4]}, **more)
    assert importances(made.study)[0].reason == "4 of the 10 different results that it takes"


@pytest.mark.parametrize(
    ("rate", "value", "reason"),
    [
        (lambda place: 0.5, lambda place: place / 20, "the same value in all trials"),
        (lambda place: place / 20, lambda place: 0.5, "all trials came to the same value"),
        (lambda place: place / 20, lambda place: float("inf"), "0 of the 10"),
    ],
)
def test_where_nothing_can_be_said_it_says_why(recorded, rate, value, reason):
    made = recorded()
    for place in range(20):
        made.add({"finetune.rate": rate(place)}, SPACE, {"finetune": [value(place)]})
    overall = importances(made.study)[0]
    assert reason in overall.reason
    assert not overall.shares


def test_without_scikit_learn_the_other_method_serves(recorded, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "sklearn" else found(name)
    )
    overall = importances(two_stages(recorded))[0]
    assert overall.method == "PED-ANOVA"
    assert next(iter(overall.shares)) == "distill.alpha"


def test_ranges_that_a_later_version_widened_are_one_hyperparameter(recorded):
    draw = random.Random(4)
    made = recorded()
    for place in range(40):
        high = 1.0 if place < 20 else 2.0
        rate = draw.uniform(0, high)
        space = {"finetune.rate": FloatDistribution(0, high), "b": SPACE["distill.alpha"]}
        made.add({"finetune.rate": rate, "b": draw.random()}, space, {"finetune": [rate]})
    overall = importances(made.study)[0]
    assert overall.method == "fANOVA"
    assert overall.shares["finetune.rate"] > 0.9
