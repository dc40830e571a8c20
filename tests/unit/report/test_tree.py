import dataclasses

import pytest

from stagetree.core.curves import StageCurve
from stagetree.core.trials import StageRow, TrialRow
from stagetree.report.tree import FAILURE, Node, grow
from stagetree.report.tree_layout import lay_out


def stage(name: str, signature: str, *, reused: bool = False) -> StageRow:
    return StageRow(name, name.split("@")[0], signature, 10.0, reused, f"/s/{signature}/model")


def curve(trial: int, name: str, signature: str, state: str = "pruned") -> StageCurve:
    return StageCurve(trial, name, 1, signature, state, [(0.5, 0.4)])


def shape(node: Node) -> dict:
    """Return a tree as nested names with the ends of trials."""
    return {f"{child.name} {child.mark}".strip(): shape(child) for child in node.children}


@pytest.fixture
def shared() -> list[TrialRow]:
    """Two trials on one fine-tuning, a pruned one on it, and a failed one on another."""
    return [
        TrialRow(
            0, "complete", {"distill.t": 1}, (0.7,), (stage("finetune", "a"), stage("distill", "b"))
        ),
        TrialRow(
            1,
            "complete",
            {"distill.t": 2},
            (0.8,),
            (stage("finetune", "a", reused=True), stage("distill", "c")),
        ),
        TrialRow(
            2,
            "pruned",
            {"distill.t": 3},
            (0.4,),
            (stage("finetune", "a", reused=True),),
            pruned_in="distill",
        ),
        TrialRow(3, "failed", {}, stages=(stage("finetune", "d"),), error="boom"),
        TrialRow(4, "waiting", {}),
    ]


def test_each_result_is_one_node_below_what_it_builds_on(shared: list[TrialRow]) -> None:
    root = grow(shared, {2: [curve(2, "distill", "e")]}, 1.0)
    assert [child.trials for child in root.children] == [[0, 1, 2], [3]]
    finetune, other = root.children
    assert [(child.trials, child.mark) for child in finetune.children] == [
        ([0], "complete"), ([1], "complete"), ([2], "pruned"),
    ]  # fmt: skip
    assert finetune.best == 0.8
    assert finetune.computed
    assert finetune.children[2].points == [(0.5, 0.4)]
    assert finetune.children[1].params == {"t": 2}
    assert shape(other) == {f"{FAILURE} failed": {}}


def test_less_is_better_when_minimized(shared: list[TrialRow]) -> None:
    assert grow(shared[:2], {}, -1.0).best == 0.7


def test_each_seed_is_a_path_and_the_last_one_ends_the_trial() -> None:
    stages = tuple(stage(f"{name}@{seed}", f"{name}{seed}") for seed in (1, 2) for name in "fd")
    root = grow([TrialRow(0, "failed", {}, stages=stages)], {}, 1.0)
    assert [child.seed for child in root.children] == ["1", "2"]
    assert [shape(child) for child in root.children] == [
        {"d complete": {}},
        {"d": {f"{FAILURE} failed": {}}},
    ]


def test_a_running_trial_and_one_that_took_over_anothers_outcome(shared: list[TrialRow]) -> None:
    running = TrialRow(5, "running", {})
    copy = dataclasses.replace(shared[2], number=6, copy_of=2)
    curves = {2: [curve(2, "distill", "e")], 5: [curve(5, "finetune", "z", "running")]}
    root = grow([shared[2], running, copy], curves, 1.0)
    assert root.children[0].children[0].trials == [2, 6]
    assert root.children[1].ends == {"running": [5]}


def test_a_limited_drawing_keeps_the_best_and_says_what_is_folded(shared: list[TrialRow]) -> None:
    root = grow(shared, {2: [curve(2, "distill", "e")]}, 1.0)
    drawing = lay_out(root, 1.0, limit=1)
    ends = [place for place in drawing.nodes if place.leaf and not place.fold]
    assert [place.node.trials for place in ends] == [[1]]
    assert sorted(place.label for place in drawing.nodes if place.fold) == [
        "+1 more: 1 failed",
        "+2 more: 1 complete, 1 pruned",
    ]
    assert drawing.hidden == 3
    assert lay_out(root, 1.0).hidden == 0


def test_no_two_ends_are_drawn_in_one_place(shared: list[TrialRow]) -> None:
    drawing = lay_out(grow(shared, {}, 1.0), 1.0)
    places = [(place.x, place.y) for place in drawing.nodes]
    assert len(set(places)) == len(places)
    assert all(place.y < drawing.height and place.x < drawing.width for place in drawing.nodes)
