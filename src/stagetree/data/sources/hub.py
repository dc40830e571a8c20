"""Data sets of the Hugging Face hub, and directories in its formats."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from omegaconf import MISSING

from stagetree.core.errors import DataError, Fault, unknown
from stagetree.data.config import DataConfig
from stagetree.data.corpus import Corpus
from stagetree.data.sources.base import SOURCES, Source, layout_faults
from stagetree.data.splits import stratified
from stagetree.data.tags import Scheme, TagError, to_iob2
from stagetree.data.text_file import content_hash

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

logger = logging.getLogger(__name__)


@dataclass
class HubConfig(DataConfig):
    """Options of data sets on the hub.

    Attributes:
        kind: ``hub``.
        path: Hub id, a directory written by ``DatasetDict.save_to_disk``, or a directory laid
            out like a data set on the hub.
        name: Name of the data set's configuration.
        revision: Commit, branch or tag. A commit pins the content; anything else is trusted
            not to change.
        data_dir: Folder inside the data set.
        train_split: Name of the split that is trained on.
        validation_split: Name of the validation split. When it is null or not there, it is
            carved out of the training split, by ``split`` and ``split_seed``.
        test_split: Name of the test split; null for none.
        tokens_column: Words; set it for token tasks, leave it null for text.
        tags_column: Tags, as names or numbers.
        text_column: Text.
        text_pair_column: Second text, if the task is about pairs.
        label_column: Label, as a name or a number.
        label_names: Names of number labels (tags), for data sets that do not name them.
        scheme: How entity borders are written in tags; they are turned into IOB2.
    """

    kind: str = "hub"
    path: str = MISSING
    name: str | None = None
    revision: str | None = None
    data_dir: str | None = None
    train_split: str = "train"
    validation_split: str | None = "validation"
    test_split: str | None = "test"
    tokens_column: str | None = None
    tags_column: str = "ner_tags"
    text_column: str = "text"
    text_pair_column: str | None = None
    label_column: str = "label"
    label_names: list[str] = field(default_factory=list)
    scheme: Scheme = Scheme.iob2


@SOURCES.register("hub")
class HubSource(Source):
    """Loads with the ``datasets`` library and renames columns and labels."""

    kind = "hub"
    Config: ClassVar[type[DataConfig]] = HubConfig

    @classmethod
    def check(cls, config: Any, layout: str) -> list[Fault]:
        """See :meth:`Source.check`."""
        tokens = config.tokens_column is not None
        return super().check(config, layout) + layout_faults(
            layout, tokens=tokens, what=f"data.path={config.path} as configured"
        )

    @classmethod
    def fingerprint(cls, config: Any) -> str:
        """See :meth:`Source.fingerprint`; a directory counts by its content."""
        directory = Path(config.path).expanduser()
        if not directory.is_dir():
            return cls._digest(config, {})
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        content = {path.relative_to(directory).as_posix(): content_hash(path) for path in files}
        return cls._digest(config, content, without=("path",))

    @classmethod
    def load(cls, config: Any) -> Corpus:
        """See :meth:`Source.load`."""
        splits = _splits(_opened(config), config)
        return Corpus(
            name=Path(config.path).name,
            fingerprint=cls.fingerprint(config),
            **{
                name: _renamed(rows, config, f"{config.path} ({name})")
                for name, rows in splits.items()
            },
        )


def _opened(config: HubConfig) -> DatasetDict:
    import datasets

    directory = Path(config.path).expanduser()
    if (directory / "dataset_dict.json").is_file():
        return datasets.load_from_disk(str(directory))
    path = str(directory) if directory.is_dir() else config.path
    try:
        return datasets.load_dataset(
            path, config.name, revision=config.revision, data_dir=config.data_dir
        )
    except ConnectionError as error:
        raise DataError(
            f"{config.path}: the Hugging Face hub cannot be reached ({error}). Download the data "
            "on a machine with network and set data.path to its directory, or, if it is in the "
            "cache already (HF_HOME), set HF_HUB_OFFLINE=1; or use data that needs no hub: "
            "data=pii, data=sentiment, data=files"
        ) from error
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        hint = "check data.path, data.name and data.revision"
        if "script" in str(error):
            hint = "try data.revision=refs/convert/parquet"
        raise DataError(f"{config.path}: cannot be loaded: {error}; {hint}") from error


def _splits(found: Mapping[str, Dataset], config: HubConfig) -> dict[str, Dataset]:
    if not isinstance(found, Mapping):
        kind = type(found).__name__
        raise DataError(f"{config.path}: expected a data set with named splits, got a {kind}")
    if config.train_split not in found:
        raise DataError(f"{config.path}: {unknown('split', config.train_split, found)}")
    train = found[config.train_split]
    if config.validation_split is not None and config.validation_split in found:
        validation = found[config.validation_split]
    else:
        train, validation = _carved(train, config)
    if config.test_split is not None and config.test_split in found:
        test = found[config.test_split]
    else:
        logger.warning("%s has no test split: a final evaluation will not run", config.path)
        test = train.select([])
    return {"train": train, "validation": validation, "test": test}


def _carved(train: Dataset, config: HubConfig) -> tuple[Dataset, Dataset]:
    total = config.split[0] + config.split[1]
    shares = (config.split[0] / total, config.split[1] / total, 0.0)
    plain = config.tokens_column is not None or config.label_column not in train.column_names
    groups = [0] * len(train) if plain else list(train[config.label_column])
    split = stratified(groups, shares, config.split_seed)
    logger.info(
        "%s: %d validation examples carved out of train", config.path, len(split.validation)
    )
    return train.select(split.train), train.select(split.validation)


def _renamed(rows: Dataset, config: HubConfig, place: str) -> Dataset:
    import datasets

    text = datasets.Value("string")
    if config.tokens_column is not None:
        _require(rows, place, tokens_column=config.tokens_column, tags_column=config.tags_column)
        columns: dict[str, Any] = {
            "tokens": [list(tokens) for tokens in rows[config.tokens_column]],
            "tags": _tags(rows, config, place),
        }
        kinds: dict[str, Any] = dict.fromkeys(columns, datasets.List(text))
    else:
        wanted = {"text_column": config.text_column, "label_column": config.label_column}
        if config.text_pair_column is not None:
            wanted["text_pair_column"] = config.text_pair_column
        _require(rows, place, **wanted)
        columns = {
            option.removesuffix("_column"): list(rows[column]) for option, column in wanted.items()
        }
        columns["label"] = _labels(rows, config, place)
        kinds = dict.fromkeys(columns, text)
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))


def _require(rows: Dataset, place: str, **wanted: str) -> None:
    for option, column in wanted.items():
        if column not in rows.column_names:
            raise DataError(
                f"{place}: {unknown('column', column, rows.column_names)} Set data.{option}."
            )


def _labels(rows: Dataset, config: HubConfig, place: str) -> list[str]:
    names = _names(rows.features[config.label_column], config)
    return [
        _label(value, names, f"{place}, row {number}")
        for number, value in enumerate(rows[config.label_column])
    ]


def _tags(rows: Dataset, config: HubConfig, place: str) -> list[list[str]]:
    feature = rows.features[config.tags_column]
    names = _names(getattr(feature, "feature", feature), config)
    converted = []
    pairs = zip(rows[config.tokens_column], rows[config.tags_column], strict=True)
    for number, (tokens, values) in enumerate(pairs):
        where = f"{place}, row {number}"
        if len(tokens) != len(values):
            message = f"expected as many tags as tokens ({len(tokens)}), got {len(values)}"
            raise DataError(f"{where}: {message}")
        tags = [_label(value, names, where) for value in values]
        try:
            converted.append(to_iob2(tags, config.scheme))
        except TagError as error:
            raise DataError(f"{where}, tag {error.index}: {error}") from error
    return converted


def _names(feature: Any, config: HubConfig) -> Sequence[str]:
    return list(config.label_names) or getattr(feature, "names", None) or ()


def _label(value: Any, names: Sequence[str], where: str) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, int):
        raise DataError(f"{where}: expected a name or a number as label, got {value!r}")
    if not names:
        raise DataError(
            f"{where}: expected a named label, got the number {value} in a data set without "
            "label names; set data.label_names=[...]"
        )
    if not 0 <= value < len(names):
        raise DataError(
            f"{where}: expected a label from 0 to {len(names) - 1}, got {value} "
            "(-1 usually marks a split without labels: choose another split)"
        )
    return names[value]
