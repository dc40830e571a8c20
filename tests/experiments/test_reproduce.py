"""Every experiment says what it scores, and does so when it is run again in full."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from stagetree.pipeline import expected
from stagetree.pipeline.compose import compose

PLACE = Path(__file__).parents[2] / "experiments"
FILES = sorted(PLACE.glob("*.yaml"))
HOURS = 3


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_experiment_says_what_it_scores(file: Path, in_project) -> None:
    wanted = expected.read(file)
    objective = compose(in_project([f"+experiment={file.stem}"])).objective
    assert {one.metric for one in wanted} == set(objective.metrics) - expected.CLOCKS
    assert all(one.tolerance > 0 for one in wanted)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_experiment_is_listed_with_its_line(file: Path) -> None:
    rows = (PLACE / "README.md").read_text(encoding="utf-8").splitlines()
    (row,) = [row for row in rows if row.startswith(f"| [{file.stem}]({file.name}) |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 7
    assert all(cells)
    assert cells[1] == f"`python run.py +experiment={file.stem}`"


@pytest.mark.reproduce
@pytest.mark.timeout(HOURS * 3600)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_experiment_scores_what_it_says(file: Path, in_project, command) -> None:
    line = command.line(f"+experiment={file.stem}", "tracker=none", "progress=false")
    done = subprocess.run(
        line, cwd=PLACE.parent, env=command.environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (summary,) = command.root.glob("outputs/*/*/summary.json")
    value = json.loads(summary.read_text("utf-8"))["summary"]["value"]
    metrics = compose(in_project([f"+experiment={file.stem}"])).objective.metrics
    scored = dict(zip(metrics, value if isinstance(value, list) else [value], strict=True))
    for one in expected.read(file):
        assert one.met(scored[one.metric]), f"expected {one}, got {scored[one.metric]}"
