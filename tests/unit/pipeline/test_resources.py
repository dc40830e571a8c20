"""What a trial runs on: checked with the rest of the configuration, and part of signatures."""

from __future__ import annotations

import pytest

from stagetree.core.errors import ConfigError
from stagetree.pipeline.compose import compose
from stagetree.pipeline.resources import Resources

LINE = ("stage=quantize", "model=tiny", "numerics=fp32")
TWO = "resources.processes_per_trial=2"


def faults(in_project, *words: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        compose(in_project([*LINE, *words]))
    return {fault.path: fault.message for fault in caught.value.faults}


def test_all_faults_at_once(in_project) -> None:
    found = faults(
        in_project,
        "resources.processes_per_trial=0",
        "resources.gpus_per_trial=-1",
        "resources.patience=0",
        "store.keep_best=0",
    )
    assert set(found) == {
        "resources.processes_per_trial",
        "resources.gpus_per_trial",
        "resources.patience",
        "store.keep_best",
    }


def test_a_batch_must_be_shared_out_evenly(in_project) -> None:
    wrong = ("resources.gpus_per_trial=-1", "stages.finetune.batch_size=33")
    found = faults(in_project, TWO, *wrong)
    assert found.pop("resources.gpus_per_trial") == "expected at least 0 GPUs but got -1"
    message = found.pop("stages.finetune.batch_size")
    assert message.startswith("expected a multiple of the 2 processes of a trial")
    assert message.endswith("but got 33; 34 is one")
    assert not found


def test_not_more_processes_than_gpus(in_project) -> None:
    found = faults(in_project, "resources.gpus_per_trial=2", "resources.processes_per_trial=4")
    message = "expected at most one process for each of 2 GPUs but got 4"
    assert found == {"resources.processes_per_trial": message}


def test_what_needs_the_whole_model_is_refused_where_it_is_shared_out(in_project) -> None:
    found = faults(
        in_project,
        TWO,
        "resources.strategy=fsdp",
        "stage=prune",
        "stages.finetune.adapter.method=lora",
        "stages.finetune.l2=0.1",
        "stages.prune.method=magnitude",
        "stages.prune.epochs=1",
    )
    assert set(found) == {
        "stages.finetune.adapter",
        "stages.finetune.l2",
        "stages.prune.method",
    }


def test_one_process_for_each_gpu(in_project) -> None:
    assert compose(in_project([*LINE, "resources.gpus_per_trial=2"])).resources.processes == 2
    assert compose(in_project([*LINE])).resources.processes == 1


def test_only_what_several_processes_compute_has_another_signature(in_project) -> None:
    one = compose(in_project([*LINE])).nodes
    same = compose(in_project([*LINE, "resources.strategy=fsdp"])).nodes
    two = compose(in_project([*LINE, TWO])).nodes
    assert [node.signature for node in one] == [node.signature for node in same]
    assert two[0].signature != one[0].signature
    assert two[0].fields["processes"] == 2
    assert "processes" not in two[1].fields  # quantising is one process's work


@pytest.mark.parametrize(
    ("resources", "visible", "paths"),
    [
        (Resources(processes=2), 0, []),
        (Resources(processes=2, gpus=2), 2, []),
        (Resources(gpus=2), 1, ["resources.gpus_per_trial"]),
        (Resources(processes=2), 1, ["resources.processes_per_trial"]),
    ],
)
def test_gpus_that_are_not_there(resources: Resources, visible: int, paths: list[str]) -> None:
    if not paths:
        resources.check_machine(visible)
        return
    with pytest.raises(ConfigError) as caught:
        resources.check_machine(visible)
    assert [fault.path for fault in caught.value.faults] == paths
    assert f"({visible})" in str(caught.value)
