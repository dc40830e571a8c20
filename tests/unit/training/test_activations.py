from __future__ import annotations

import os

import numpy as np
import pytest

from stagetree.training.activations import ActivationStore

LENGTHS = np.array([2, 3])
GIGABYTES = 1e-9 * 1000
ROWS = [np.full((2, 4), 1.5, dtype=np.float32), np.full((3, 4), 2.5, dtype=np.float32)]


def never():
    pytest.fail("expected what is kept")
    yield


def test_kept_row_by_row(tmp_path):
    store = ActivationStore(tmp_path / "a", 1)
    store.get("key", LENGTHS, 4, ROWS)
    kept = store.get("key", LENGTHS, 4, never())
    assert all(np.array_equal(kept[row], ROWS[row]) for row in range(2))


@pytest.mark.parametrize("damage", [b"", b"no array"])
def test_damaged_file_is_made_again(tmp_path, damage):
    store = ActivationStore(tmp_path, 1)
    store.get("key", LENGTHS, 4, ROWS)
    (tmp_path / "key.npy").write_bytes(damage)
    assert np.array_equal(store.get("key", LENGTHS, 4, ROWS)[1], ROWS[1])


def test_those_used_longest_ago_make_room(tmp_path):
    store = ActivationStore(tmp_path, GIGABYTES)
    for age, key in enumerate(["new", "old", "older"]):
        store.get(key, LENGTHS, 4, ROWS)
        os.utime(tmp_path / f"{key}.npy", (1e9 - age, 1e9 - age))
    held = store.get("old", LENGTHS, 4, never())
    for key in ("a", "b", "c"):
        store.get(key, LENGTHS, 4, ROWS)
    left = {path.stem for path in tmp_path.glob("*.npy")}
    assert "older" not in left
    assert {"b", "c"} <= left
    assert sum(path.stat().st_size for path in tmp_path.glob("*")) <= 1000
    assert np.array_equal(held[0], ROWS[0])


def test_interrupted_fill_leaves_nothing(tmp_path):
    def interrupted():
        yield ROWS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ActivationStore(tmp_path, 1).get("key", LENGTHS, 4, interrupted())
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_is_refused(tmp_path, caplog):
    store = ActivationStore(tmp_path / "absent", GIGABYTES)
    assert store.fits(50, 4)
    assert not store.fits(100, 4)
    assert not store.fits(100, 4)
    assert len(caplog.records) == 1
    assert str(tmp_path) in caplog.text
