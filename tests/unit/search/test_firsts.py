import pytest
from omegaconf import DictConfig, OmegaConf

from stagetree.core.errors import ConfigError
from stagetree.search.firsts import first_points
from stagetree.search.space import Space


@pytest.fixture
def config() -> DictConfig:
    return OmegaConf.create({"a": 2, "b": "x", "x": 0.5, "stages": {"one": {"rate": 1}}})


def test_the_configurations_own_values_come_first(grid: Space, config: DictConfig) -> None:
    assert first_points(grid, config, [], defaults_first=True) == ({"a": 2, "b": "x"},)
    assert first_points(grid, config, [], defaults_first=False) == ()


def test_a_default_outside_of_the_space_is_sampled(grid: Space, config: DictConfig) -> None:
    config.a = 7
    assert first_points(grid, config, [], defaults_first=True) == ({"b": "x"},)


def test_the_option_of_a_group_is_its_default(grid: Space) -> None:
    config = OmegaConf.create({"hydra": {"runtime": {"choices": {"b": "y"}}}, "b": {"some": 1}})
    assert first_points(grid, config, [], defaults_first=True) == ({"b": "y"},)


def test_points_are_named_by_key_and_repeats_left_out(grid: Space, config: DictConfig) -> None:
    enqueued = [{"a": 1}, {"a": 2, "b": "x"}, {"b": None}]
    found = first_points(grid, config, enqueued, defaults_first=True)
    assert found == ({"a": 2, "b": "x"}, {"a": 1}, {"b": None})


def test_a_value_of_an_interval_is_taken_as_its_number(line: Space, config: DictConfig) -> None:
    assert first_points(line, config, [{"x": 1}], defaults_first=True) == ({"x": 0.5}, {"x": 1.0})


def test_every_fault_of_the_points_is_told(grid: Space, config: DictConfig) -> None:
    with pytest.raises(ConfigError) as caught:
        first_points(grid, config, [{"aa": 1}, {"a": 3, "b": "z"}], defaults_first=False)
    assert [fault.path for fault in caught.value.faults] == [
        "hydra.sweeper.enqueue[0].aa",
        "hydra.sweeper.enqueue[1].a",
        "hydra.sweeper.enqueue[1].b",
    ]
    assert "Did you mean 'a'?" in caught.value.faults[0].message
    assert "expected one of choice(1, 2) but got 3" in caught.value.faults[1].message
