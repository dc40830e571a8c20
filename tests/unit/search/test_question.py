import enum
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import FloatDistribution

from stagetree.core.errors import ConfigError
from stagetree.search import question
from stagetree.search.parameter import Parameter
from stagetree.search.space import Space

SPACE = Space((Parameter("finetune.rate", "stages.finetune.rate", FloatDistribution(0, 1)),))


class Color(enum.Enum):
    RED = 1


def config(**changes: Any) -> DictConfig:
    plain = {
        "stages": {"finetune": {"rate": 0.5, "steps": [1, 2], "extra": {}}},
        "data": "pii",
        "color": Color.RED,
        "none": None,
        "paths": {"root": "runs"},
        "tpe": {"n": 3},
        "hydra": {
            "sweeper": {"sampler": "${tpe}", "pruner": None, "study_name": "s"},
            "sweep": {"dir": "runs/${hydra.sweeper.study_name}"},
        },
    }
    return OmegaConf.merge(OmegaConf.create(plain), changes)  # type: ignore[return-value]


def asked(**changes: Any) -> question.Fingerprint:
    return question.fingerprint(config(**changes), SPACE, ("minimize",), ("loss",), {}, ["paths"])


def test_all_configuration_that_may_change_a_value_is_in_the_question() -> None:
    assert asked().config == {
        "stages.finetune.steps": "[1, 2]",
        "stages.finetune.extra": "{}",
        "data": "pii",
        "color": '"RED"',
        "none": "null",
    }
    assert list(asked().space) == ["stages.finetune.rate"]


def test_a_questions_name_changes_with_it_and_only_with_it() -> None:
    name = question.default_name(asked(), "app.py")
    assert name == question.default_name(asked(paths={"root": "x"}, tpe={"n": 4}), "app.py")
    assert name != question.default_name(asked(data="conll"), "app.py")
    assert name != question.default_name(asked(), "other.py")


def test_directions_are_one_an_objective() -> None:
    assert question.directions("minimize") == ("minimize",)
    both = OmegaConf.create(["maximize", "minimize"])
    assert question.directions(both) == ("maximize", "minimize")
    with pytest.raises(ConfigError, match="maximize or minimize but got 'up'"):
        question.directions("up")


def test_a_study_lies_where_a_later_run_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert question.directory(config(), "s") == tmp_path / "runs" / "s"
    timed = config(hydra={"sweep": {"dir": "multirun/${now:%H-%M}"}})
    assert question.directory(timed, "s") == tmp_path / question.FALLBACK / "s"
