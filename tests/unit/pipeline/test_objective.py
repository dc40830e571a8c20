from typing import Any

import pytest
from omegaconf import OmegaConf

from stagetree.core.errors import ConfigError, Fault, TrialFailed
from stagetree.core.trials import StageRow
from stagetree.pipeline.objective import Objective, read


def stage(seconds: float, **metrics: float) -> StageRow:
    return StageRow("last", "finetune", "0", seconds, False, "", metrics)


def node(metric: Any, direction: Any, constraints: Any = None) -> tuple[Objective, list[Fault]]:
    faults: list[Fault] = []
    config = {"metric": metric, "direction": direction, "constraints": constraints or {}}
    return read(OmegaConf.create(config), faults), faults


def test_values_are_the_last_stages_and_seconds_are_all_stages() -> None:
    objective, faults = node(["f1", "seconds"], ["maximize", "minimize"])
    assert not faults
    assert objective.name == "f1"
    assert objective.values([stage(2.0, f1=0.9), stage(1.5, f1=0.8)]) == (0.8, 3.5)


def test_an_unknown_metric_and_one_that_is_not_finite_are_refused() -> None:
    objective, _ = node("latency", "minimize")
    with pytest.raises(ConfigError, match="Did you mean 'latency_ms'"):
        objective.values([stage(1.0, latency_ms=3.0)])
    objective, _ = node("loss", "minimize")
    with pytest.raises(TrialFailed, match="objective loss of stage 'last' is nan"):
        objective.values([stage(1.0, loss=float("nan"))])


def test_of_several_metrics_each_unknown_one_is_a_fault() -> None:
    objective, _ = node(["f2", "loss", "latency"], ["maximize", "minimize", "minimize"])
    with pytest.raises(ConfigError) as caught:
        objective.values([stage(1.0, f1=0.5, loss=2.0, latency_ms=3.0)])
    assert [fault.path for fault in caught.value.faults] == ["objective.metric"] * 2
    assert "seconds" in caught.value.faults[0].message


def test_what_cannot_be_resolved_is_a_fault() -> None:
    _, faults = node("${nowhere}", "maximize")
    assert [fault.path for fault in faults] == ["objective"]
    assert "nowhere" in faults[0].message


def test_every_fault_is_told_with_its_path() -> None:
    bounds = {
        "f1": 0.5,
        "bytes": {"most": 5},
        "ms": {"max": "fast"},
        "none": {"min": None},
        "turned": {"min": 3, "max": 1},
        "flag": {"max": True},
        "open": {"min": float("nan"), "max": float("inf")},
        "good": {"min": 0.5},
    }
    _, faults = node(["f1", "f1"], ["maximise"], bounds)
    assert [fault.path for fault in faults] == [
        "objective.direction",
        "objective.direction",
        "objective.metric",
        "objective.constraints.f1",
        "objective.constraints.bytes.most",
        "objective.constraints.ms.max",
        "objective.constraints.none",
        "objective.constraints.turned",
        "objective.constraints.flag.max",
        "objective.constraints.open.min",
        "objective.constraints.open.max",
    ]
    assert "Did you mean 'maximize'" in faults[0].message
    assert "expected a direction for each of f1, f1" in faults[1].message
