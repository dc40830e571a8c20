"""What an experiment's row says of the trial: mean and deviation over seeds, own or confirmed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stagetree.cli.export import HEADING, TABLE, Origin, confirmation, export
from stagetree.core.trials import StageRow, TrialRow
from stagetree.pipeline import commandline, expected
from stagetree.pipeline.compose import compose

WORDS = ["stage=finetune", "model=tiny", "debug=short", "numerics=fp32"]


@pytest.fixture
def exported(in_project, tmp_path: Path):
    """Exports a trial that ran with some seeds and scored so; returns its row's cells."""

    def make(seeds: list[int], scores: list[float]) -> list[str]:
        words = [*WORDS, f"seeds={seeds}".replace(" ", "")] if seeds else WORDS
        nodes = compose(commandline.load(words)).nodes
        stages = [
            StageRow(node.name, node.stage.kind, node.signature, 1.5, False, "", {"f1": score})
            for node, score in zip(nodes, scores, strict=True)
        ]
        command = " ".join(["python run.py", *words])
        mean = sum(scores) / len(scores)
        row = TrialRow(4, "complete", {}, [mean], stages, command=command)
        file = tmp_path / "experiments" / "a.yaml"
        file.parent.mkdir(exist_ok=True)
        export(Origin("s", tmp_path, row, ["f1"], None), file)
        assert expected.read(file) == [expected.Expected("f1", round(mean, 6), 0.02)]
        lines = file.with_name(TABLE).read_text(encoding="utf-8").splitlines()
        (last,) = lines[lines.index(HEADING[1]) + 1 :]
        return [cell.strip() for cell in last.strip("|").split("|")]

    return make


def test_a_row_says_command_commit_data_score_seeds_and_cost(exported) -> None:
    name, command, commit, data, score, seeds, cost = exported([], [0.5])
    assert (name, command) == ("[a](a.yaml)", "`python run.py +experiment=a`")
    assert (commit, data) == ("unknown", "pii, 96 training examples")
    assert (score, seeds, cost) == ("f1 0.5000 (validation, debug=short)", "13", "1.5 s")


def test_over_several_seeds_it_is_mean_and_deviation(exported) -> None:
    cells = exported([1, 2, 3], [0.5, 0.6, 0.7])
    assert cells[4:] == ["f1 0.6000 ± 0.1000 (validation, debug=short)", "1, 2, 3", "4.5 s"]


def test_a_confirmation_with_more_seeds_counts_instead(exported, tmp_path: Path) -> None:
    default = {"trial": None, "values": [0.1, 0.1]}
    found = [
        {"metric": "f1", "seeds": [1, 2], "candidates": [default, {"trial": 4, "values": [0, 0]}]},
        {"metric": "f1", "seeds": [7, 8], "candidates": [{"trial": 4, "values": [0.4, 0.6]}]},
        {"metric": "f1", "seeds": [7, 8], "candidates": [default, {"trial": 4, "values": []}]},
        {"metric": "bytes", "seeds": [7, 8], "candidates": [{"trial": 4, "values": [1, 2]}]},
    ]
    (tmp_path / "confirm.json").write_text(json.dumps({"confirmations": found}))
    assert exported([], [0.5])[4:6] == [
        "f1 0.5000 ± 0.1414 (validation, debug=short)",
        "7, 8 (confirmed)",
    ]
    assert exported([1, 2, 3], [0.5, 0.6, 0.7])[5] == "1, 2, 3"


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"confirmations": [{"seeds": [1], "candidates": [{"trial": 4}]}]}']
)
def test_a_confirmation_that_is_not_understood_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "confirm.json").write_text(text)
    assert confirmation(tmp_path, 4, "f1") is None
    assert confirmation(tmp_path / "none", 4, "f1") is None
