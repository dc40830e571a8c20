import pytest

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
