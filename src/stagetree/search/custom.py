"""The part of a search space that is a Python function: what overrides cannot say."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override
from hydra.utils import get_method
from optuna import Trial
from optuna.exceptions import TrialPruned

from stagetree.core.errors import ConfigError, Fault
from stagetree.search.keys import has_key
from stagetree.search.parameter import DROPPED_PREFIX

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from omegaconf import DictConfig

OPTION = "hydra.sweeper.custom_search_space"


@dataclass(frozen=True)
class CustomSpace:
    """A function that gives each trial further parameters, as in hydra-optuna-sweeper.

    It is called as ``function(config, trial)`` after the other parameters have their values and
    calls ``trial.suggest_float`` and the like; the names it uses are keys of the configuration
    (``stages.`` may be left out) and become overrides of the trial. What it suggests may depend on
    ``trial.params``, but on nothing that changes from call to call.

    Attributes:
        path: Its dotted path.
        config: The composed configuration without the swept keys.
    """

    path: str
    config: DictConfig = field(compare=False, repr=False)

    def suggest(self, trial: Trial, known: Collection[str]) -> dict[str, Any]:
        """Let the function suggest and return what it added to the ``known`` parameters.

        Raises:
            ConfigError: The function raised.
        """
        try:
            get_method(self.path)(self.config, trial)
        except TrialPruned as error:
            message = f"expected {self.path} to suggest values but it pruned the trial: {error}"
            raise ConfigError([Fault(OPTION, message)]) from error
        except Exception as error:
            message = f"{self.path} failed: {type(error).__name__}: {error}"
            raise ConfigError([Fault(OPTION, message)]) from error
        return {name: value for name, value in trial.params.items() if name not in known}

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Return the Hydra overrides of what the function suggested; text is taken as written."""
        return [f"{self._key(name)}={_text(value)}" for name, value in params.items()]

    def describe(self) -> str:
        """Return text that changes with the function."""
        try:
            source = inspect.getsource(get_method(self.path))
        except (OSError, TypeError):
            return self.path
        return f"{self.path} ({hashlib.sha256(source.encode()).hexdigest()[:12]})"

    def _key(self, name: str) -> str:
        full = f"{DROPPED_PREFIX}{name}"
        return full if not has_key(self.config, name) and has_key(self.config, full) else name


def read(path: str | None, config: DictConfig) -> CustomSpace | None:
    """Return the custom space of an option, if there is one.

    Raises:
        ConfigError: There is no such function.
    """
    if path is None:
        return None
    try:
        get_method(path)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        message = (
            f"expected the dotted path of a function(config, trial) but got {path!r}: {reason}"
        )
        raise ConfigError([Fault(OPTION, message)]) from error
    return CustomSpace(path, config)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else Override._get_value_element_as_str(value)
