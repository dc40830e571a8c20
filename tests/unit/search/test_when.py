import pytest
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution

from stagetree.core.errors import ConfigError
from stagetree.search.condition import Condition
from stagetree.search.parameter import Choice, Parameter
from stagetree.search.when import stated

KIND = Parameter(
    "kind", "stages.kind", CategoricalDistribution(["a", "b"]), (Choice("a", "a"), Choice("b", "b"))
)
RATE = Parameter("rate", "rate", FloatDistribution(0, 1))
DEPTH = Parameter("depth", "depth", FloatDistribution(0, 1))


@pytest.fixture
def config() -> DictConfig:
    return OmegaConf.create({"mode": "slow"})


def test_a_condition_names_its_parent_by_key_or_name(config: DictConfig) -> None:
    for name in ("kind", "stages.kind"):
        _, rate = stated([KIND, RATE], {"rate": {name: "b"}}, config)
        assert rate.condition == Condition(("kind",), (("b",),))


def test_a_key_that_does_not_vary_decides_at_once(config: DictConfig) -> None:
    assert stated([KIND, RATE], {"rate": {"mode": ["slow"]}}, config) == [KIND, RATE]
    assert stated([KIND, RATE], {"rate": {"mode": "fast"}}, config) == [KIND]


def test_every_fault_is_told(config: DictConfig) -> None:
    whens = {
        "rate": {"knid": "a"},
        "depth": {"rate": 1},
        "stages.kind": "b",
        "gone": {"kind": "a"},
    }
    with pytest.raises(ConfigError) as caught:
        stated([KIND, RATE, DEPTH], whens, config)
    found = {fault.path: fault.message for fault in caught.value.faults}
    assert "Did you mean 'kind'" in found["hydra.sweeper.params.rate.when.knid"]
    assert "is an interval" in found["hydra.sweeper.params.depth.when.rate"]
    assert "expected values by key" in found["hydra.sweeper.params.stages.kind.when"]
    assert "even of one value" in found["hydra.sweeper.params.gone.when"]


def test_a_circle_is_refused(config: DictConfig) -> None:
    other = Parameter("o", "o", CategoricalDistribution([1]), (Choice(1, "1"),))
    with pytest.raises(ConfigError, match="without a circle"):
        stated([KIND, other], {"stages.kind": {"o": 1}, "o": {"kind": "a"}}, config)
