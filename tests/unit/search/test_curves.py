"""What trials reported, taken apart by stage."""

from optuna.distributions import FloatDistribution

from stagetree.search.curves import curves

SPACE = {"finetune.rate": FloatDistribution(0, 1), "distill.alpha": FloatDistribution(0, 1)}


def test_each_stage_has_its_curve_by_fraction(recorded):
    made = recorded()
    made.add({"finetune.rate": 0.5}, SPACE, {"finetune": [0.1, 0.2], "distill": [0.3]})
    first, second = curves(made.study)
    assert (first.trial, first.stage, first.index, first.state) == (0, "finetune", 0, "complete")
    assert first.points == [(0.5, 0.1), (1.0, 0.2)]
    assert (second.stage, second.points) == ("distill", [(1.0, 0.3)])


def test_a_pruned_or_failed_trial_ends_so_in_its_last_stage_only(recorded):
    made = recorded()
    for state in ("pruned", "failed"):
        made.add({"finetune.rate": 0.5}, SPACE, {"finetune": [0.1], "distill": [0.2]}, state=state)
    found = [(curve.trial, curve.stage, curve.state) for curve in curves(made.study)]
    assert found == [
        (0, "finetune", "complete"),
        (0, "distill", "pruned"),
        (1, "finetune", "complete"),
        (1, "distill", "failed"),
    ]


def test_trials_that_share_a_result_have_its_signature(recorded):
    made = recorded()
    for alpha in (0.2, 0.4):
        params = {"finetune.rate": 0.5, "distill.alpha": alpha}
        made.add(params, SPACE, {"finetune": [0.1], "distill": [0.2]})
    one, two, three, four = curves(made.study)
    assert one.signature == three.signature
    assert two.signature != four.signature


def test_a_copy_has_no_curves_of_its_own(recorded):
    made = recorded()
    made.add({"finetune.rate": 0.5}, SPACE, {"finetune": [0.1]}, copy_of=3)
    assert curves(made.study) == []


def test_a_trial_that_is_running_says_so(new_study):
    study = new_study()
    trial = study.ask()
    trial.report(0.5, 5000)
    (curve,) = curves(study)
    assert (curve.state, curve.points) == ("running", [(0.5, 0.5)])
