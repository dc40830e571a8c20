from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stagetree.tasks.base import IGNORED
from stagetree.tasks.multitask import MultitaskConfig, MultitaskTask, PartConfig, Sampling
from stagetree.tasks.ner import NerConfig
from stagetree.training.batches import TEACHER_LOGITS
from stagetree.training.mixing import MixedRows, PerTask
from stagetree.training.objectives import CrossEntropy, Distillation

OWN = [np.arange(40), np.arange(40, 50)]


def passes(shares, count, batch_size=4, seed=3):
    rows = MixedRows(np.arange(50) % 7, OWN, np.asarray(shares), batch_size, seed)
    for epoch in range(count):
        rows.set_epoch(epoch)
        indices = list(rows)
        assert len(indices) == len(rows) == 52
        yield np.array(indices).reshape(-1, batch_size)


def test_a_batch_is_of_one_task_with_its_longest_row_first() -> None:
    for batches in passes([0.8, 0.2], 3):
        assert all(len({int(row) >= 40 for row in batch}) == 1 for batch in batches)
        assert all(sorted(batch % 7, reverse=True) == (batch % 7).tolist() for batch in batches)


@pytest.mark.parametrize("shares", [(0.8, 0.2), (0.5, 0.5), (0.97, 0.03)])
def test_shares_hold_in_the_long_run(shares) -> None:
    turns = [sum(int(batch[0]) >= 40 for batch in batches) for batches in passes(shares, 200)]
    assert set(turns) <= {int(13 * shares[1]), int(13 * shares[1]) + 1}
    assert np.mean(turns) == pytest.approx(13 * shares[1], abs=0.15)


def test_every_row_of_a_task_comes_before_one_comes_again() -> None:
    seen: Counter[int] = Counter()
    for batches in passes([0.5, 0.5], 6):
        for batch in batches:
            seen.update(batch.tolist())
            for own in OWN:
                counts = [seen[int(row)] for row in own]
                assert (
                    max(counts) - min(counts) <= 2
                )  # a batch may end one round and begin the next
    assert min(seen.values()) > 0


def test_the_order_depends_on_seed_and_pass_only() -> None:
    first = [batches.tolist() for batches in passes([0.5, 0.5], 3)]
    assert [batches.tolist() for batches in passes([0.5, 0.5], 3)] == first
    assert first[0] != first[1]
    assert [batches.tolist() for batches in passes([0.5, 0.5], 3, seed=4)] != first


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling.proportional, [0.9, 0.1]),
        (Sampling.uniform, [0.5, 0.5]),
        (Sampling.temperature, [0.75, 0.25]),
    ],
)
def test_shares_follow_the_rule(sampling, expected) -> None:
    parts = {name: PartConfig(NerConfig()) for name in ("a", "b")}
    task = MultitaskTask(MultitaskConfig(tasks=parts, sampling=sampling, exponent=0.5))
    assert task.shares([900, 100]).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_the_task_alone_times_its_weight(smoothing) -> None:
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    joint = torch.nn.functional.pad(logits[:, 2:], (2, 0), value=-1e4)
    labels = torch.tensor([3, IGNORED, 2])
    objective = PerTask(CrossEntropy(smoothing), [(0, 2, 9.0), (2, 5, 0.5)])
    found = objective(SimpleNamespace(logits=joint), labels, {})
    alone = SimpleNamespace(logits=logits[:, 2:])
    expected = CrossEntropy(smoothing)(alone, torch.tensor([1, IGNORED, 0]), {})
    assert found == 0.5 * expected


def test_a_teacher_of_several_tasks_teaches_each_its_own_labels() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, taught = (torch.randn(2, 3, generator=generator) for _ in range(2))
    wide = [torch.nn.functional.pad(one, (2, 0), value=-1e4) for one in (logits, taught)]
    objective = PerTask(Distillation(), [(0, 2, 1.0), (2, 5, 1.0)])
    joint = SimpleNamespace(logits=wide[0])
    found = objective(joint, torch.tensor([3, 2]), {TEACHER_LOGITS: wide[1]})
    alone = SimpleNamespace(logits=logits)
    assert found == Distillation()(alone, torch.tensor([1, 0]), {TEACHER_LOGITS: taught})


def test_a_batch_without_labels_teaches_nothing() -> None:
    logits = torch.randn(2, 5, requires_grad=True)
    objective = PerTask(CrossEntropy(), [(0, 5, 1.0)])
    objective(SimpleNamespace(logits=logits), torch.full((2,), IGNORED), {}).backward()
    assert not logits.grad.any()
