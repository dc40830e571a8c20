"""The user's own files: CoNLL columns, JSON lines, CSV or TSV."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import DataError, Fault
from stagetree.data.config import DataConfig
from stagetree.data.conll import read_conll
from stagetree.data.corpus import Corpus
from stagetree.data.jsonl import read_jsonl
from stagetree.data.sources.base import SOURCES, Source, layout_faults
from stagetree.data.splits import stratified
from stagetree.data.table import read_table
from stagetree.data.tags import Scheme
from stagetree.data.text_file import content_hash, existing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datasets import Dataset

logger = logging.getLogger(__name__)

_PATHS = ("path", "train", "validation", "test")


class Format(Enum):
    """How the files are written; ``auto`` goes by the suffix."""

    auto = "auto"
    conll = "conll"
    jsonl = "jsonl"
    csv = "csv"
    tsv = "tsv"


_SUFFIXES = {
    ".conll": Format.conll,
    ".conll03": Format.conll,
    ".iob": Format.conll,
    ".iob2": Format.conll,
    ".bio": Format.conll,
    ".txt": Format.conll,
    ".jsonl": Format.jsonl,
    ".ndjson": Format.jsonl,
    ".csv": Format.csv,
    ".tsv": Format.tsv,
}


@dataclass
class FilesConfig(DataConfig):
    """Options of data in files.

    Attributes:
        kind: ``files``.
        path: One file, divided by ``split``; or else give ``train`` and ``validation``.
        train: File of the training split.
        validation: File of the validation split.
        test: File of the test split; without it there is no test split.
        format: How the files are written.
        encoding: Their encoding.
        scheme: How entity borders are written in tags; they are turned into IOB2.
        token_column: CoNLL: column of the word, from 0; negative numbers count from the end.
        tag_column: CoNLL: column of the tag.
        text_column: JSON lines, CSV, TSV: name of the text.
        label_column: Name of the label.
        text_pair_column: Name of the second text, if the task is about pairs.
    """

    kind: str = "files"
    path: str | None = None
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    format: Format = Format.auto
    encoding: str = "utf-8"
    scheme: Scheme = Scheme.iob2
    token_column: int = 0
    tag_column: int = -1
    text_column: str = "text"
    label_column: str = "label"
    text_pair_column: str | None = None


@SOURCES.register("files")
class FilesSource(Source):
    """Reads one file and divides it, or one file a split."""

    kind = "files"
    Config: ClassVar[type[DataConfig]] = FilesConfig

    @classmethod
    def check(cls, config: Any, layout: str) -> list[Fault]:
        """See :meth:`Source.check`."""
        faults = super().check(config, layout) + _layout_faults(config)
        given = _given(config)
        for name, path in given.items():
            try:
                existing(path)
                _format(config, path)
            except DataError as error:
                faults.append(Fault(name, str(error)))
        known = {_format(config, path) for path in given.values() if _recognised(config, path)}
        for form in sorted(known - {Format.jsonl}, key=lambda form: form.name):
            tokens = form is Format.conll
            faults += layout_faults(layout, tokens=tokens, what=f"a {form.name} file")
        try:
            "".encode(config.encoding)
        except LookupError:
            message = f"expected an encoding Python knows, got {config.encoding!r}"
            faults.append(Fault("encoding", message))
        return faults

    @classmethod
    def fingerprint(cls, config: Any) -> str:
        """See :meth:`Source.fingerprint`."""
        content = {
            name: {"sha256": content_hash(path), "format": _format(config, path).name}
            for name, path in _given(config).items()
        }
        return cls._digest(config, content, without=(*_PATHS, "format"))

    @classmethod
    def load(cls, config: Any) -> Corpus:
        """See :meth:`Source.load`."""
        faults = _layout_faults(config)
        if faults:
            raise DataError("; ".join(f"data.{fault}" for fault in faults))
        given = _given(config)
        splits = _divided(config) if config.path else _separate(config, given)
        name = Path(config.path).stem if config.path else Path(config.train).resolve().parent.name
        return Corpus(name=name, fingerprint=cls.fingerprint(config), **splits)


def _given(config: FilesConfig) -> dict[str, str]:
    return {name: getattr(config, name) for name in _PATHS if getattr(config, name)}


def _layout_faults(config: FilesConfig) -> list[Fault]:
    separate = [name for name in _PATHS[1:] if getattr(config, name)]
    if config.path and separate:
        message = f"expected data.path or data.train and data.validation, got also {separate}"
        return [Fault("path", message)]
    if config.path:
        return []
    return [
        Fault(name, "expected a file; or give data.path for one file that is divided by data.split")
        for name in ("train", "validation")
        if not getattr(config, name)
    ]


def _recognised(config: FilesConfig, path: str) -> bool:
    return config.format is not Format.auto or Path(path).suffix.lower() in _SUFFIXES


def _format(config: FilesConfig, path: str) -> Format:
    if not _recognised(config, path):
        known = ", ".join(sorted(_SUFFIXES))
        raise DataError(
            f"{path}: expected a suffix out of {known}, got {Path(path).suffix!r}; "
            "set data.format to conll, jsonl, csv or tsv"
        )
    if config.format is not Format.auto:
        return config.format
    return _SUFFIXES[Path(path).suffix.lower()]


def _columns(config: FilesConfig, path: str) -> dict[str, list[Any]]:
    form, file = _format(config, path), existing(path)
    if form is Format.conll:
        return read_conll(
            file,
            token_column=config.token_column,
            tag_column=config.tag_column,
            scheme=config.scheme,
            encoding=config.encoding,
        )
    names: dict[str, Any] = {
        "text_column": config.text_column,
        "label_column": config.label_column,
        "text_pair_column": config.text_pair_column,
        "encoding": config.encoding,
    }
    if form is Format.jsonl:
        return read_jsonl(file, scheme=config.scheme, **names)
    return read_table(file, tabs=form is Format.tsv, **names)


def _divided(config: FilesConfig) -> dict[str, Dataset]:
    columns = _columns(config, str(config.path))
    count = len(next(iter(columns.values())))
    groups = columns.get("label") or [""] * count
    split = stratified(groups, list(config.split), config.split_seed)
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    return {
        name: _dataset({column: [values[at] for at in rows] for column, values in columns.items()})
        for name, rows in parts.items()
    }


def _separate(config: FilesConfig, given: Mapping[str, str]) -> dict[str, Dataset]:
    columns = {name: _columns(config, path) for name, path in given.items()}
    if "test" not in columns:
        logger.warning("no data.test: stages and searches run, a final evaluation will not")
        columns["test"] = {name: [] for name in columns["train"]}
    for name, values in columns.items():
        if values.keys() != columns["train"].keys():
            raise DataError(
                f"{given[name]}: expected the columns of {given['train']}, "
                f"{sorted(columns['train'])}, got {sorted(values)}"
            )
    return {name: _dataset(values) for name, values in columns.items()}


def _dataset(columns: Mapping[str, list[Any]]) -> Dataset:
    import datasets

    text = datasets.Value("string")
    features = {
        name: datasets.List(text) if name in ("tokens", "tags") else text for name in columns
    }
    return datasets.Dataset.from_dict(dict(columns), features=datasets.Features(features))
