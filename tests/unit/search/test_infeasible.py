import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from stagetree.core.errors import OutOfMemory, TrialFailed
from stagetree.search.infeasible import is_out_of_memory, reason

SPACE = {
    "batch": IntDistribution(1, 64),
    "model": CategoricalDistribution(["small", "large"]),
    "rate": FloatDistribution(0, 1),
}


def too_big(batch: int, model: str, rate: float) -> FrozenTrial:
    return optuna.create_trial(
        state=TrialState.PRUNED,
        params={"batch": batch, "model": model, "rate": rate},
        distributions=SPACE,
        user_attrs={"notes": {"ended": "infeasible"}},
    )


def test_a_region_is_given_up_after_three_trials() -> None:
    trials = [too_big(64, "large", rate) for rate in (0.1, 0.2, 0.3)]
    point = {"batch": 64, "model": "large", "rate": 0.9}
    assert reason(trials[:2], point, SPACE) == ""
    assert reason(trials, point, SPACE) == "3 trials with batch=64, model=large ran out of memory"
    assert reason(trials, {**point, "batch": 32}, SPACE) == ""


def test_without_discrete_parameters_there_is_no_region() -> None:
    assert reason([too_big(64, "large", 0.1)] * 3, {"rate": 0.5}, SPACE) == ""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemory("stage 'finetune' does not fit"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"
        ),
        torch.OutOfMemoryError("CUDA out of memory."),
    ],
)
def test_every_kind_of_too_little_memory_is_known(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_other_failures_are_not_for_lack_of_memory() -> None:
    assert not is_out_of_memory(TrialFailed("loss is nan"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
