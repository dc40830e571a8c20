import csv
import io

import pytest

from stagetree.core.trials import TrialRow
from stagetree.report.files import to_csv, to_latex, to_markdown
from stagetree.report.leaderboard import Leaderboard, leaderboard


@pytest.fixture
def board(rows) -> Leaderboard:
    return leaderboard(rows, ["maximize"], ["f1"])


@pytest.fixture
def odd() -> Leaderboard:
    """A table whose text means something to every format."""
    params = {"a_b": "x|y & 50%", "c": None, "d": True}
    rows = [TrialRow(0, "complete", params, (0.5,)), TrialRow(1, "failed", {"a_b": "<b>\\x#{}"})]
    return leaderboard(rows, ["maximize"], ["f_1"])


def test_trials_are_ordered_and_what_is_the_same_in_all_has_no_column(board) -> None:
    assert [line.row.number for line in board.lines] == [1, 4, 0, 3, 2]
    assert "finetune.learning_rate" in board.columns
    assert board.fixed == {"distill.temperature": 2.0, "seed": 13}
    assert {"trial", "f1", "seconds"} <= board.numeric
    assert "state" not in board.numeric


def test_sizes_have_columns_where_they_were_measured(rows, stage) -> None:
    measured = TrialRow(5, "complete", {}, (0.9,), (stage("q", bytes=2e7, latency_ms=3.5),))
    board = leaderboard([*rows, measured], ["maximize"], ["f1"])
    first = board.records()[0]
    assert (first["MB"], first["latency ms"]) == (20.0, 3.5)
    assert board.records()[1]["MB"] is None


def test_csv_has_unrounded_values(board) -> None:
    read = list(csv.DictReader(io.StringIO(to_csv(board))))
    assert [line["trial"] for line in read] == ["1", "4", "0", "3", "2"]
    assert float(read[0]["finetune.learning_rate"]) == 3e-4
    assert float(read[0]["f1"]) == 0.8123
    assert read[4]["f1"] == ""


def test_csv_keeps_any_text(odd) -> None:
    read = list(csv.DictReader(io.StringIO(to_csv(odd))))
    assert [line["a_b"] for line in read] == ["x|y & 50%", "<b>\\x#{}"]


def test_markdown_has_as_many_cells_in_every_row(odd) -> None:
    lines = to_markdown(odd).splitlines()
    bars = [line.replace("\\\\", "").replace("\\|", "").count("|") for line in lines]
    assert set(bars) == {len(odd.columns) + 1}
    assert "<b>" not in to_markdown(odd)


def test_latex_escapes_all_text(odd) -> None:
    text = to_latex(odd)
    assert r"x|y \& 50\%" in text
    assert r"f\_1" in text
    assert r"\textbackslash x\#\{\}" in text.replace("\\textbackslash  ", "\\textbackslash ")
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0]
    rows = [line for line in body.splitlines() if line.strip()]
    unescaped = [line.replace(r"\&", "") for line in rows]
    assert {line.count("&") for line in unescaped} == {len(odd.columns) - 1}
