"""What is done with a finished search of real pipelines whose trials lie in PostgreSQL."""

from __future__ import annotations

import json
import urllib.request

import pytest

pytestmark = pytest.mark.postgres

SHORT = ("debug=short", "model=tiny", "numerics=fp32", "tracker=none")


@pytest.fixture
def line(command, database: str) -> tuple[str, ...]:
    """A search of two trials that is done."""
    words = (
        "stage=finetune", "stages.finetune.learning_rate=1e-3,3e-3", *SHORT,
        "hydra.sweeper.study_name=s", f"hydra.sweeper.storage='{database}'",
    )  # fmt: skip
    done = command.run("-m", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (command.root / "studies" / "s" / "journal.log").exists()
    return words


def test_every_verb_that_reads_a_search_finds_it(command, line) -> None:
    planned = command.json("plan", "-m", *line)
    assert (planned["stage_executions"], planned["exact"]) == (0, True)
    assert [row["state"] for row in command.json("trials", "s")] == ["complete"] * 2
    compared = command.json("compare", "s:0", "s:1")
    assert compared["config"] == {"finetune.learning_rate": [0.001, 0.003]}
    freed = command.json("store", "gc", "--older-than", "0", "--keep-best", "1", "--yes")
    assert freed["bytes_freed"] > 0
    kept = {row["signature"] for row in command.json("store", "ls")}
    assert kept == {command.json("best", "s")["stages"][-1]["signature"]}


def test_a_search_is_confirmed_with_fresh_seeds(command, line) -> None:
    found = command.json("confirm", "s", "--top", "1", "--seeds", "2")
    assert found["verdict"]
    again = command.json("confirm", "s", "--top", "1", "--seeds", "2")
    assert again == found


def test_the_dashboard_shows_it(command, line) -> None:
    with (
        command.dashboard("s") as (url, _),
        urllib.request.urlopen(f"{url}api/studies", timeout=60) as answer,
    ):
        [study] = json.loads(answer.read())["study_summaries"]
    assert study["study_name"] == "s"
