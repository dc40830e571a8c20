import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagetree.training.batches import ShuffledRows, by_length
from stagetree.training.config import TrainingConfig
from stagetree.training.steps import count

LENGTHS = np.random.default_rng(0).lognormal(3, 0.6, 1003).astype(int) + 3


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_every_row_comes_once(lengths, batch_size, epoch):
    sampler = ShuffledRows(lengths, batch_size, seed=1)
    sampler.set_epoch(epoch)
    assert sorted(sampler) == list(range(len(lengths)))
    assert sorted(np.concatenate(by_length(lengths, batch_size))) == list(range(len(lengths)))


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        sampler = ShuffledRows(LENGTHS, 16, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_chance_alone_says_which_rows_share_a_batch():
    order = LENGTHS[list(ShuffledRows(LENGTHS, 16, seed=0))]
    batches = order[: len(order) // 16 * 16].reshape(-1, 16)
    assert (np.diff(batches, axis=1) <= 0).all()
    expected = LENGTHS.std() / 4
    assert 0.7 * expected < batches.mean(axis=1).std() < 1.3 * expected


@pytest.mark.parametrize("batch_size", [8, 16])
def test_micro_batches_make_up_the_same_steps(batch_size):
    plain = count(TrainingConfig(batch_size=batch_size, epochs=1.5), 1003)
    split = count(TrainingConfig(batch_size=batch_size, micro_batch_size=4, epochs=1.5), 1003)
    assert (plain.total, plain.per_epoch) == (split.total, split.per_epoch)
    assert split.accumulation * split.micro_batch == batch_size


def test_evaluations_come_at_exact_fractions():
    steps = count(TrainingConfig(max_steps=7, batch_size=1, evaluations=3), 100)
    assert steps.evaluations == {2: 1 / 3, 5: 2 / 3, 7: 1.0}
    assert count(TrainingConfig(max_steps=1, evaluations=5), 100).evaluations == {1: 1.0}
