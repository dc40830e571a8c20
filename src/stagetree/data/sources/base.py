"""What a data source is: a typed config, a check, a fingerprint and a corpus."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import Fault
from stagetree.core.registry import Registry
from stagetree.core.signature import digest, result_fields

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from stagetree.data.config import DataConfig
    from stagetree.data.corpus import Corpus


class Source(ABC):
    """One way to get a corpus. Importing a source's module imports neither torch nor datasets.

    Attributes:
        kind: Registered name.
        VERSION: Raise it when the code changes the corpus it makes.
        Config: Dataclass of the source's options.
    """

    kind: ClassVar[str]
    VERSION: ClassVar[int] = 1
    Config: ClassVar[type[DataConfig]]

    @classmethod
    def check(cls, config: Any, layout: str) -> list[Fault]:
        """Return what is wrong with the config beyond types; paths relative to ``data``.

        Args:
            config: The source's config.
            layout: Columns that the task reads: ``tokens`` or ``text``.
        """
        return _common_faults(config)

    @classmethod
    @abstractmethod
    def fingerprint(cls, config: Any) -> str:
        """Return a hash that changes whenever the corpus would; cheap, nothing is parsed.

        Raises:
            DataError: A file that is to be read does not exist.
        """

    @classmethod
    @abstractmethod
    def load(cls, config: Any) -> Corpus:
        """Return the whole corpus; ``max_train`` and its like are applied by the caller.

        Raises:
            DataError: The data cannot be used.
            AssetError: The data is an asset that was not fetched.
        """

    @classmethod
    def _digest(
        cls, config: Any, content: Mapping[str, object], without: Collection[str] = ()
    ) -> str:
        fields = result_fields(config)
        kept = {name: value for name, value in fields.items() if name not in without}
        return digest({"version": cls.VERSION, "config": kept, "content": content})


def _common_faults(config: DataConfig) -> list[Fault]:
    faults = []
    shares = list(config.split)
    if len(shares) != 3 or min(shares) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        message = "expected three shares (train, validation, test) that sum to 1"
        faults.append(Fault("split", f"{message}, got {shares}"))
    elif not (shares[0] > 0 and shares[1] > 0):
        message = "expected a share above 0 for train and for validation"
        faults.append(Fault("split", f"{message}, got {shares}"))
    for name in ("max_train", "max_validation", "max_test"):
        value = getattr(config, name)
        if value is not None and value < 1:
            faults.append(Fault(name, f"expected at least 1 or null for all, got {value}"))
    return faults


def layout_faults(layout: str, *, tokens: bool, what: str) -> list[Fault]:
    """Return the fault of giving a task data of the wrong shape, if it is wrong.

    Args:
        layout: Columns that the task reads: ``tokens`` or ``text``.
        tokens: Whether the data is tokens with tags rather than text with a label.
        what: What to call the data in the message.
    """
    if tokens == (layout == "tokens"):
        return []
    reads, gives = "tokens with tags", "text with a label"
    if tokens:
        reads, gives = gives, reads
    fits = "task=ner" if tokens else "task=classification"
    message = f"the task reads {reads} and cannot use {what}, which gives {gives}; use {fits}"
    return [Fault("kind", f"{message} or other data")]


SOURCES: Registry[type[Source]] = Registry("data.kind", "stagetree.data.sources")
"""Every data source; a new one is a new module in ``stagetree.data.sources``."""
