import dataclasses

import pytest
from hydra import compose, initialize_config_module
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from stagetree.core.errors import ConfigError
from stagetree.search.overrides import Line, parameters, split
from stagetree.search.space import Space


@dataclasses.dataclass
class Typed:
    count: int = 1
    rate: float = 0.1


@pytest.fixture(scope="module")
def loader() -> ConfigLoader:
    with initialize_config_module("hydra.test_utils.configs", version_base="1.3"):
        compose("config")
        return GlobalHydra.instance().config_loader()


def spaced(loader: ConfigLoader, *words: str, base: DictConfig | None = None) -> Space:
    line = split(words, {}, loader)
    assert not line.fixed
    return Space(parameters(line.sweeps, base if base is not None else OmegaConf.create()))


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("x=1,2", [1, 2]),
        ("x=1,1,2", [1, 2]),
        ("x=1.5,null,true,abc", [1.5, None, True, "abc"]),
        ("x='a,b',\"it's\"", ["a,b", "it's"]),
        ("x=[a,b],[]", ["[a,b]", "[]"]),
        ("x={a:1},{a:2}", ["{a:1}", "{a:2}"]),
        ("x=1,true", ["1", "True"]),
        ("x=1,'1'", [1, "1"]),
        ("x=choice(a)", ["a"]),
        ("x=sort(3,1,2)", [1, 2, 3]),
        ("x=range(1,4)", [1, 2, 3]),
        ("x=range(6,0,-2)", [6, 4, 2]),
        ("x=range(0,1,0.25)", [0.0, 0.25, 0.5, 0.75]),
    ],
)
def test_a_discrete_sweep_lists_its_values_and_each_comes_back_through_hydra(
    loader: ConfigLoader, word: str, values: list[object]
) -> None:
    found = spaced(loader, word)
    assert [point["x"] for point in found.points] == values
    parser = OverridesParser.create()
    swept = list(parser.parse_override(word).sweep_string_iterator())
    for point in found.points:
        (text,) = found.overrides(point)
        assert text.removeprefix("x=") in swept
        assert not parser.parse_override(text).is_sweep_override()


@pytest.mark.parametrize(
    ("word", "distribution"),
    [
        ("x=interval(0,1)", FloatDistribution(0, 1)),
        ("x=tag(log,interval(1e-5,1e-3))", FloatDistribution(1e-5, 1e-3, log=True)),
        ("x=int(interval(1,8))", IntDistribution(1, 8)),
        ("count=interval(1,8)", IntDistribution(1, 8)),
        ("count=tag(log,interval(1,8))", IntDistribution(1, 8, log=True)),
        ("rate=interval(1,8)", FloatDistribution(1, 8)),
        ("x=range(0,10,5)", IntDistribution(0, 5, step=5)),
        ("x=range(0.1,0.35,0.1)", FloatDistribution(0.1, 0.3, step=0.1)),
        ("x=1,2", CategoricalDistribution([1, 2])),
    ],
)
def test_a_sweep_becomes_the_distribution_its_key_asks_for(
    loader: ConfigLoader, word: str, distribution: object
) -> None:
    found = spaced(loader, word, base=OmegaConf.structured(Typed))
    assert list(found.distributions.values()) == [distribution]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("x=interval(2,1)", "expected interval(low, high)"),
        ("x=tag(log,interval(0,1))", "above 0"),
        ("x=tag(lgo,interval(1,2))", "Did you mean 'log'"),
        ("x=tag(log,choice(1,2))", "expected tags on an interval"),
        ("x=range(2,1)", "expected at least one value"),
        ("count=interval(0.5,2)", "expected whole numbers"),
    ],
)
def test_a_sweep_without_values_is_explained(loader: ConfigLoader, word: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spaced(loader, word, base=OmegaConf.structured(Typed))
    assert message in str(caught.value)


def test_all_faults_are_told(loader: ConfigLoader) -> None:
    with pytest.raises(ConfigError) as caught:
        spaced(loader, "x=interval(2,1)", "y=range(2,1)")
    assert [fault.path for fault in caught.value.faults] == ["x", "y"]
    with pytest.raises(ConfigError) as caught:
        split(["x=[", "y=)"], {}, loader)
    assert len(caught.value.faults) == 2


def test_the_command_line_wins_over_the_configured_space(loader: ConfigLoader) -> None:
    params = {
        "a": "interval(0,1)",
        "b": [1, "x y", "true", None, [1, "z"]],
        "c": 3,
        "stage": ["finetune", "[a,b]"],
    }
    line = split(["+a=5", "d=1,2", "e=f"], params, loader)
    assert line == Line(fixed=("+a=5", "c=3", "e=f"), sweeps=line.sweeps)
    found = Space(parameters(line.sweeps, OmegaConf.create()))
    assert list(found.distributions) == ["b", "stage", "d"]
    assert [choice.text for choice in found.parameters[0].choices] == [
        "1", "'x y'", "'true'", "null", "[1,z]",
    ]  # fmt: skip
    assert [choice.value for choice in found.parameters[1].choices] == ["finetune", "[a,b]"]


def test_a_glob_stands_for_the_options_of_its_group(loader: ConfigLoader) -> None:
    assert [point["db"] for point in spaced(loader, "db=glob(*,exclude=val*)").points] == [
        "mysql",
        "postgresql",
    ]


def test_shuffled_points_come_in_the_same_order_every_time(loader: ConfigLoader) -> None:
    first, second = (spaced(loader, "x=shuffle(range(0,20))") for _ in range(2))
    assert list(first.points) == list(second.points)
    assert first.distributions == spaced(loader, "x=range(0,20)").distributions
    assert list(first.points) != list(spaced(loader, "x=range(0,20)").points)


def test_names_drop_prefixes_and_keys_keep_them(loader: ConfigLoader) -> None:
    found = spaced(loader, "stages.finetune.epochs=1,2", "+new=3,4", "db@pkg=mysql,sqlite")
    assert list(found.distributions) == ["finetune.epochs", "new", "db@pkg"]
    assert found.overrides({"finetune.epochs": 2, "new": 3, "db@pkg": "sqlite"}) == [
        "stages.finetune.epochs=2", "+new=3", "db@pkg=sqlite",
    ]  # fmt: skip
