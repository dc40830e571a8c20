from collections.abc import Iterator

import pytest
from hydra import compose, initialize_config_module
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf

from stagetree.search.attempt import App
from stagetree.search.composer import Composer


@pytest.fixture
def app() -> Iterator[App]:
    with initialize_config_module("hydra.test_utils.configs", version_base="1.3"):
        compose("compose")
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration(
            "compose", ["group1=file1", "hydra.verbose=true"], RunMode.MULTIRUN
        )
        yield App(lambda cfg: 0.0, HydraContext(loader, Callbacks()), config)


@pytest.mark.parametrize(
    "overrides",
    [
        ["foo=1", "bar=2"],
        ["bar=[1,{a:2}]", "group1=file2", "foo='x y'"],
        ["group1=file1", "+new=3"],
        ["foo={a:1}"],
        ["~bar"],
    ],
)
def test_a_trial_is_composed_as_hydra_composes_it(app: App, overrides: list[str]) -> None:
    fixed = ["+extra=1"]
    composer = Composer(app, fixed)
    for _ in range(2):
        found = composer.compose(overrides)
        assert OmegaConf.to_container(found) == OmegaConf.to_container(
            app.compose([*fixed, *overrides])
        )


def test_one_trial_leaves_nothing_to_the_next(app: App) -> None:
    composer = Composer(app, [])
    composer.compose(["foo=1", "bar=7"])
    assert composer.compose(["foo=2"]) == app.compose(["foo=2"])


def test_an_unknown_key_is_refused_as_hydra_refuses_it(app: App) -> None:
    with pytest.raises(HydraException, match="Could not override 'fo'"):
        Composer(app, []).compose(["fo=1"])
