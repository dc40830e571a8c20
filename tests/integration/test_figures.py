"""Charts of studies that were really searched, read from their journals."""

import json

from stagetree.search.figures import figures
from stagetree.search.results import open_study

LINE = ("-m", "stage=distill", "stages.finetune.learning_rate=1e-3,3e-3",
        "stages.distill.temperature=1,2", "hydra.sweeper.study_name=drawn",
        "debug=short", "model=tiny", "numerics=fp32", "tracker=none")  # fmt: skip


def test_a_pipelines_study_shows_curves_of_both_stages_and_what_it_lacks(command) -> None:
    done = command.run(*LINE)
    assert done.returncode == 0, done.stdout + done.stderr
    drawn = figures(open_study("drawn", command.root / "studies"))
    by_name = {figure.name: figure for figure in drawn.figures}
    assert {"history", "learning-curves", "parallel", "slices", "timeline"} <= set(by_name)
    titles = [one["text"] for one in by_name["learning-curves"].plotly["layout"]["annotations"]]
    assert titles == ["finetune", "distill"]
    assert any(line.startswith("importances: 4 of the 10") for line in drawn.left_out)
    json.dumps([figure.plotly for figure in drawn.figures], allow_nan=False)


def test_any_apps_study_can_be_drawn(shell) -> None:
    shell.run("x=interval(-1,1)", "y=interval(-1,1)", "hydra.sweeper.n_trials=14")
    drawn = figures(open_study("s", shell.study.parent))
    names = {figure.name for figure in drawn.figures}
    assert {"history", "importances", "contour-1", "slices", "distribution"} <= names
    overall = drawn.importances[0]
    assert set(overall.shares) == {"x", "y"}
