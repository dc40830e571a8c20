import pytest

from stagetree.core.errors import ConfigError, StagetreeError
from stagetree.core.trials import TrialRow
from stagetree.search import candidates


def row(number: int, value: float, state: str = "complete", **params: object) -> TrialRow:
    words = " ".join(f"stages.{name}={seen}" for name, seen in params.items())
    command = f"python run.py stage=distill seed=7 debug=short {words}"
    return TrialRow(number, state, params, (value,), command=command)


ROWS = [
    row(0, 0.5, **{"distill.alpha": 0.5}),
    row(1, 0.9, **{"distill.alpha": 0.1}),
    row(2, 0.7, **{"distill.alpha": 0.3}),
    row(3, 0.9, **{"distill.alpha": 0.1}),
    row(4, 0.95, "pruned", **{"distill.alpha": 0.2}),
]


def test_the_best_trials_come_first_and_equal_points_once() -> None:
    assert [row.number for row in candidates.best(ROWS, "maximize")] == [1, 2, 0]
    assert [row.number for row in candidates.best(ROWS, "minimize")] == [0, 2, 1]


def test_a_trial_is_run_again_without_its_seed() -> None:
    found = candidates.candidate(ROWS[1])
    assert found.name == "trial 1"
    assert found.words == ("stage=distill", "debug=short", "stages.distill.alpha=0.1")
    assert found.seeding == ("seed=7",)


def test_the_default_has_nothing_of_what_is_searched() -> None:
    found = candidates.default(ROWS[1])
    assert found.words == ("stage=distill", "debug=short")
    assert found.trial is None
    swept = TrialRow(
        0, "complete", {"seed": 7, "stage": "distill", "x": 1}, (0.5,),
        command="python run.py debug=short seed=7 stage=distill +x=1",
    )  # fmt: skip
    assert candidates.default(swept) == candidates.Candidate("default", ("debug=short",))


def test_seeds_of_the_study_are_left_out() -> None:
    assert candidates.fresh_seeds(5, [13]) == [1, 2, 3, 4, 5]
    assert candidates.fresh_seeds(4, [1, 2, 3]) == [4, 5, 6, 7]


def test_what_cannot_be_confirmed_is_refused() -> None:
    with pytest.raises(StagetreeError, match="no complete trial"):
        candidates.best(ROWS[4:], "maximize")
    with pytest.raises(ConfigError) as caught:
        candidates.named(ROWS, [4, 9], "--trial")
    assert "trial 4 is pruned" in str(caught.value)
    assert "from 0 to 4 but got 9" in str(caught.value)
    with pytest.raises(ConfigError, match=r"this project's run\.py"):
        candidates.candidate(TrialRow(0, "complete", {}, (1.0,), command="python app.py x=1"))
