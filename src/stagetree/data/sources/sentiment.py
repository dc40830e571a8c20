"""Sentiment of movie review sentences, from the mean rating of twenty people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import AssetError, DataError, Fault
from stagetree.data import assets
from stagetree.data.config import DataConfig
from stagetree.data.corpus import Corpus
from stagetree.data.sources.base import SOURCES, Source, layout_faults
from stagetree.data.splits import stratified

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ASSET = "sentiment"
_FILE = "movieReviewSnippets_GroundTruth.txt"
_HIGHEST = 4.0


@dataclass
class SentimentConfig(DataConfig):
    """Options of the movie review sentences.

    Attributes:
        kind: ``sentiment``.
        neutral_band: Sentences whose mean rating (-4..4) lies within this distance of 0 are
            left out: the raters did not agree on a side.
    """

    kind: str = "sentiment"
    neutral_band: float = 0.5


@SOURCES.register("sentiment")
class SentimentSource(Source):
    """Labels ``positive`` and ``negative``; 10,043 of the 10,605 sentences by default.

    Data: Hutto and Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of
    Social Media Text", ICWSM 2014 (MIT).
    """

    kind = "sentiment"
    Config: ClassVar[type[DataConfig]] = SentimentConfig

    @classmethod
    def check(cls, config: Any, layout: str) -> list[Fault]:
        """See :meth:`Source.check`."""
        faults = super().check(config, layout)
        faults += layout_faults(layout, tokens=False, what="data=sentiment")
        if not 0 <= config.neutral_band < _HIGHEST:
            message = f"expected a distance from 0 up to below 4, got {config.neutral_band}"
            faults.append(Fault("neutral_band", message))
        try:
            assets.asset_dir(_ASSET)
        except AssetError as error:
            faults.append(Fault("kind", str(error)))
        return faults

    @classmethod
    def fingerprint(cls, config: Any) -> str:
        """See :meth:`Source.fingerprint`."""
        return cls._digest(config, {"asset": assets.revision(_ASSET)})

    @classmethod
    def load(cls, config: Any) -> Corpus:
        """See :meth:`Source.load`."""
        import datasets

        texts, labels = _sentences(assets.asset_dir(_ASSET) / _FILE, config.neutral_band)
        split = stratified(labels, list(config.split), config.split_seed)

        def rows(numbers: Sequence[int]) -> datasets.Dataset:
            columns = {
                "text": [texts[at] for at in numbers],
                "label": [labels[at] for at in numbers],
            }
            return datasets.Dataset.from_dict(columns)

        return Corpus(
            name="sentiment",
            train=rows(split.train),
            validation=rows(split.validation),
            test=rows(split.test),
            fingerprint=cls.fingerprint(config),
        )


def _sentences(path: Path, neutral_band: float) -> tuple[list[str], list[str]]:
    texts: list[str] = []
    labels: list[str] = []
    seen: set[str] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        rating, text = _parts(path, number, line)
        if abs(rating) <= neutral_band or text in seen:  # a repeated one could cross splits
            continue
        seen.add(text)
        texts.append(text)
        labels.append("positive" if rating > 0 else "negative")
    return texts, labels


def _parts(path: Path, number: int, line: str) -> tuple[float, str]:
    fields = line.rstrip("\r").split("\t")
    if len(fields) == 3:
        try:
            rating = float(fields[1])
        except ValueError:
            rating = math.nan
        if math.isfinite(rating):
            return rating, " ".join(fields[2].split())
    raise DataError(f"{path}:{number}: expected number, mean rating and text, got {line!r}")
