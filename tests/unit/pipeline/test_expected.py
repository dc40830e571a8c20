"""What an experiment scores is written into its file and read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from stagetree.core.errors import ConfigError
from stagetree.pipeline import expected


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    text = expected.line({"f1": 0.8125, "bytes": 22870000.0, "latency_ms": 3.5, "loss": 1e-07})
    file.write_text(f"# @package _global_\n# {text}\ndefaults: []\n")
    found = {one.metric: one for one in expected.read(file)}
    assert set(found) == {"f1", "bytes", "loss"}
    assert (found["f1"].value, found["f1"].tolerance) == (0.8125, 0.02)
    assert found["f1"].met(0.8)
    assert not found["f1"].met(0.78)
    assert found["bytes"].met(22870000 * 1.01)
    assert not found["bytes"].met(22870000 * 1.03)
    assert found["loss"].value == pytest.approx(1e-07, abs=1e-06)


def test_of_clocks_alone_nothing_is_expected(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"# {expected.line({'seconds': 100.0})}\n")
    assert expected.read(file) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("defaults: []\n", "but got 0"), ("# Expected: f1 high within 1\n", "METRIC VALUE within")],
)
def test_a_file_that_expects_nothing_says_how_to(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        expected.read(file)
    assert "f1 0.81 within 0.02" in str(caught.value)
