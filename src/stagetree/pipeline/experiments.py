"""A run's configuration as an experiment: a file in the form of those in ``experiments/``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from stagetree.core import project
from stagetree.core.errors import ConfigError, Fault
from stagetree.pipeline import commandline
from stagetree.pipeline.compose import compose
from stagetree.pipeline.nodes import Pipeline

NOT_KEPT = frozenset(
    {"hydra", "paths", "store", "tracker", "progress", "threads", "measure", "sampler", "pruner"}
)
"""Top-level keys that belong to a machine or to a search, not to what is run."""

NOT_TOLD = frozenset({"hydra.mode", "hydra.sweep.dir", "hydra.sweeper.storage"})
"""Overrides of a search line that say nothing about what was searched."""

ALWAYS = ("task", "data", "model")
"""Groups that are named even where the choice is the default, which may change."""

Options = dict[str, str | list[str]]


@dataclass(frozen=True)
class Experiment:
    """What an experiment file says.

    Attributes:
        groups: Chosen options of config groups.
        values: All values that differ from what the groups compose to.
        pipeline: What it runs.
    """

    groups: Options
    values: dict[str, Any]
    pipeline: Pipeline

    def text(self, comments: Sequence[str]) -> str:
        """Return the file's text, headed by comment lines."""
        lines = [
            "# @package _global_",
            *(f"# {comment}".rstrip() for comment in comments),
            "defaults:",
            *(f"  - override /{group}: {_option(self.groups[group])}" for group in self.groups),
            "  - _self_",
            "",
            OmegaConf.to_yaml(OmegaConf.create(self.values)),
        ]
        return "\n".join(lines)


def from_command(command: str) -> Experiment:
    """Return the experiment that does what a ``run.py`` line does.

    Sweeps and experiments that the line names are written out, so that the file stands alone;
    numerics that were left to the machine are named. Compose it inside a
    :func:`~stagetree.pipeline.commandline.composer` block.

    Raises:
        ConfigError: It is no line of this project's ``run.py``, or it does not compose today.
    """
    words = overrides(command)
    with commandline.explained(words):
        config = commandline.compose_here(words, with_hydra=True)
        groups = _groups(config)
        pipeline = compose(config)
        base = commandline.compose_here([f"{group}={_option(groups[group])}" for group in groups])
    named = {"seed": pipeline.seed, "numerics": pipeline.numerics}
    values = {**named, **_difference(_plain(config), _plain(base)), **named}
    OmegaConf.set_struct(base, False)  # as a file may add keys
    written = compose(cast("DictConfig", OmegaConf.merge(base, values)))
    if signatures(written) != signatures(pipeline):
        raise ConfigError(
            [Fault("", f"cannot be written as config groups and values, use the line: {command}")]
        )
    return Experiment(groups, values, pipeline)


def signatures(pipeline: Pipeline) -> dict[str, str]:
    """Return the signature of every stage by name."""
    return {node.name: node.signature for node in pipeline.nodes}


_STUDY = "hydra.sweeper.study_name"


def search_line(words: Sequence[str]) -> str:
    """Return a line that starts a search, from all its overrides: each key as given first.

    Where things were written, also a database that may carry a password, and what Hydra and the
    sweeper add by themselves is left out; so is a study's name that its sweep gives it anyway.
    """
    kept: dict[str, str] = {}
    for word in words:
        key = word.split("=", 1)[0]
        if key not in NOT_TOLD and not key.startswith("paths."):
            kept.setdefault(key, word)
    named = kept.get(_STUDY, "").partition("=")[2].strip("'\"")
    if named and kept.get("+sweep") == f"+sweep={named}":
        del kept[_STUDY]
    return shlex.join(["python", "run.py", "-m", *kept.values()])


def overrides(command: str) -> list[str]:
    """Return the overrides of a command line.

    Raises:
        ConfigError: It runs something else than this project's ``run.py`` as it is.
    """
    words = shlex.split(command)
    program = words[1:2] if words[:1] == ["python"] else words[:1]
    rest = words[2:] if words[:1] == ["python"] else words[1:]
    flags = [word for word in rest if word.startswith("--")]
    if [Path(name).name for name in program] != ["run.py"] or flags:
        message = f"expected a trial of this project's run.py, without flags, but got: {command}"
        raise ConfigError([Fault("study", message)])
    return rest


def _groups(config: DictConfig) -> Options:
    """Return the options to name: of what is run, and of whatever is not the default."""
    choices = OmegaConf.to_container(config.hydra.runtime.choices)
    default = commandline.compose_here([], with_hydra=True).hydra.runtime.choices
    assert isinstance(choices, dict)  # Hydra's own mapping
    groups: Options = {
        str(group): str(option)
        for group, option in sorted(choices.items(), key=lambda item: str(item[0]))
        if group in default
        and group not in NOT_KEPT
        and not str(group).startswith("hydra/")
        and option is not None
        and (group in ALWAYS or option != default[group])
    }
    ordered = {name: groups.pop(name) for name in ALWAYS if name in groups}
    stages: str | list[str] = groups.pop("stage", [str(name) for name in config.stages])
    if "stage" in choices:
        stages = str(choices["stage"])
    known = {file.stem for file in (project.root() / "conf" / "stage").glob("*.yaml")}
    if isinstance(stages, list):
        stages = [name for name in stages if name in known]
    return {**ordered, "stage": stages, **groups}


def _option(option: str | list[str]) -> str:
    return option if isinstance(option, str) else f"[{', '.join(option)}]"


def _plain(config: DictConfig) -> dict[str, Any]:
    content = OmegaConf.to_container(config, resolve=False, enum_to_str=True)
    assert isinstance(content, dict)  # a root configuration is a mapping
    return {str(key): value for key, value in content.items() if key not in NOT_KEPT}


def _difference(wanted: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of ``wanted`` that ``base`` does not have."""
    found: dict[str, Any] = {}
    for key, value in wanted.items():
        has = base.get(key)
        if isinstance(value, dict) and isinstance(has, dict):
            if below := _difference(value, has):
                found[key] = below
        elif key not in base or type(value) is not type(has) or value != has:
            found[key] = value
    return found
