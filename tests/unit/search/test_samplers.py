from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from optuna import Study

from stagetree.core.errors import ConfigError
from stagetree.search.samplers import GRID, build_pruner, build_sampler, choose
from stagetree.search.space import Space, suggest

CONF = Path(__file__).parents[3] / "conf"


def test_without_a_choice_what_can_be_listed_is_a_grid_and_the_rest_is_tpe(
    grid: Space, line: Space
) -> None:
    assert choose({"_target_": None}, grid)["_target_"] == GRID
    assert choose(None, line)["_target_"] == "optuna.samplers.TPESampler"


def test_a_grid_over_an_interval_is_refused(line: Space) -> None:
    for target in (GRID, "optuna.samplers.GridSampler"):
        with pytest.raises(ConfigError, match="x: expected a list, choice or range"):
            choose({"_target_": target}, line)


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "optuna.samplers.TPESampler", "n_startup": 3},
        {"_target_": "optuna.samplers.Missing"},
        {"_target_": "optuna.pruners.NopPruner"},
        {"_target_": "missing.Sampler"},
    ],
)
def test_what_is_no_sampler_is_refused_before_it_is_needed(
    node: dict[str, object], line: Space
) -> None:
    with pytest.raises(ConfigError, match=r"hydra\.sweeper\.sampler"):
        choose(node, line)


@pytest.mark.parametrize("file", sorted(CONF.glob("sampler/*.yaml")), ids=lambda file: file.stem)
def test_every_sampler_file_draws_the_same_again(
    file: Path, grid: Space, line: Space, new_study: Callable[..., Study]
) -> None:
    space = grid if file.stem == "grid" else line
    node = choose(OmegaConf.to_container(OmegaConf.load(file)), space)  # type: ignore[arg-type]
    drawn = []
    for _ in range(2):
        study = new_study()
        for number in range(5):
            study.sampler = build_sampler(node, space, seed=1, number=number)
            trial = study.ask()
            suggest(trial, space)
            study.tell(trial, float(number))
        drawn.append([trial.params for trial in study.trials])
    assert drawn[0] == drawn[1]
    assert len({str(params) for params in drawn[0]}) == 5


@pytest.mark.parametrize("file", sorted(CONF.glob("pruner/*.yaml")), ids=lambda file: file.stem)
def test_every_pruner_file_decides(file: Path, new_study: Callable[..., Study]) -> None:
    node = OmegaConf.to_container(OmegaConf.load(file))
    study = new_study(pruner=build_pruner(node))  # type: ignore[arg-type]
    trial = study.ask()
    trial.report(0.5, 1)
    assert not trial.should_prune()


def test_what_is_no_pruner_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"hydra\.sweeper\.pruner: expected an Optuna pruner"):
        build_pruner({"_target_": "optuna.samplers.RandomSampler"})
