"""A configuration as a run's record keeps it, composed again."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stagetree.core.errors import ConfigError, Fault
from stagetree.pipeline import schema
from stagetree.pipeline.compose import compose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stagetree.pipeline.nodes import Pipeline


def compose_recorded(config: Mapping[str, object]) -> Pipeline:
    """Return the pipeline of a run whose record has this configuration.

    Its signatures are today's: of code, data or numerics that have changed since, they differ
    from those of the run.

    Args:
        config: The whole configuration, resolved, as plain values; where the run was mirrored to
            does not count.

    Raises:
        ConfigError: It is not a whole configuration, or not one of this version.
    """
    schema.register()
    kept = {**config, "tracker": {"kind": "none"}}
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema.RootConfig), OmegaConf.create(kept))
        return compose(cast("DictConfig", merged))
    except OmegaConfBaseException as error:
        raise ConfigError([Fault("", str(error).splitlines()[0])]) from error
