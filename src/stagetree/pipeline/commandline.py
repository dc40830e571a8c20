"""From the words of a command line to a configuration, or to all that is wrong with them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from hydra.types import RunMode
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stagetree.core import project
from stagetree.core.errors import ConfigError, Fault, nearest
from stagetree.pipeline import schema


@contextlib.contextmanager
def composer() -> Iterator[None]:
    """Make ``hydra.compose`` read this project's configuration inside the block."""
    schema.register()
    state, base = GlobalHydra.instance().hydra, VersionBase.instance().getbase()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(
            str(project.root() / "conf"), job_name="stagetree", version_base="1.3"
        ):
            yield
    finally:
        GlobalHydra.instance().hydra = state
        VersionBase.instance().version_base = base


def load(words: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
    """Compose a configuration from overrides that sweep over nothing.

    Raises:
        ConfigError: With every word that cannot be applied.
    """
    with explained(words), composer():
        return compose_here(words, with_hydra=with_hydra)


@contextlib.contextmanager
def explained(words: Sequence[str]) -> Iterator[None]:
    """Turn what Hydra says of a command line inside the block into all that is wrong with it.

    Raises:
        ConfigError: With every fault of the words.
    """
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(diagnose(words) or [Fault("", _first_line(error))]) from error


def compose_here(words: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
    """Compose a configuration inside a ``composer`` block, for whoever composes many."""
    return hydra_compose("config", overrides=list(words), return_hydra_config=with_hydra)


def compose_search(words: Sequence[str]) -> DictConfig:
    """Compose the configuration of a search inside a ``composer`` block, as ``-m`` does.

    It has the ``hydra`` node; words that sweep are left out and listed in its overrides.
    """
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None  # inside the block there is one
    return hydra.compose_config("config", list(words), RunMode.MULTIRUN, from_shell=False)


def diagnose(words: Sequence[str]) -> list[Fault]:
    """Return every fault of a command line that Hydra refuses, one fault a word.

    Hydra stops at its first error. Here each word is tried by itself, on top of those that
    choose config groups, so that all of them are reported.
    """
    parser = OverridesParser.create()
    parsed: list[tuple[str, Override]] = []
    faults: list[Fault] = []
    for word in words:
        try:
            parsed.append((word, parser.parse_override(word)))
        except HydraException as error:
            faults.append(Fault("", f"cannot read {word!r}: {_first_line(error)}"))
    with composer():
        base = _try_groups(parsed, faults)
        for word, override in parsed:
            if word in base:
                continue
            for candidate in _single_values(word, override):
                fault = _try([*base, candidate], override)
                if fault is not None and fault not in faults:
                    faults.append(fault)
    return faults


def _single_values(word: str, override: Override) -> list[str]:
    """Return the words a sweep over discrete choices stands for; others as they are."""
    if not override.is_sweep_override() or not override.is_discrete_sweep():
        return [] if override.is_sweep_override() else [word]
    key = override.get_key_element()
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def _try_groups(parsed: Sequence[tuple[str, Override]], faults: list[Fault]) -> list[str]:
    """Return the words that choose config groups and work; note the others."""
    base: list[str] = []
    groups = set(GlobalHydra.instance().config_loader().list_groups(""))
    for word, override in parsed:
        is_group = override.key_or_group in groups | set(project.FOLDERS)
        if not is_group or override.is_sweep_override():
            continue
        fault = _try([*base, word], override)
        if fault is None:
            base.append(word)
        else:
            faults.append(fault)
    return base


def _try(words: list[str], override: Override) -> Fault | None:
    try:
        hydra_compose("config", overrides=words, return_hydra_config=True)
    except MissingConfigException as error:
        options = list(error.options or ())
        name = str(error.missing_cfg_file or "").split("/")[-1]
        return Fault(str(override.key_or_group), _unknown_option(name, options))
    except ConfigCompositionException as error:
        return _explain(error, override, words[:-1])
    except HydraException as error:
        return Fault(str(override.key_or_group), _first_line(error))
    return None


def _unknown_option(name: str, options: Sequence[str]) -> str:
    close = nearest(name, options)
    hint = f" Did you mean {close!r}?" if close else ""
    return f"no option {name!r}.{hint} Known: {', '.join(sorted(options))}."


def _explain(error: Exception, override: Override, words: list[str]) -> Fault:
    key = str(override.key_or_group)
    cause = error.__cause__ or error
    text = _first_line(cause)
    if "not in struct" in str(error) + str(cause) or re.search(r"Key '.*' not in", text):
        return Fault(key, _unknown_key(key, words))
    if "No match in the defaults list" in str(error):
        return Fault(key, _unknown_key(key, words))
    got = override.input_line if override.is_delete() else override.get_value_string()
    return Fault(key, f"{text} (got {got})")


def _unknown_key(key: str, words: list[str]) -> str:
    """Say which part of a dotted key is unknown, with its nearest neighbour."""
    node: Any = compose_here(words, with_hydra=True)
    parts = key.split("@")[0].split(".")
    for depth, part in enumerate(parts):
        if not OmegaConf.is_dict(node) or part not in node:
            known = [str(name) for name in node] if OmegaConf.is_dict(node) else []
            known = [name for name in known if depth or name != "hydra"]
            close = nearest(part, known)
            hint = f" Did you mean {'.'.join([*parts[:depth], close])!r}?" if close else ""
            return f"unknown key {part!r}.{hint} " + (
                f"Known here: {', '.join(sorted(known))}."
                if known
                else f"There is none yet; +{key}=... adds one."
            )
        node = node._get_node(part)
    return "unknown key"


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
