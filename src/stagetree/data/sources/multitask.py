"""The data of several tasks as one table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import DataError, Fault
from stagetree.data.config import DataConfig
from stagetree.data.corpus import Corpus
from stagetree.data.sources.base import SOURCES, Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datasets import Dataset

TASK = "task"
"""Column with the name of the task a row belongs to."""

LAYOUT = "several"
"""Layout of a task that reads such a table; see :meth:`Source.check`."""


@dataclass
class MultitaskDataConfig(DataConfig):
    """Options of the data of several tasks.

    Attributes:
        kind: ``multitask``.
        parts: Typed options of each task's data, by the task's name. They are not given here but
            taken from ``task.tasks.NAME.data``, with the limits below laid over them.
    """

    kind: str = "multitask"
    parts: dict[str, Any] = field(default_factory=dict)


@SOURCES.register("multitask")
class MultitaskSource(Source):
    """Lays the corpora of several tasks one below the other.

    Rows say in ``task`` whose they are, and are null in columns that only others have.
    """

    kind = "multitask"
    Config: ClassVar[type[DataConfig]] = MultitaskDataConfig

    @classmethod
    def check(cls, config: Any, layout: str) -> list[Fault]:
        """See :meth:`Source.check`; the parts are checked with their tasks."""
        faults = super().check(config, layout)
        if layout != LAYOUT:
            message = "data=multitask is the data of task=multitask; use other data or that task"
            faults.append(Fault("kind", message))
        plain = DataConfig()
        for name in ("split", "split_seed"):
            if getattr(config, name) != getattr(plain, name):
                where = f"task.tasks.NAME.data.{name}"
                faults.append(Fault(name, f"every task's data is split by itself; set {where}"))
        return faults

    @classmethod
    def fingerprint(cls, config: Any) -> str:
        """See :meth:`Source.fingerprint`."""
        parts = {name: SOURCES[part.kind].fingerprint(part) for name, part in config.parts.items()}
        # Their order is that of the outputs; canonical JSON would sort a mapping's keys.
        content = {"parts": [[name, parts[name]] for name in parts]}
        return cls._digest(config, content, without=["parts"])

    @classmethod
    def load(cls, config: Any) -> Corpus:
        """See :meth:`Source.load`; every part is cut to its own limits."""
        from stagetree.data.load import load

        parts = {name: load(part) for name, part in config.parts.items()}
        return joined(parts, cls.fingerprint(config))


def joined(parts: Mapping[str, Corpus], fingerprint: str) -> Corpus:
    """Return the corpora of several tasks as one.

    Args:
        parts: Corpora by the names of their tasks.
        fingerprint: Fingerprint of the whole.

    Raises:
        DataError: A corpus has a column ``task`` of its own, or columns of equal names are of
            different types.
    """

    def split(name: str) -> Dataset:
        return _stacked({task: getattr(corpus, name) for task, corpus in parts.items()})

    return Corpus(
        name="+".join(parts),
        train=split("train"),
        validation=split("validation"),
        test=split("test"),
        fingerprint=fingerprint,
    )


def _stacked(tables: Mapping[str, Dataset]) -> Dataset:
    import datasets
    import pyarrow  # type: ignore[import-untyped]

    features = {name: kind for rows in tables.values() for name, kind in rows.features.items()}
    for task, rows in tables.items():
        if TASK in rows.column_names:
            raise DataError(f"the data of task {task!r} has a column {TASK!r}; rename it")
    features[TASK] = datasets.Value("string")
    schema = datasets.Features(features).arrow_schema
    try:
        # Not concatenate_datasets: it forgets the columns of a split without rows.
        pieces = [_widened(rows, task, schema) for task, rows in tables.items()]
    except pyarrow.ArrowException as error:
        raise DataError(f"the data of {', '.join(tables)} does not fit together: {error}") from None
    return datasets.Dataset(pyarrow.concat_tables(pieces))


def _widened(rows: Dataset, task: str, schema: Any) -> Any:
    """Return rows as an Arrow table with all columns of ``schema``, null where they have none."""
    import pyarrow

    table = rows.with_format("arrow")[:]
    columns = []
    for column in schema:
        if column.name == TASK:
            columns.append(pyarrow.array([task] * len(rows), column.type))
        elif column.name in rows.column_names:
            columns.append(table[column.name].cast(column.type))
        else:
            columns.append(pyarrow.nulls(len(rows), column.type))
    return pyarrow.Table.from_arrays(columns, schema=schema)


def rows_of(rows: Dataset, task: str) -> Dataset:
    """Return the rows of one task, without the columns that are null in all of them."""
    own = [place for place, name in enumerate(rows[TASK]) if name == task]
    found = rows.remove_columns(TASK).select(own, keep_in_memory=True)
    table = found.with_format("arrow")[:]
    empty = [name for name in found.column_names if own and table[name].null_count == len(own)]
    return found.remove_columns(empty)
