"""All charts of a study, checked by Plotly itself."""

import json
import random
from collections.abc import Mapping

import pytest
from optuna import Study
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from plotly import graph_objects as go

from stagetree.core.figure import Figure
from stagetree.search.figures import Drawn, figures

LONG = "a_schedule_with_a_name_that_no_axis_has_room_for"
SPACE = {
    "finetune.rate": FloatDistribution(1e-5, 1e-1, log=True),
    "finetune.batch": CategoricalDistribution([8, 16, 32]),
    "finetune.schedule": CategoricalDistribution([LONG, LONG + "_too", "<script>x</script>"]),
    "distill.layers": CategoricalDistribution([None, "[1,3]", True, 2]),
    "distill.alpha": FloatDistribution(0, 1),
    "distill.epochs": IntDistribution(1, 5),
    "stage": CategoricalDistribution(["finetune", "distill"]),
}


def drawn(study: Study) -> tuple[Drawn, Mapping[str, Figure]]:
    """Draw, and check what holds of every chart: JSON without NaN, which Plotly understands."""
    result = figures(study)
    for figure in result.figures:
        json.dumps(figure.plotly, allow_nan=False)
        go.Figure(figure.plotly)
        assert figure.title
        assert figure.caption.endswith(".")
    by_name = {figure.name: figure for figure in result.figures}
    assert len(by_name) == len(result.figures)
    return result, by_name


def point(draw: random.Random, distills: bool) -> dict[str, object]:
    params: dict[str, object] = {
        "finetune.rate": 10 ** draw.uniform(-5, -1),
        "finetune.batch": draw.choice([8, 16, 32]),
        "finetune.schedule": draw.choice(SPACE["finetune.schedule"].choices),
        "stage": "distill" if distills else "finetune",
    }
    if distills:
        params["distill.layers"] = draw.choice(SPACE["distill.layers"].choices)
        params["distill.alpha"] = draw.random()
        params["distill.epochs"] = draw.randint(1, 5)
    return params


def searched(recorded, count: int = 40, **options) -> Study:
    """A conditional space, every state, bounds broken by some."""
    draw = random.Random(5)
    made = recorded(**options)
    many = len(made.metrics)
    for place in range(count):
        distills = place % 3 > 0
        params = point(draw, distills)
        value = draw.random()
        curves = {"finetune": [value / 3, value / 2]}
        if distills:
            curves["distill"] = [value / 2, value]
        state = "pruned" if place % 5 == 4 else "failed" if place % 11 == 10 else "complete"
        last = curves["distill" if distills else "finetune"][-1]
        values = [last + extra * draw.random() for extra in range(many)]
        made.add(params, SPACE, curves, state=state, values=values, violation=draw.random() - 0.7)
    return made.study


def trace(figure: Figure, name: str) -> Mapping[str, object]:
    return next(one for one in figure.plotly["data"] if one.get("name") == name)


def test_a_search_with_everything_in_it_shows_every_chart(recorded):
    result, by_name = drawn(searched(recorded))
    assert result.left_out == []
    assert list(by_name) == [
        "history",
        "learning-curves",
        "importances",
        "importances-by-stage",
        "parallel",
        "contour-1",
        "contour-2",
        "contour-3",
        "slices",
        "front",
        "distribution",
        "timeline",
    ]


def test_history_marks_how_trials_ended_and_the_best_feasible_so_far(recorded):
    made = recorded()
    ends = [(0.5, None), (0.9, 0.5), (0.4, None), (0.7, -0.1)]
    for value, violation in ends:
        made.add({"finetune.rate": 0.01}, SPACE, {"finetune": [value]}, violation=violation)
    made.add({"finetune.rate": 0.01}, SPACE, {"finetune": [0.2]}, state="pruned")
    made.add({"finetune.rate": 0.01}, SPACE, {"finetune": [0.1]}, state="failed")
    _, by_name = drawn(made.study)
    history = by_name["history"]
    assert trace(history, "complete")["x"] == [0, 2, 3]
    assert trace(history, "infeasible")["x"] == [1]
    assert trace(history, "pruned")["x"] == [4]
    assert trace(history, "pruned")["y"] == [0.2]
    assert trace(history, "failed")["x"] == [5]
    assert trace(history, "best so far")["y"][:4] == [0.5, 0.5, 0.5, 0.7]


def test_trials_that_share_a_training_share_its_curve(recorded):
    made = recorded()
    for alpha in (0.1, 0.5, 0.9):
        params = {"finetune.rate": 0.01, "distill.alpha": alpha}
        made.add(params, SPACE, {"finetune": [0.2, 0.3], "distill": [alpha]})
    _, by_name = drawn(made.study)
    ends = [one for one in by_name["learning-curves"].plotly["data"] if one.get("text")]
    assert [len(one["x"]) for one in ends] == [1, 3]
    assert "shared with 2 more" in ends[0]["text"][0]


def test_large_studies_are_thinned_and_say_so(recorded):
    draw = random.Random(6)
    made = recorded()
    for _ in range(300):
        params = {"finetune.rate": 10 ** draw.uniform(-5, -1), "distill.alpha": draw.random()}
        curve = [draw.random() for _ in range(40)]
        made.add(params, SPACE, {"finetune": curve})
    _, by_name = drawn(made.study)
    lines = by_name["learning-curves"].plotly["data"]
    assert sum(len(one["x"]) for one in lines) < 13_000
    assert "Of 300 different trainings" in by_name["learning-curves"].caption
    assert "Of 300 trials 160 are drawn" in by_name["parallel"].caption
    surface = by_name["contour-1"].plotly["data"][0]["z"]
    cells = json.dumps(surface)
    assert len(cells) < 20_000


