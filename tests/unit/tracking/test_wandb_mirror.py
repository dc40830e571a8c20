import re
from pathlib import Path

import pytest

from stagetree.core.reporting import SEEDS, Reporters, StageInfo, StageOutcome
from stagetree.tracking.base import trackers
from stagetree.tracking.wandb_mirror import WandbConfig
from stagetree.tracking.wandb_session import Mode


@pytest.fixture
def mirrored(tmp_path, run_info, play, read_wandb):
    """Return a function that plays a run offline and reads back the files W&B wrote."""

    def run(**options):
        config = WandbConfig(mode=Mode.offline, tags=["mine"])
        play(trackers(config, tmp_path), run_info, **options)
        return [read_wandb(path) for path in sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"))]

    return run


def test_a_run_has_flat_names_and_an_axis_a_stage(mirrored):
    (found,) = mirrored()
    assert found["run"].project == "stagetree"
    assert found["run"].run_group == "ner"
    assert found["run"].job_type == "trial"
    assert found["run"].display_name == "ner/7"
    assert found["run"].notes == "python run.py stages.finetune.learning_rate=3e-4"
    config = {key: value for key, value in found["config"].items() if key != "_wandb"}
    assert config == {
        "finetune.learning_rate": 3e-4,
        "finetune.unfreeze": [],
        "data.kind": "pii",
        "data.cache": "/somewhere",
    }
    assert found["axes"] == {"finetune/*": "finetune/fraction"}


def test_evaluations_lie_on_the_axis_and_the_summary_has_the_final_metrics(mirrored):
    (found,) = mirrored()
    scored = [row for row in found["history"] if "finetune/f1" in row]
    assert [(row["finetune/fraction"], row["finetune/f1"]) for row in scored] == [
        (0.5, 0.9),
        (1.0, 0.7),
    ]
    assert scored[0]["finetune/step"] == 10
    summary = found["summary"]
    assert summary["finetune/f1"] == 0.9
    assert summary["finetune/seconds"] == 2.5
    assert summary["finetune/reused"] is False
    assert summary["status"] == "complete"


def test_training_steps_are_thinned_out(mirrored):
    (found,) = mirrored(steps=500)
    assert sum("finetune/train_loss" in row for row in found["history"]) == 2  # first and last


@pytest.mark.parametrize(
    ("status", "tags", "code"),
    [
        ("complete", ["mine"], 0),
        ("pruned", ["mine", "pruned"], 0),
        ("failed", ["failed", "mine"], 1),
        ("interrupted", ["mine"], 1),
    ],
)
def test_the_end_of_a_run_shows_in_tags_and_exit_code(mirrored, status, tags, code):
    (found,) = mirrored(status=status)
    assert sorted(found["run"].tags) == tags
    assert found["exit"] == code
    assert ("preempting" in found["kinds"]) == (status == "interrupted")


def test_a_run_that_reuses_a_stage_is_tagged(mirrored):
    (found,) = mirrored(reuse=True)
    assert "reused" in found["run"].tags
    assert found["summary"]["distill/reused"] is True


def test_the_stages_of_a_run_over_seeds_have_names_that_wandb_can_sort_by(
    tmp_path, run_info, read_wandb
):
    hears = Reporters(trackers(WandbConfig(mode=Mode.offline), tmp_path))
    hears.run_started(run_info)
    for index, score in enumerate([0.5, 0.7]):
        stage = StageInfo(f"finetune@{index}", "finetune", index, 3, "ab" * 32)
        hears.stage_started(stage)
        hears.stepped(stage, 6, 6, {"loss": 1.0})
        hears.evaluated(stage, 1.0, {"f1": score})
        hears.stage_finished(stage, StageOutcome({"f1": score}, 2.5, Path("/store/model")))
        hears.evaluated(StageInfo(SEEDS, SEEDS, 2, 3, ""), (index + 1) / 2, {"f1": score})
    hears.run_finished("complete", {"value": 0.6})
    (found,) = [read_wandb(path) for path in tmp_path.glob("wandb/offline-run-*/*.wandb")]
    names = ["finetune_0", "finetune_1", "seeds"]
    assert found["axes"] == {f"{name}/*": f"{name}/fraction" for name in names}
    scored = [
        (row["seeds/fraction"], row["seeds/f1"]) for row in found["history"] if "seeds/f1" in row
    ]
    assert scored == [(0.5, 0.5), (1.0, 0.7)]
    assert found["summary"]["finetune_0/f1"] == 0.5
    keys = {key for row in found["history"] for key in row if not key.startswith("_")} - {"value"}
    assert "finetune_1/step" in keys
    assert all(re.fullmatch(r"[a-zA-Z_]\w*/\w+", key) for key in keys)


def test_the_second_attempt_continues_under_the_same_id(mirrored):
    mirrored(status="interrupted")
    first, second = mirrored()
    assert first["run"].run_id == second["run"].run_id
    assert second["exit"] == 0


def test_the_console_stays_quiet(mirrored, capfd):
    mirrored()
    out, err = capfd.readouterr()
    assert out == ""
    assert err == ""


def test_disabled_by_the_environment_writes_nothing(
    tmp_path, run_info, play, monkeypatch, read_wandb
):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    play(trackers(WandbConfig(), tmp_path), run_info)
    assert not (tmp_path / "wandb").exists()
    assert (run_info.directory / "summary.json").exists()
