import pytest
from optuna import create_study
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from stagetree.search.condition import Condition
from stagetree.search.parameter import Choice, Parameter, readable
from stagetree.search.space import Space, Zip, suggest


def listed(name: str, *values: object, condition: Condition | None = None) -> Parameter:
    choices = tuple(Choice(value, str(value)) for value in values)
    return Parameter(name, name, CategoricalDistribution(values), choices, condition)  # type: ignore[arg-type]


@pytest.fixture
def branching() -> Space:
    """The child comes before its parent, as a command line may have it."""
    deep = Condition(("stage",), (("b",), ("c",)))
    deeper = Condition(("depth",), ((2,),))
    return Space(
        (
            listed("width", 8, 16, condition=deeper),
            listed("depth", 1, 2, condition=deep),
            listed("stage", "a", "b", "c"),
        )
    )


def test_points_have_what_exists_there_each_once(branching: Space) -> None:
    assert branching.size == len(branching.points) == 7
    assert {"stage": "a"} in branching.points
    assert {"width": 8, "depth": 2, "stage": "b"} in branching.points
    assert {"depth": 1, "stage": "c"} in branching.points
    assert all(branching.whole(point) for point in branching.points)
    assert not branching.whole({"stage": "b"})
    assert branching.overrides({"stage": "b", "depth": 1}) == ["depth=1", "stage=b"]


def test_a_trial_is_given_what_exists_and_nothing_else(branching: Space) -> None:
    study = create_study()
    for _ in range(30):
        trial = study.ask()
        params = suggest(trial, branching)
        assert branching.whole(params)
        assert trial.params == params


def test_zips_are_rows_of_the_product() -> None:
    pairs = Zip(("x", "y"), ((1, "a"), (1, "b"), (2, "a")))
    space = Space((listed("x", 1, 2), listed("z", 0, 1), listed("y", "a", "b")), (pairs,))
    assert space.size == 6
    assert [tuple(point.values()) for point in space.points] == [
        (1, 0, "a"), (1, 1, "a"), (1, 0, "b"), (1, 1, "b"), (2, 0, "a"), (2, 1, "a"),
    ]  # fmt: skip
    assert pairs.matching({"y": "a"}) == [(1, "a"), (2, "a")]


def test_a_space_is_described_with_its_conditions_and_zips(branching: Space) -> None:
    texts = {key: readable(text) for key, text in branching.describe().items()}
    assert texts == {
        "width": "choice(8, 16) when depth=2",
        "depth": "choice(1, 2) when stage=b,c",
        "stage": "choice(a, b, c)",
    }
    zipped = Space((listed("x", 1, 2), listed("y", 3, 4)), (Zip(("x", "y"), ((1, 3), (2, 4))),))
    assert readable(zipped.describe()["y"]) == "zip(x, y: (1, 3), (2, 4))"


def test_a_parameter_admits_what_a_configuration_means() -> None:
    whole = Parameter("n", "n", IntDistribution(1, 8))
    assert whole.admit(2.0) == 2
    assert isinstance(Parameter("x", "x", FloatDistribution(0, 1)).admit(1), float)
    for value in (9, 2.5, True, "2"):
        with pytest.raises(ValueError, match="expected one of int interval"):
            whole.admit(value)
    assert listed("layers", "[1,2]").admit([1, 2]) == "[1,2]"
    with pytest.raises(ValueError, match="expected one of choice"):
        listed("x", 1, 2).admit(3)
