"""Stages that really run out of memory: the system grants the process only so much."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="only Linux limits what a process may hold"
    ),
]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{number}" for number in range(60))]
LIMITS = Path("cache") / "memory_limits.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with a small BERT for long inputs."""
    import torch
    import transformers

    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=1024,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.BertModel(config).save_pretrained(tmp_path / "model")
    vocab = {word: index for index, word in enumerate(WORDS)}
    transformers.BertTokenizerFast(vocab=vocab).save_pretrained(tmp_path / "model")
    return tmp_path


@pytest.fixture
def starved(root: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that runs ``starved.py`` and returns what it prints."""

    def run(room: int, micro_batch_size: int = 0) -> dict[str, Any]:
        done = subprocess.run(
            [
                sys.executable,
                str(Path(__file__).with_name("starved.py")),
                str(root),
                str(room),
                str(micro_batch_size),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    return run


def known(root: Path) -> dict[str, Any]:
    [entry] = json.loads((root / LIMITS).read_text(encoding="utf-8")).values()
    assert isinstance(entry, dict)
    return entry


def test_a_starved_stage_ends_as_if_it_had_been_asked_to_be_frugal(starved, root) -> None:
    # Seen to fit: 2 examples at a time in 250 MiB, 4 in 420, 8 in 650.
    first = starved(room=420)
    assert first["error"] is None
    limit = known(root)
    micro = limit["micro_batch_size"]
    assert micro in {2, 4, 8}
    assert first["said"][0] == (
        "stages.long.micro_batch_size=16 does not fit into memory, going on with 8"
    )
    assert first["said"][-1].endswith(f"going on with {micro}")

    again = starved(room=420)
    assert again == {"said": [], "error": None, "weights": first["weights"]}

    (root / LIMITS).unlink()
    asked = starved(room=0, micro_batch_size=micro)
    assert asked == {"said": [], "error": None, "weights": first["weights"]}
    assert not (root / LIMITS).exists()


def test_what_never_fits_fails_and_at_last_at_once(starved, root) -> None:
    for attempt in (1, 2):  # one example was seen not to fit in 130 MiB
        name, message = starved(room=90)["error"]
        assert name == "OutOfMemory"
        assert "stage 'long' does not fit into the memory of" in message
        assert "batch_size=16, max_length=1024" in message
        assert known(root)["failures"] == attempt
        assert known(root)["micro_batch_size"] == 1
    third = starved(room=90)
    assert third["said"] == []
    assert f"delete {root / LIMITS} to try again" in third["error"][1]
    assert known(root)["failures"] == 2
