from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

from stagetree.core.errors import ModelError, OutOfMemory, TrialFailed
from stagetree.training.evaluation import Batches, Evaluator
from stagetree.training.memory import BatchSize, device, out_of_memory, until_it_fits

TOO_MUCH = 1 << 50


def exhaust():
    return torch.empty(TOO_MUCH)


def allocate_with_numpy():
    return np.empty(TOO_MUCH, dtype=np.float64)


@pytest.mark.parametrize("allocate", [exhaust, allocate_with_numpy])
def test_a_real_out_of_memory_is_recognised(allocate):
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        allocate()
    assert out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.93 GB)"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_words_of_other_devices_are_recognised(error):
    assert out_of_memory(error)


def test_an_error_that_was_caused_by_it_is_recognised():
    error = ModelError("the directory cannot be read")
    error.__cause__ = MemoryError()
    assert out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("memory"),
        OutOfMemory("final already"),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_are_not(error):
    assert not out_of_memory(error)


def test_out_of_memory_is_a_failed_trial():
    assert issubclass(OutOfMemory, TrialFailed)


def test_sizes_fall_until_one_fits():
    seen, heard = [], []
    batch = BatchSize(24, "micro", divides=24, halved=heard.append)

    def attempt(size):
        seen.append(size)
        return exhaust() if size > 4 else size

    assert until_it_fits(attempt, batch) == 3
    assert seen == [24, 12, 6, 3]
    assert heard == [12, 6, 3]
    assert until_it_fits(attempt, batch) == 3
    assert seen == [24, 12, 6, 3, 3]


def test_a_failed_attempt_holds_nothing_any_more():
    held = []

    def attempt(size):
        assert not held or held[-1]() is None
        tensor = torch.zeros(100)
        tensor.itself = tensor  # only the collector frees it
        held.append(weakref.ref(tensor))
        return exhaust()

    gc.disable()
    try:
        with pytest.raises(OutOfMemory, match="micro=1 is out of memory"):
            until_it_fits(attempt, BatchSize(8, "micro"))
    finally:
        gc.enable()
    assert len(held) == 4
    assert held[-1]() is None


def test_other_errors_are_raised_at_once():
    with pytest.raises(ZeroDivisionError):
        until_it_fits(lambda size: size // 0, BatchSize(8, "micro"))


def test_evaluation_is_made_again_in_smaller_batches(tokenizer, task, validation_rows):
    heard, sizes = [], []

    def forward(batch):
        sizes.append(len(batch["input_ids"]))
        if sizes[-1] > 7:
            exhaust()
        shape = (*batch["input_ids"].shape, 3)
        # the length of the batch is in the logits, so that they tell how batches were cut
        return np.broadcast_to(batch["input_ids"].numpy()[..., None] * shape[1], shape)

    small = Batches(task, tokenizer, validation_rows, BatchSize(5, "evaluation"))
    expected, gold = small.logits(forward)
    sizes.clear()
    batch = BatchSize(20, "evaluation", halved=heard.append)
    large = Batches(task, tokenizer, validation_rows, batch)
    for _ in range(2):
        logits, again = large.logits(forward)
        assert all(np.array_equal(*pair) for pair in zip(logits, expected, strict=True))
        assert all(np.array_equal(*pair) for pair in zip(again, gold, strict=True))
    assert heard == [10, 5]
    assert sizes == [20, 10, *[5] * 12]


def test_evaluation_that_never_fits_is_out_of_memory(tokenizer, task, validation_rows):
    evaluator = Evaluator(task, tokenizer, validation_rows, ["O"], BatchSize(4, "evaluation"))
    with pytest.raises(OutOfMemory, match="evaluation=1"):
        evaluator(lambda batch: exhaust().numpy())


def test_the_device_has_a_name_and_a_size():
    assert "GiB" in device()
    assert device() == device()
