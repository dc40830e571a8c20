"""Finding every fault of a search before its first trial starts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna import create_study
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler

from stagetree.core.errors import ConfigError, Fault, unknown
from stagetree.search.keys import nearest_key
from stagetree.search.space import suggest

if TYPE_CHECKING:
    from stagetree.search.attempt import App
    from stagetree.search.parameter import Parameter
    from stagetree.search.space import Space

Check = Callable[[DictConfig], object]


def validate(app: App, fixed: Sequence[str], space: Space, check: Check | None = None) -> None:
    """Try every value of the space once, the other parameters at their first value.

    A parameter that exists in some points only is tried in the first of them.

    Options of config groups are composed; plain values are set in the composed configuration,
    so a long list costs next to nothing. Nothing is imported or run that a trial would need.

    Args:
        app: The app.
        fixed: Overrides that every trial shares.
        space: The search space.
        check: Raises :class:`ConfigError` for a configuration that composes but cannot be run.

    Raises:
        ConfigError: With every fault found.
    """
    validation = _Validation(app, fixed, space, check)
    validation.run()
    if validation.faults:
        raise ConfigError(validation.faults)


class _Validation:
    def __init__(self, app: App, fixed: Sequence[str], space: Space, check: Check | None) -> None:
        self._app = app
        self._fixed = list(fixed)
        self._space = space
        self._check = check
        self._first = _first(space)
        self._configs: dict[tuple[str, ...], DictConfig | None] = {}
        self._seen: list[DictConfig] = []
        self.faults: list[Fault] = []

    def run(self) -> None:
        if self._composed(self._first, None) is None:
            self._blame()
            return
        for parameter in self._space.parameters:
            if self._options(parameter):
                self._try_options(parameter)
            else:
                self._try_values(parameter)
        if self._space.custom is not None and not self.faults:
            self._try_custom()

    def _composed(self, point: Mapping[str, Any], parameter: Parameter | None) -> DictConfig | None:
        """Return the configuration at a point, without what does not exist there."""
        texts = tuple(self._space.overrides(self._space.existing(point)))
        if texts not in self._configs:
            self._configs[texts] = self._compose(texts, parameter)
        return self._configs[texts]

    def _with(self, parameter: Parameter) -> dict[str, Any]:
        """Return the first point, moved to where a parameter exists."""
        if parameter.condition is None:
            return self._first
        above = dict(zip(parameter.condition.parents, parameter.condition.points[0], strict=True))
        return {**self._first, **above}

    def _try_options(self, parameter: Parameter) -> None:
        for choice in parameter.choices:
            self._composed({**self._with(parameter), parameter.name: choice.value}, parameter)

    def _try_values(self, parameter: Parameter) -> None:
        config = self._composed(self._with(parameter), parameter)
        if config is None:
            return
        first, *others = [parameter.override(value) for value in _values(parameter)]
        faulty = [text for text in [first, *others] if not self._set(config, parameter, text)]
        if first not in faulty and others:
            self._set(config, parameter, first, quiet=True)

    def _try_custom(self) -> None:
        """Let the function of a custom space suggest once, and compose what it does."""
        trial = create_study(sampler=RandomSampler(seed=0)).ask()
        self._compose(self._space.overrides(suggest(trial, self._space)), None, loud=True)

    def _set(
        self, config: DictConfig, parameter: Parameter, text: str, quiet: bool = False
    ) -> bool:
        """Set one value in place; return whether it can be."""
        override = OverridesParser.create().parse_override(text)
        key, value = override.key_or_group, override.value()
        added = override.is_add() or override.is_force_add()
        try:
            OmegaConf.update(config, key, value, merge=True, force_add=added)
        except OmegaConfBaseException as error:
            self._note(Fault(key, f"{_first_line(error)} (got {override.get_value_string()})"))
            return False
        if not quiet:
            self._run_check(config)
        return True

    def _compose(
        self, texts: Sequence[str], parameter: Parameter | None, *, loud: bool = False
    ) -> DictConfig | None:
        try:
            config = self._app.compose([*self._fixed, *texts])
        except (HydraException, OmegaConfBaseException) as error:
            if parameter is not None:
                self._note(self._fault(error, parameter))
            elif loud:
                self._note(Fault("", f"{_first_line(error)} ({' '.join(texts)})"))
            return None
        self._seen.append(config)
        self._run_check(config)
        return config

    def _blame(self) -> None:
        """Find which parameters do not compose; Hydra itself stops at the first."""
        for parameter in self._space.parameters:
            if self._options(parameter):
                for choice in parameter.choices:
                    self._compose([parameter.override(choice.value)], parameter)
        if self.faults:
            return
        for parameter in self._space.parameters:
            point = self._with(parameter)
            above = parameter.condition.parents if parameter.condition else ()
            wanted = {name: point[name] for name in (*above, parameter.name)}
            self._compose(self._space.overrides(wanted), parameter)
        if not self.faults:
            self._compose(self._space.overrides(self._space.existing(self._first)), None, loud=True)

    def _fault(self, error: Exception, tried: Parameter) -> Fault:
        """Return what is wrong with the parameter that Hydra names, else with the one tried."""
        named = (one for one in self._space.parameters if f"'{one.key}'" in _first_line(error))
        parameter = next(named, tried)
        key = parameter.key.lstrip("+")
        if isinstance(error, MissingConfigException) and error.options:
            name = str(error.missing_cfg_file).rsplit("/", 1)[-1]
            return Fault(key, unknown("option", name, error.options))
        cause = error.__cause__
        text = _first_line(error) + (f" {_first_line(cause)}" if cause else "")
        return Fault(key, f"{text}{self._hint(key, parameter)}")

    def _hint(self, key: str, parameter: Parameter) -> str:
        """Return the nearest key of any configuration that lacks this one."""
        above = parameter.condition.parents if parameter.condition else ()
        point = {name: value for name, value in self._with(parameter).items() if name in above}
        with contextlib.suppress(HydraException, OmegaConfBaseException):
            config = self._app.compose([*self._fixed, *self._space.overrides(point)])
            if close := nearest_key(config, key):
                return f" Did you mean {close!r}?"
        found = (nearest_key(config, key) for config in self._seen)
        close = next((name for name in found if name), "")
        return f" Did you mean {close!r}?" if close else ""

    def _run_check(self, config: DictConfig) -> None:
        if self._check is None:
            return
        try:
            self._check(config)
        except ConfigError as error:
            for fault in error.faults:
                self._note(fault)

    def _note(self, fault: Fault) -> None:
        if fault not in self.faults:
            self.faults.append(fault)

    def _options(self, parameter: Parameter) -> list[str]:
        """Return the options of a config group; none when the key is a plain value."""
        group = parameter.key.lstrip("+").split("@")[0]
        return list(self._app.context.config_loader.get_group_options(group))


def _first(space: Space) -> dict[str, Any]:
    """Return the first value of every parameter, whether it exists there or not."""
    first = {parameter.name: next(_values(parameter)) for parameter in space.parameters}
    for zipped in space.zips:
        first |= dict(zip(zipped.names, zipped.rows[0], strict=True))
    return first


def _values(parameter: Parameter) -> Iterator[Any]:
    """Yield every value of a parameter; for an interval its two ends."""
    if parameter.choices:
        yield from (choice.value for choice in parameter.choices)
    elif isinstance(parameter.distribution, IntDistribution | FloatDistribution):
        yield parameter.distribution.low
        yield parameter.distribution.high


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
