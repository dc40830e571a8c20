"""Which GPUs and threads the processes of a launch get."""

import pytest

from hydra_plugins.stagetree_launcher._placement import (
    gpu_sets,
    sharing,
    thread_limits,
    visible_gpus,
)
from stagetree.core.errors import ConfigError


@pytest.mark.parametrize(
    ("visible", "devices"),
    [
        ("0,1", ["0", "1"]),
        (" 3 , 1", ["3", "1"]),
        ("GPU-5ac2,MIG-7d1e", ["GPU-5ac2", "MIG-7d1e"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),
    ],
)
def test_gpus_are_those_that_cuda_would_see(visible: str, devices: list[str]) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": visible}) == devices


@pytest.mark.parametrize(
    ("size", "sets"),
    [
        (None, ["a", "b", "c", "MIG-d", "e"]),
        (1, ["a", "b", "c", "MIG-d", "e"]),
        (2, ["a,b", "c,MIG-d"]),
        (5, ["a,b,c,MIG-d,e"]),
        (0, [""]),
    ],
)
def test_sets_of_gpus_are_disjoint(size: int | None, sets: list[str]) -> None:
    assert gpu_sets(["a", "b", "c", "MIG-d", "e"], size, "path") == sets


def test_more_gpus_than_there_are_is_a_fault() -> None:
    with pytest.raises(ConfigError) as error:
        gpu_sets(["0", "1"], 4, "hydra.launcher.gpus_per_worker")
    assert str(error.value) == (
        "hydra.launcher.gpus_per_worker: expected 0 to 2, the visible GPUs, but got 4"
    )


def test_where_no_gpu_was_found_none_is_hidden() -> None:
    assert gpu_sets([], 2, "path") == []


@pytest.mark.parametrize(
    ("workers", "sets", "said"),
    [
        (2, ["0", "1"], ""),
        (3, ["0", "1"], "3 workers share 2 GPUs"),
        (2, ["0"], "2 workers share 1 GPU"),
        (3, ["0,1", "2,3"], "3 workers share 2 sets of 2 GPUs"),
        (9, [], ""),
        (9, [""], ""),
    ],
)
def test_sharing_is_said(workers: int, sets: list[str], said: str) -> None:
    assert sharing(workers, sets) == said


def test_limits_of_threads_in_the_environment_stay_unless_asked_otherwise() -> None:
    environment = {"OMP_NUM_THREADS": "7"}
    shared = thread_limits(environment, 10_000, None)
    assert shared["OMP_NUM_THREADS"] == "7"
    assert shared["MKL_NUM_THREADS"] == "1"
    assert set(thread_limits(environment, 2, 3).values()) == {"3"}
