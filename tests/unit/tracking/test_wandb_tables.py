from pathlib import Path

import pytest

from stagetree.core.details import Details, Sample
from stagetree.core.reporting import Reporters, StageInfo, StageOutcome
from stagetree.core.summary import StudySummary
from stagetree.core.trials import StageRow, TrialRow
from stagetree.tracking.base import trackers
from stagetree.tracking.wandb_mirror import WandbConfig, WandbTracker
from stagetree.tracking.wandb_session import Mode

PER_CLASS = {
    "NAME": {"precision": 0.5, "recall": 1.0, "f1": 0.667, "support": 4},
    "EMAIL": {"precision": 1.0, "recall": 0.5, "f1": 0.667, "support": 2},
}


def warnings(caplog):
    return sum(record.levelname == "WARNING" for record in caplog.records)


class Behind:
    """Tells what lies behind a result's scores, and remembers how it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, samples):
        self.asked.append(samples)
        return Details(
            PER_CLASS,
            ["NAME", "none"],
            [[3, 1], [2, 0]],
            [Sample(f"text {n}", "NAME: x", "", right=False) for n in range(9)][:samples],
        )


@pytest.fixture
def mirrored(tmp_path, run_info, read_wandb):
    """Return a function that mirrors a run of one stage and reads it back."""

    def run(details, status="complete", **options):
        model = tmp_path / "model"
        model.mkdir(exist_ok=True)
        (model / "weights").write_text("heavy")
        hears = Reporters(trackers(WandbConfig(mode=Mode.offline, **options), tmp_path))
        hears.run_started(run_info)
        stage = StageInfo("finetune", "finetune", 0, 1, "ab" * 32)
        hears.stage_started(stage)
        hears.stage_finished(stage, StageOutcome({"f1": 0.9}, 2.5, model, details))
        hears.run_finished(status, {"value": 0.9})
        (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
        return read_wandb(path)

    return run


def test_the_last_stage_brings_its_classes_confusions_and_samples_along(mirrored):
    tables = mirrored(Behind(), samples=5)["tables"]
    assert tables["tables/per_class"] == [
        {"class": "NAME", **PER_CLASS["NAME"]},
        {"class": "EMAIL", **PER_CLASS["EMAIL"]},
    ]
    counts = {
        (row["Actual"], row["Predicted"]): row["nPredictions"]
        for row in tables["tables/confusion_table"]
    }
    assert counts == {
        ("NAME", "NAME"): 3,
        ("NAME", "none"): 1,
        ("none", "NAME"): 2,
        ("none", "none"): 0,
    }
    assert len(tables["tables/samples"]) == 5
    assert tables["tables/samples"][0] == {
        "text": "text 0",
        "gold": "NAME: x",
        "predicted": "",
        "right": False,
    }


def test_what_wandb_uploads_later_lies_in_the_projects_own_directory(
    mirrored, tmp_path, monkeypatch
):
    monkeypatch.delenv("WANDB_DATA_DIR", raising=False)
    found = mirrored(Behind())
    staged = {path.name for path in (tmp_path / "wandb/artifacts/staging").iterdir()}
    used = {
        Path(entry.local_path).name
        for artifact in found["artifacts"]
        for entry in artifact.manifest.contents
    }
    assert len(used) == 3
    assert used <= staged


@pytest.mark.parametrize(
    ("status", "tables"), [("complete", False), ("pruned", True), ("failed", True)]
)
def test_details_nobody_sees_are_not_worked_out(mirrored, status, tables):
    behind = Behind()
    found = mirrored(behind, status, tables=tables)
    assert behind.asked == []
    assert found["tables"] == {}


def test_details_that_cannot_be_worked_out_are_one_warning(mirrored, caplog):
    def gone(samples):
        raise OSError("the data is gone")

    found = mirrored(gone)
    assert warnings(caplog) == 1
    assert "the data is gone" in caplog.text
    assert found["tables"] == {}
    assert found["exit"] == 0
    assert found["summary"]["status"] == "complete"


def test_where_a_run_belongs_can_be_chosen(mirrored):
    chosen = {
        "project": "p",
        "entity": "e",
        "group": "g",
        "job_type": "confirm",
        "name": "n",
    }
    run = mirrored(None, **chosen)["run"]
    found = (run.project, run.entity, run.run_group, run.job_type, run.display_name)
    assert found == tuple(chosen.values())


def trial(number, value, state="complete", reused=False, **params):
    stage = StageRow("finetune", "finetune", "ab" * 32, 4.0, reused, "/nowhere", {"f1": value})
    return TrialRow(
        number,
        state,
        {"finetune.learning_rate": 1e-3, **params},
        (value, 10.0 + number) if state == "complete" else (),
        (stage,),
        seconds=2.0,
        command=f"python run.py n={number}",
    )


@pytest.fixture
def study(tmp_path, read_wandb):
    """Return a function that tells W&B of a study and reads back its newest run."""
    rows = [
        trial(0, 0.5, **{"finetune.adapter": None}),
        trial(1, 0.7, reused=True, **{"finetune.adapter": "lora"}),
        trial(2, 0.1, state="pruned", reused=True),
    ]
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_text("heavy")
    rows[1] = TrialRow(
        **{
            **vars(rows[1]),
            "stages": [StageRow(**{**vars(rows[1].stages[0]), "model_dir": str(model)})],
        }
    )
    summary = StudySummary(
        name="ner",
        directory=tmp_path / "studies/ner",
        config={"stages": {"finetune": {"epochs": 3}}},
        metrics=("f1", "latency_ms"),
        directions=("maximize", "minimize"),
        rows=rows,
        front=rows[:2],
        importances=lambda: {"finetune.learning_rate": 0.75, "finetune.adapter": 0.25},
        command="python run.py -m +sweep=ner",
    )

    def tell(**options):
        WandbTracker(WandbConfig(mode=Mode.offline, **options), tmp_path).study_finished(summary)
        paths = tmp_path.glob("wandb/offline-run-*/*.wandb")
        return read_wandb(max(paths, key=lambda path: path.stat().st_mtime_ns))

    return tell


def test_a_study_has_a_run_of_its_own_in_the_group_of_its_trials(study):
    found = study()
    assert found["run"].job_type == "study"
    assert found["run"].run_group == "ner"
    assert found["run"].display_name == "ner"
    assert found["run"].notes == "python run.py -m +sweep=ner"
    assert found["config"]["finetune.epochs"] == 3
    assert found["exit"] == 0
    assert study()["run"].run_id == found["run"].run_id


def test_a_study_carries_its_trials_its_front_and_its_importances(study):
    tables = study()["tables"]
    trials = tables["tables/trials"]
    assert [(row["trial"], row["state"], row["f1"]) for row in trials] == [
        (0, "complete", 0.5),
        (1, "complete", 0.7),
        (2, "pruned", None),
    ]
    assert [row["finetune.adapter"] for row in trials] == [None, "lora", None]
    assert {row["finetune.learning_rate"] for row in trials} == {1e-3}
    assert [row["on_front"] for row in trials] == [True, True, False]
    assert [row["trial"] for row in tables["tables/front"]] == [0, 1]
    assert tables["tables/importances_table"] == [
        {"hyperparameter": "finetune.learning_rate", "importance": 0.75},
        {"hyperparameter": "finetune.adapter", "importance": 0.25},
    ]


def test_a_studys_summary_says_what_it_cost_saved_and_found(study):
    summary = study()["summary"]
    assert summary["seconds_spent"] == 6.0
    assert summary["seconds_saved"] == 8.0
    assert summary["stages_reused"] == 2
    assert (summary["trials_complete"], summary["trials_pruned"]) == (2, 1)
    assert summary["best/trial"] == 1
    assert summary["best/f1"] == 0.7
    assert summary["best/finetune.adapter"] == "lora"
    assert summary["best/command"] == "python run.py n=1"
    assert summary["importance/finetune.learning_rate"] == 0.75


def test_the_best_model_goes_along_only_when_it_is_wanted(study):
    assert {artifact.type for artifact in study()["artifacts"]} == {"run_table"}
    (model,) = [one for one in study(model=True)["artifacts"] if one.type == "model"]
    assert model.name == "ner-model"
    assert set(model.aliases) == {"latest", "best"}
    assert [entry.path for entry in model.manifest.contents] == ["weights"]


def test_a_study_that_wandb_cannot_take_is_one_warning(tmp_path, caplog):
    (tmp_path / "wandb").write_text("a file is in the way")
    tracker = WandbTracker(WandbConfig(mode=Mode.offline), tmp_path)
    tracker.study_finished(StudySummary("s", tmp_path, {}, ["f1"], ["maximize"], []))
    assert warnings(caplog) == 1
