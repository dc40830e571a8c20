import pytest
import torch

from stagetree.core.errors import ModelError
from stagetree.models.load import load
from stagetree.models.measure import measure


def test_costs_are_measured_and_threads_restored(saved_dir):
    torch.set_num_threads(2)
    try:
        found = measure(saved_dir)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert set(found) == {"parameters", "bytes", "latency_ms", "latency_ms_p95"}
    assert found["bytes"] == sum(path.stat().st_size for path in saved_dir.iterdir())
    assert found["parameters"] == load(saved_dir).parameters
    assert 0 < found["latency_ms"] <= found["latency_ms_p95"] < 1000


def test_an_open_model_can_be_measured(saved_dir):
    assert measure(load(saved_dir))["parameters"] == measure(str(saved_dir))["parameters"]


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"stagetree\.json"):
        measure(tmp_path)
