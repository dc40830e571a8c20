import pytest

from stagetree.core.errors import ConfigError
from stagetree.core.reporting import StageInfo
from stagetree.tracking import mirror
from stagetree.tracking.base import trackers
from stagetree.tracking.tensorboard import TensorboardConfig

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
plugin_data = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")


@pytest.fixture
def mirrored(tmp_path, run_info, play):
    """Return a function that plays a run and reads back the files as TensorBoard does."""

    def run(config=None, **options):
        play(trackers(config or TensorboardConfig(), tmp_path), run_info, **options)
        found = accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "ner" / "7"))
        found.Reload()
        return found

    return run


def series(found, tag):
    return [(point.step, pytest.approx(point.value)) for point in found.Scalars(tag)]


def hparams(found, tag):
    content = found.SummaryMetadata(f"_hparams_/{tag}").plugin_data.content
    return plugin_data.HParamsPluginData.FromString(content)


def test_a_stage_lies_over_its_steps_and_over_percent(mirrored):
    found = mirrored()
    assert series(found, "finetune/f1") == [(10, 0.9), (10, 0.7)]
    assert series(found, "finetune_by_percent/f1") == [(50, 0.9), (100, 0.7)]
    assert series(found, "finetune/train_loss") == [(1, 1.0), (10, 0.1)]


def test_a_stage_that_took_no_steps_here_lies_over_percent_alone(mirrored):
    found = mirrored(steps=0)
    assert series(found, "finetune_by_percent/f1") == [(50, 0.9), (100, 0.7)]
    assert "finetune/f1" not in found.scalars.Keys()


def test_final_numbers_stand_apart(mirrored):
    found = mirrored()
    assert series(found, "final/finetune.f1") == [(0, 0.9)]
    assert series(found, "final/finetune.seconds") == [(0, 2.5)]


def test_the_trial_is_a_line_of_the_hparams_table(mirrored):
    found = mirrored()
    start = hparams(found, "session_start_info").session_start_info
    assert {key: value.number_value for key, value in start.hparams.items()} == {
        "finetune.learning_rate": 3e-4
    }
    (metric,) = hparams(found, "experiment").experiment.metric_infos
    assert metric.name.tag == "objective/value"


@pytest.mark.parametrize(("status", "code"), [("complete", 1), ("pruned", 1), ("failed", 2)])
def test_the_end_shows_as_status_and_text(mirrored, status, code):
    found = mirrored(status=status)
    assert hparams(found, "session_end_info").session_end_info.status == code
    (text,) = found.Tensors("status")
    assert f"**{status}**" in text.tensor_proto.string_val[0].decode()


def test_the_second_attempt_takes_the_place_of_the_first(mirrored):
    mirrored(status="interrupted")
    found = mirrored()
    assert series(found, "finetune_by_percent/f1") == [(50, 0.9), (100, 0.7)]


def test_the_stages_of_several_seeds_are_series_of_their_own(tmp_path, run_info):
    (_, tracker) = trackers(TensorboardConfig(dir=str(tmp_path / "logs")), tmp_path)
    tracker.run_started(run_info)
    tracker.evaluated(StageInfo("finetune@13", "finetune", 0, 1, ""), 1.0, {"f1": 0.5})
    tracker.run_finished("complete", {"value": 0.5, "std": 0.1})
    found = accumulator.EventAccumulator(str(tmp_path / "logs" / "ner" / "7"))
    found.Reload()
    assert series(found, "finetune_13_by_percent/f1") == [(100, 0.5)]
    assert series(found, "objective/value.std") == [(0, 0.1)]


def test_a_missing_library_is_a_fault_of_the_configuration(in_project, monkeypatch):
    from stagetree.pipeline.compose import compose

    cfg = in_project(["tracker=tensorboard", "model=tiny"])
    monkeypatch.setattr(mirror.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"tracker.kind: .*pip install 'stagetree\[tensorboard\]'"
    ):
        compose(cfg)
