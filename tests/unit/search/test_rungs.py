from stagetree.search.rungs import Rung, rungs
from stagetree.search.stage_shares import Span


def test_a_rung_lies_in_the_stage_that_its_share_falls_into() -> None:
    stages = [Span(0, "a", 0.0, 0.2, True), Span(1, "b", 0.2, 1.0, True)]
    assert rungs(stages, [0.1, 0.6], 0.3) == [Rung(0, 0.5), Rung(1, 0.5)]


def test_what_a_stage_has_barely_begun_is_judged_by_the_stage_before() -> None:
    stages = [Span(0, "a", 0.0, 0.2, True), Span(1, "b", 0.2, 1.0, True)]
    assert rungs(stages, [0.2, 0.3], 0.3) == [Rung(0, 1.0)]
    assert rungs(stages, [0.02], 0.3) == [Rung(0, 0.3)]


def test_stages_without_the_objective_have_no_rung() -> None:
    stages = [
        Span(0, "a", 0.0, 0.3, False),
        Span(1, "b", 0.3, 0.5, True),
        Span(2, "c", 0.5, 0.9, False),
        Span(3, "d", 0.9, 1.0, True),
    ]
    assert rungs(stages, [0.1, 0.2], 0.3) == []
    assert rungs(stages, [0.1, 0.45, 0.8], 0.3) == [Rung(1, 0.75), Rung(1, 1.0)]


def test_a_pipeline_that_nobody_knows_has_no_rungs() -> None:
    assert rungs([], [0.1, 0.5], 0.3) == []
