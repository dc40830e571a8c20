from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagetree.training.batches import Shares, ShuffledRows, by_length
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


@pytest.mark.parametrize(
    ("rows", "batch", "total"), [(41, 8, 2), (40, 8, 4), (23, 12, 3), (3, 8, 4)]
)
def test_shares_are_the_batches_dealt_out(rows: int, batch: int, total: int) -> None:
    order = ShuffledRows(list(range(rows)), batch, seed=1)
    shares = [Shares(order, batch, place, total) for place in range(total)]
    for share in shares:
        share.set_epoch(2)
    dealt = [list(share) for share in shares]
    assert [len(share) for share in shares] == [len(own) for own in dealt]
    whole = list(order)
    full = rows - rows % batch
    for start in range(0, full, batch):
        own = slice(start // total, (start + batch) // total)
        assert sorted(chain.from_iterable(one[own] for one in dealt)) == sorted(
            whole[start:][:batch]
        )
    rest = [own[full // total :] for own in dealt]
    if rows % batch >= total:
        assert sorted(chain.from_iterable(rest)) == sorted(whole[full:])
    else:  # each has all of it, so that none is left without a step
        assert rest == [whole[full:]] * total
