from collections.abc import Callable

import optuna
import pytest
from optuna import Study
from optuna.distributions import CategoricalDistribution, FloatDistribution

from stagetree.search.parameter import Choice, Parameter
from stagetree.search.space import Space

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def grid() -> Space:
    """Two keys, six points."""
    axes = {"a": [1, 2], "b": ["x", "y", None]}
    return Space(
        tuple(
            Parameter(
                name,
                name,
                CategoricalDistribution(values),
                tuple(Choice(value, "null" if value is None else str(value)) for value in values),
            )
            for name, values in axes.items()
        )
    )


@pytest.fixture
def line() -> Space:
    """One continuous key."""
    return Space((Parameter("x", "x", FloatDistribution(0, 1)),))


@pytest.fixture
def new_study() -> Callable[..., Study]:
    """Makes studies in memory."""
    return optuna.create_study
