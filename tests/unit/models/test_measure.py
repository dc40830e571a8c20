import numpy as np
import pytest
import torch

from stagetree.core.errors import ModelError
from stagetree.models.live_memory import LiveMemory
from stagetree.models.load import load
from stagetree.models.measure import measure

COSTS = {"parameters", "nonzero_parameters", "bytes", "flops", "peak_memory", "throughput"}
COSTS |= {"latency_ms", "latency_ms_p95", "latency_ms_b32", "latency_ms_b32_p95"}
COSTS |= {"latency_threads"}
LENGTH, WIDTH, LAYERS, WIDE = 64, 32, 4, 64
"""Of the tiny BERT; its inputs are as long as it was made for."""


def test_costs_are_measured_and_threads_restored(saved_dir):
    torch.set_num_threads(2)
    try:
        found = measure(saved_dir)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert set(found) == COSTS
    assert found["bytes"] == sum(path.stat().st_size for path in saved_dir.iterdir())
    assert found["parameters"] == load(saved_dir).parameters
    assert 0 < found["latency_ms"] <= found["latency_ms_p95"]
    assert 0 < found["latency_ms_b32"] <= found["latency_ms_b32_p95"]
    assert found["throughput"] == pytest.approx(32e3 / found["latency_ms_b32"])
    assert found["latency_threads"] == 1


def test_a_model_that_is_not_asked_has_a_size_only(saved_dir):
    found, whole = measure(saved_dir, timed=False), measure(saved_dir)
    assert found == {name: whole[name] for name in ("parameters", "nonzero_parameters", "bytes")}


def test_an_open_model_can_be_measured(saved_dir):
    assert measure(load(saved_dir))["parameters"] == measure(str(saved_dir))["parameters"]


def test_operations_are_those_of_the_formula_in_every_form(saved_dir, onnx_dir):
    layer = 2 * LENGTH * (4 * WIDTH * WIDTH + 2 * WIDTH * WIDE) + 4 * LENGTH * LENGTH * WIDTH
    assert measure(saved_dir)["flops"] == LAYERS * layer + 2 * LENGTH * WIDTH * 3
    assert measure(onnx_dir)["flops"] == measure(saved_dir)["flops"]


def test_a_quantised_model_costs_the_same_things(onnx_dir, saved_dir):
    found, whole = measure(onnx_dir), measure(saved_dir)
    assert set(found) == COSTS
    assert found["parameters"] == whole["parameters"]
    # A few small weights become zero in eight bits.
    assert 0.9 * whole["parameters"] < found["nonzero_parameters"] <= whole["parameters"]


def test_zeros_are_not_counted_as_nonzero(saved_dir):
    runner = load(saved_dir)
    before = measure(runner)["nonzero_parameters"]
    weight = runner.model.bert.encoder.layer[0].output.dense.weight.data
    gone = int(torch.count_nonzero(weight))
    weight.zero_()
    assert measure(runner)["nonzero_parameters"] == before - gone


def test_memory_is_that_of_weights_and_live_tensors(saved_dir):
    runner = load(saved_dir)
    with LiveMemory() as memory:
        runner.logits(
            {"input_ids": np.ones((32, 64), int), "attention_mask": np.ones((32, 64), int)}
        )
    tensors = [*runner.model.parameters(), *runner.model.buffers()]
    kept = sum(tensor.nbytes for tensor in tensors)
    assert measure(runner)["peak_memory"] == kept + memory.peak


def test_freed_tensors_are_not_live():
    with LiveMemory() as memory:
        first = torch.zeros(1000)
        second = first + 1
        del first
        third = second.view(10, 100)
        del second
        third = third + 1
    assert memory.peak == 8000


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"stagetree\.json"):
        measure(tmp_path)