def test_several_objectives_have_a_history_slices_and_a_front(recorded):
    study = searched(recorded, metrics=("f1", "loss"), directions=("maximize", "minimize"))
    result, by_name = drawn(study)
    assert {"history", "history-2", "slices", "slices-2", "front", "parallel"} <= set(by_name)
    assert result.left_out == [
        "learning curves: trials with several objectives report no learning curves"
    ]
    assert "on the front" in {one.get("name") for one in by_name["front"].plotly["data"]}


def test_the_front_of_two_objectives_is_what_no_trial_beats(recorded):
    made = recorded(("f1", "loss"), ("maximize", "minimize"))
    for values in ([0.9, 5.0], [0.8, 2.0], [0.7, 3.0], [0.6, 1.0]):
        made.add({"finetune.rate": 0.01}, SPACE, {"finetune": [0.5]}, values=values)
    _, by_name = drawn(made.study)
    front = trace(by_name["front"], "on the front")
    assert sorted(zip(front["x"], front["y"], strict=True)) == [(1.0, 0.6), (2.0, 0.8), (5.0, 0.9)]
    assert trace(by_name["front"], "dominated")["y"] == [0.7]


def test_four_objectives_are_panels_against_the_first(recorded):
    metrics = ("f1", "loss", "seconds", "bytes")
    study = searched(recorded, metrics=metrics, directions=("maximize", *["minimize"] * 3))
    _, by_name = drawn(study)
    titles = {
        axis["title"]["text"]
        for name, axis in by_name["front"].plotly["layout"].items()
        if name.startswith("xaxis")
    }
    assert titles == {"loss", "seconds", "bytes"}


def test_nothing_finished_leaves_everything_out_with_reasons(new_study):
    study = new_study()
    study.ask()
    result, by_name = drawn(study)
    assert list(by_name) == ["timeline"]
    assert "history: no trial is complete yet" in result.left_out
    assert len(result.left_out) == 9


def test_an_empty_study_has_nothing_to_show(new_study):
    result, by_name = drawn(new_study())
    assert not by_name
    assert "timeline: no trial has been started" in result.left_out


def test_one_trial_shows_what_one_can(recorded):
    made = recorded()
    made.add({"finetune.rate": 0.01}, SPACE, {"finetune": [0.1, 0.2]})
    result, by_name = drawn(made.study)
    assert list(by_name) == ["history", "learning-curves", "timeline"]
    assert "parallel coordinates: it takes two complete trials" in result.left_out


@pytest.mark.parametrize("state", ["failed", "pruned"])
def test_a_study_in_which_no_trial_came_through_can_be_drawn(recorded, state):
    made = recorded()
    for rate in (0.01, 0.02, 0.03):
        made.add({"finetune.rate": rate}, SPACE, {"finetune": [0.1]}, state=state)
    _, by_name = drawn(made.study)
    assert {"learning-curves", "timeline"} <= set(by_name)


def test_infinite_values_are_left_out_of_the_charts(recorded):
    made = recorded()
    for rate, value in ((0.01, 0.5), (0.02, float("inf")), (0.03, 0.6), (0.04, 0.4)):
        made.add({"finetune.rate": rate}, SPACE, {"finetune": [0.2]}, values=[value])
    _, by_name = drawn(made.study)
    assert trace(by_name["history"], "complete")["x"] == [0, 2, 3]


def test_trials_that_all_break_a_bound_have_no_best(recorded):
    made = recorded()
    for rate in (0.01, 0.02, 0.03):
        made.add({"finetune.rate": rate}, SPACE, {"finetune": [rate]}, violation=0.5)
    _, by_name = drawn(made.study)
    assert set(trace(by_name["history"], "best so far")["y"]) == {None}
    assert trace(by_name["history"], "infeasible")["x"] == [0, 1, 2]


def test_markup_in_names_and_values_is_shown_not_obeyed(recorded):
    result, _ = drawn(searched(recorded))
    text = json.dumps([figure.plotly for figure in result.figures])
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_long_choices_are_cut_but_stay_apart(recorded):
    made = recorded()
    for place, schedule in enumerate([LONG, LONG + "_too", LONG, LONG + "_too"] * 3):
        params = {"finetune.schedule": schedule, "finetune.rate": 0.01}
        made.add(params, SPACE, {"finetune": [place / 12]})
    _, by_name = drawn(made.study)
    shown = set(by_name["slices"].plotly["data"][0]["x"])
    assert len(shown) == 2
    assert all(len(text) <= 28 for text in shown)


def test_trials_side_by_side_have_rows_of_their_own_in_the_timeline(recorded):
    made = recorded()
    for _ in range(4):
        made.add({"finetune.rate": 0.01}, SPACE, {"finetune": [0.1]})
    _, by_name = drawn(made.study)
    assert by_name["timeline"].plotly["data"][0]["y"] == [1, 2, 1, 2]


def test_drawing_twice_gives_the_same(recorded):
    study = searched(recorded)
    assert figures(study) == figures(study)
