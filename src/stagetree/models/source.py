"""What the name of a pretrained model means: an asset, a local directory, or a hub id."""

from __future__ import annotations

import difflib
import functools
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from stagetree.core.errors import Fault, ModelError
from stagetree.core.signature import digest
from stagetree.data import assets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stagetree.models.config import ModelConfig

_TOKENIZERS = (
    frozenset({"tokenizer.json"}),
    frozenset({"vocab.txt"}),
    frozenset({"vocab.json", "merges.txt"}),
    frozenset({"spiece.model"}),
    frozenset({"tokenizer.model"}),
    frozenset({"sentencepiece.bpe.model"}),
)
_WEIGHTS = re.compile(r"(model.*\.safetensors|pytorch_model.*\.bin)(\.index\.json)?")
_CONTENT = re.compile(
    rf"{_WEIGHTS.pattern}|config\.json|.*tokenizer.*|.*\.model|vocab\..*|merges\.txt|"
    r"special_tokens_map\.json|added_tokens\.json"
)
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_FIRST_HUB_IDS = re.compile(
    r"(albert|bert|camembert|ctrl|distilbert|distilgpt2|distilroberta|gpt2|openai-gpt|roberta|t5|"
    r"transfo-xl|xlm|xlnet)(-.*)?"
)
"""The hub gives out no names without an owner any more; these families had them before."""
_LIKE_AN_ASSET = 0.7
_HUB_TIMEOUT = 3.0


def locate(config: ModelConfig) -> str:
    """Return where ``from_pretrained`` finds the model: a directory, or a hub id.

    Raises:
        ModelError: The local directory lacks files of a model; the message names them.
        AssetError: The asset is not on this machine yet.
    """
    return _locate(config.name, weights=not config.from_scratch, tokenizer=not config.tokenizer)


def locate_tokenizer(config: ModelConfig) -> str:
    """Return where the tokenizer is found: a directory, or a hub id.

    Raises:
        ModelError: The local directory has no tokenizer.
        AssetError: The asset is not on this machine yet.
    """
    if config.tokenizer is None:
        return locate(config)
    return _locate(config.tokenizer, config=False, tokenizer=True)


def commit(config: ModelConfig) -> str | None:
    """Return the hub commit to load, or ``None`` when the model is not from the hub."""
    return None if _is_here(config.name) else _commit(config.name, config.revision or "main")


def tokenizer_commit(config: ModelConfig) -> str | None:
    """Return the hub commit to load the tokenizer from, or ``None`` when it is not from there."""
    if config.tokenizer is None:
        return commit(config)
    return None if _is_here(config.tokenizer) else _commit(config.tokenizer, "main")


def revision(config: ModelConfig) -> str:
    """Return a digest of everything the configured model and tokenizer consist of.

    Weights of a local directory are hashed once per change of a file; nothing is downloaded,
    and PyTorch is not imported. A hub id is pinned by its commit: from the hub's cache, else
    asked for in one request, else (offline) taken as written.

    Raises:
        ModelError: The local directory lacks files of a model.
        AssetError: No such asset.
    """
    named = _content(config.name, config.revision)
    tokenizer = _content(config.tokenizer, None) if config.tokenizer else None
    return digest([named, tokenizer, config.from_scratch, config.overrides])


def check(config: ModelConfig) -> list[Fault]:
    """Return what can be seen to be wrong without loading; paths relative to ``model``."""
    alone = config.tokenizer is None
    message = _complaint(config.name, weights=not config.from_scratch, tokenizer=alone)
    faults = [Fault("name", message)] if message else []
    if config.tokenizer is not None:
        message = _complaint(config.tokenizer, config=False, tokenizer=True)
        faults += [Fault("tokenizer", message)] if message else []
    return faults


def _is_here(name: str) -> bool:
    return name in assets.ASSETS or Path(name).expanduser().is_dir()


def _locate(name: str, **needs: bool) -> str:
    if name in assets.ASSETS:
        return str(assets.asset_dir(name))
    place = Path(name).expanduser()
    if place.is_dir():
        missing = _missing(str(place), _names(place), **needs)
        if missing:
            raise ModelError(missing)
        return str(place.resolve())
    message = _not_hub(name)
    if message:
        raise ModelError(message)
    return name


