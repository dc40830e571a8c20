"""A part of the configuration that was read once is read again as the same values."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import OmegaConf

from stagetree.core.errors import Fault
from stagetree.pipeline.typed import typed


@dataclass
class Inner:
    steps: list[int] = field(default_factory=list)


@dataclass
class Options:
    rate: float
    inner: Inner = field(default_factory=Inner)


def test_what_is_done_to_one_reading_does_not_show_in_the_next() -> None:
    node = OmegaConf.create({"rate": 0.5, "inner": {"steps": [1, 2]}})
    faults: list[Fault] = []
    first = typed(node, Options, "options", faults)
    assert first is not None
    first.rate = 0.0
    first.inner.steps.append(3)
    assert typed(node, Options, "options", faults) == Options(0.5, Inner([1, 2]))
    assert not faults


def test_values_that_only_look_alike_are_read_each_by_itself() -> None:
    faults: list[Fault] = []
    whole = typed(OmegaConf.create({"rate": 1}), Options, "options", faults)
    wrong = typed(OmegaConf.create({"rate": "one"}), Options, "options", faults)
    assert whole == Options(1.0)
    assert wrong is None
    assert [fault.path for fault in faults] == ["options.rate"]


def test_faults_are_told_every_time_and_by_the_path_asked_for() -> None:
    node = OmegaConf.create({"rate": "???", "inner": {"stepz": [1]}})
    for path in ("one", "two", "one"):
        faults: list[Fault] = []
        assert typed(node, Options, path, faults) is None
        assert [fault.path for fault in faults] == [f"{path}.rate", f"{path}.inner"]
