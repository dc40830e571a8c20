"""Model cards: what the hub and a person can read beside every stage's result."""

from __future__ import annotations

from pathlib import Path

import pytest

LINE = ("debug=short", "model=tiny", "numerics=fp32", "tracker=none", "stage=[finetune,quantize]")


@pytest.fixture(scope="module")
def twice(command_at, tmp_path_factory):
    """The results of one line, run in two places."""
    found = []
    for name in ("one", "two"):
        command = command_at(tmp_path_factory.mktemp(name) / "runs")
        done = command.run(*LINE, "stages.finetune.dropout=0.1")
        assert done.returncode == 0, done.stdout + done.stderr
        found.append({row["kind"]: row for row in command.json("store", "ls")})
    return found


def text_of(row) -> str:
    return (Path(row["model_dir"]) / "README.md").read_text()


def test_the_hub_reads_the_card(twice) -> None:
    from huggingface_hub import ModelCard

    row = twice[0]["finetune"]
    data = ModelCard.load(Path(row["model_dir"]) / "README.md").data
    assert data.library_name == "transformers"
    assert data.pipeline_tag == "token-classification"
    assert {"stagetree", "ner", "finetune"} <= set(data.tags)
    scores = {result.metric_type: result.metric_value for result in data.eval_results}
    assert scores["f1"] == pytest.approx(row["metrics"]["f1"], abs=1e-6)
    assert not any("latency" in name for name in scores)


def test_the_card_tells_the_way_to_the_model(twice) -> None:
    text = text_of(twice[0]["quantize"])
    lineage = text.partition("## How it came about")[2]
    assert lineage.index("`finetune` (finetune") < lineage.index("`quantize` (quantize")
    for row in twice[0].values():
        assert row["signature"] in lineage
    assert "`dropout=0.1`" in lineage
    assert "`B-PERSON`" in text
    assert "from transformers import" not in text  # an ONNX graph does not open there


def test_equal_results_have_equal_cards(twice) -> None:
    for kind in ("finetune", "quantize"):
        assert text_of(twice[0][kind]) == text_of(twice[1][kind])


def test_costs_stand_in_the_record(twice) -> None:
    metrics = {kind: row["metrics"] for kind, row in twice[0].items()}
    plain, small = metrics["finetune"], metrics["quantize"]
    assert plain["flops"] == small["flops"] > 0
    assert plain["parameters"] == small["parameters"] >= small["nonzero_parameters"] > 0
    assert small["bytes"] < plain["bytes"] < plain["peak_memory"]
    assert plain["flops"] == twice[1]["finetune"]["metrics"]["flops"]
    assert plain["peak_memory"] == twice[1]["finetune"]["metrics"]["peak_memory"]