def _complaint(name: str, **needs: bool) -> str:
    if name in assets.ASSETS:
        files = assets.ASSETS[name].files
        if "config.json" not in files:
            models = [asset for asset, it in assets.ASSETS.items() if "config.json" in it.files]
            return f"asset {name!r} is data, not a model; models are: {', '.join(sorted(models))}"
        return _missing(f"asset {name}", files, **needs)
    place = Path(name).expanduser()
    if place.is_dir():
        return _missing(str(place), _names(place), **needs)
    return _not_hub(name) or _unreachable(name)


def _missing(
    place: str,
    names: Iterable[str],
    *,
    config: bool = True,
    weights: bool = False,
    tokenizer: bool = False,
) -> str:
    """Say what a model directory lacks, or return an empty string."""
    have = sorted(names)
    found = f"found {', '.join(have[:8])}{', ...' if len(have) > 8 else ''}" if have else "is empty"
    if config and "config.json" not in have:
        return f"expected a model in {place} but it has no config.json ({found})"
    if weights and not any(_WEIGHTS.fullmatch(name) for name in have):
        if any(name.endswith(".onnx") for name in have):
            return f"{place} holds an ONNX model, which cannot be trained further"
        return (
            f"expected weights in {place} (model.safetensors) but there are none ({found}); "
            "set model.from_scratch=true to start from random weights"
        )
    if tokenizer and not any(wanted <= set(have) for wanted in _TOKENIZERS):
        return (
            f"expected a tokenizer in {place} (tokenizer.json) but there is none ({found}); "
            "set model.tokenizer to an asset, directory or hub id that has one"
        )
    return ""


def _not_hub(name: str) -> str:
    if _HUB_ID.fullmatch(name) and not name.startswith((".", "-")):
        return ""
    return f"expected an asset, a model directory or a hub id but there is no directory {name!r}"


def _unreachable(name: str) -> str:
    from huggingface_hub import constants

    if (_hub_place(name) / "snapshots").is_dir():
        return ""
    close = _similar_asset(name)
    if close:
        return f"unknown model {name!r}. Did you mean {close!r}?"
    if constants.HF_HUB_OFFLINE:
        return (
            f"{name!r} is neither an asset nor a directory, and as a hub id it is not in "
            f"{constants.HF_HUB_CACHE} while HF_HUB_OFFLINE is set"
        )
    return ""


def _similar_asset(name: str) -> str:
    if "/" in name or _FIRST_HUB_IDS.fullmatch(name):
        return ""
    plain = {asset.replace("_", "-").lower(): asset for asset in assets.ASSETS}
    close = difflib.get_close_matches(
        name.replace("_", "-").lower(), plain, n=1, cutoff=_LIKE_AN_ASSET
    )
    return plain[close[0]] if close else ""


def _names(place: Path) -> list[str]:
    return [path.name for path in place.iterdir() if path.is_file()]


def _content(name: str, hub_revision: str | None) -> list[str]:
    if name in assets.ASSETS:
        return ["asset", assets.revision(name)]
    place = Path(name).expanduser()
    if place.is_dir():
        return ["directory", _directory_digest(place)]
    message = _not_hub(name)
    if message:
        raise ModelError(message)
    return ["hub", f"{name}@{_commit(name, hub_revision or 'main')}"]


def _directory_digest(place: Path) -> str:
    names = sorted(name for name in _names(place) if _CONTENT.fullmatch(name))
    if not names:
        raise ModelError(_missing(str(place), _names(place)))
    hashes = []
    for name in names:
        stat = (place / name).stat()
        hashes.append([name, _file_digest(place.resolve() / name, stat.st_mtime_ns, stat.st_size)])
    return digest(hashes)


@functools.lru_cache(maxsize=256)
def _file_digest(path: Path, _mtime: int, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hub_place(name: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"


@functools.lru_cache(maxsize=32)
def _commit(name: str, revision: str) -> str:
    """Return the commit a hub revision stands for, or the revision when nobody can say.

    Loading passes it on, so that what is loaded is what the signature says, also when the hub
    moves on.
    """
    if re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    known = _hub_place(name) / "refs" / revision
    if known.is_file():
        return known.read_text(encoding="utf-8").strip()
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return revision
    try:
        answer = HfApi().model_info(name, revision=revision, timeout=_HUB_TIMEOUT).sha
    except Exception:  # noqa: BLE001 - whatever the network says, the loader will say it better
        return revision
    return answer or revision
