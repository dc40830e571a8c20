"""Named entities in customer messages: real templates filled with invented identities."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import AssetError, Fault
from stagetree.data import assets
from stagetree.data.config import DataConfig
from stagetree.data.corpus import Corpus
from stagetree.data.sources import pii_templates
from stagetree.data.sources.base import SOURCES, Source, layout_faults
from stagetree.data.sources.pii_values import Identity, Pools
from stagetree.data.splits import Split, shuffled, stratified

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from datasets import Dataset

    from stagetree.data.sources.pii_templates import Template

_ASSET = "pii"
_LONGEST_COMPANY = 40


@dataclass
class PiiConfig(DataConfig):
    """Options of the PII entity data.

    Attributes:
        kind: ``pii``.
        split: Shares of the templates, identities and companies that each split may use.
        train_size: Training sentences to make.
        validation_size: Validation sentences to make.
        test_size: Test sentences to make.
    """

    kind: str = "pii"
    split: list[float] = field(default_factory=lambda: [0.6, 0.2, 0.2])
    train_size: int = 2000
    validation_size: int = 400
    test_size: int = 400


@SOURCES.register("pii")
class PiiSource(Source):
    """Fills the templates of presidio-research (MIT) with its invented identities.

    No template, identity or company is used by two splits; countries and nationalities are.
    Sentence ``i`` of a split depends on the seed and ``i`` only, so a larger size keeps the
    sentences of a smaller one.
    """

    kind = "pii"
    Config: ClassVar[type[DataConfig]] = PiiConfig

    @classmethod
    def check(cls, config: Any, layout: str) -> list[Fault]:
        """See :meth:`Source.check`."""
        faults = super().check(config, layout)
        faults += layout_faults(layout, tokens=True, what="data=pii")
        for name in ("train_size", "validation_size", "test_size"):
            if getattr(config, name) < 1:
                faults.append(Fault(name, f"expected at least 1, got {getattr(config, name)}"))
        if min(config.split, default=0) <= 0:
            faults.append(Fault("split", f"expected shares above 0, got {list(config.split)}"))
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
        directory = assets.asset_dir(_ASSET)
        shares, seed = list(config.split), config.split_seed
        text = (directory / "templates.txt").read_text(encoding="utf-8")
        templates = pii_templates.parse(text)
        identities = _identities(directory / "FakeNameGenerator.com_3000.csv")
        companies = _companies(directory / "companies_and_organizations.csv")
        nations = _rows(directory / "nationalities.csv")
        licences = [row["us_driver_license"] for row in _rows(directory / "us_driver_licenses.csv")]
        by_template = pii_templates.divide(templates, shares, seed)
        by_identity = stratified([0] * len(identities), shares, seed)
        by_company = stratified([0] * len(companies), shares, seed)

        def split(name: str) -> Dataset:
            pools = Pools(
                [identities[at] for at in _rows_of(by_identity, name)],
                [companies[at] for at in _rows_of(by_company, name)],
                nations,
                licences,
            )
            usable = [templates[at] for at in _rows_of(by_template, name)]
            return _sentences(usable, pools, getattr(config, f"{name}_size"), f"{seed}/{name}")

        return Corpus(
            name="pii",
            train=split("train"),
            validation=split("validation"),
            test=split("test"),
            fingerprint=cls.fingerprint(config),
        )


def _rows_of(split: Split, name: str) -> list[int]:
    rows: list[int] = getattr(split, name)
    return rows


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def _identities(path: Path) -> list[Identity]:
    """Read the identities, one of each full name, so that no name can be in two splits."""
    unique: dict[tuple[str, str], Identity] = {}
    for row in _rows(path):
        if row["CountryFull"] == "Greenlander":  # the file's one wrong country name
            row["CountryFull"] = "Greenland"
        unique.setdefault((row["GivenName"].casefold(), row["Surname"].casefold()), row)
    return list(unique.values())


def _companies(path: Path) -> list[str]:
    """Read the companies, without repetitions and without fund names of half a line."""
    unique: dict[str, str] = {}
    for row in _rows(path):
        name = row["organization"].strip()
        if 1 < len(name) <= _LONGEST_COMPANY:
            unique.setdefault(name.casefold(), name)
    return list(unique.values())


def _sentences(templates: Sequence[Template], pools: Pools, size: int, seed: str) -> Dataset:
    import datasets

    columns: dict[str, list[list[str]]] = {"tokens": [], "tags": []}
    turn = 0
    while len(columns["tokens"]) < size:
        for at in shuffled(len(templates), f"{seed}/round/{turn}"):
            if turn and not templates[at].placeholders:
                continue  # would only repeat a sentence of the first round
            rng = Random(f"{seed}/{turn}/{at}")
            tokens, tags = templates[at].fill(rng, pools)
            columns["tokens"].append(tokens)
            columns["tags"].append(tags)
        turn += 1
    return datasets.Dataset.from_dict({name: rows[:size] for name, rows in columns.items()})
