import pytest
from omegaconf import OmegaConf

from stagetree.core.errors import ConfigError
from stagetree.pipeline.compose import compose
from stagetree.pipeline.recorded import compose_recorded


@pytest.mark.parametrize(
    "words",
    [
        ["stage=distill", "model=tiny", "tracker=mlflow"],
        ["task=classification", "data=sentiment", "model=tiny", "seeds=[1,2]"],
        ["task=multitask", "stage=finetune", "model=tiny"],
    ],
)
def test_a_recorded_configuration_composes_to_the_same_signatures(in_project, words):
    cfg = in_project(words)
    plain = OmegaConf.to_container(cfg, resolve=True)
    again = compose_recorded(as_recorded(plain))
    assert [node.signature for node in again.nodes] == [
        node.signature for node in compose(cfg).nodes
    ]


def test_part_of_a_configuration_is_refused():
    with pytest.raises(ConfigError):
        compose_recorded({"stages": {}, "nosuch": 1})


def as_recorded(config):
    """Return a configuration as the record has it: enumerations by name."""
    from stagetree.tracking.record import _plain

    return _plain(config)
