"""Runs that are mirrored: the same results, and the mirror's own files."""

from __future__ import annotations

import pytest

SHORT = ("stage=finetune", "debug=short", "model=tiny", "numerics=fp32", "progress=false")


@pytest.mark.slow
def test_a_search_is_mirrored_and_its_results_are_as_without(command) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    line = ("-m", "stages.finetune.learning_rate=1e-3,3e-3", *SHORT)
    names = {}
    for tracker in ("tensorboard", "none"):
        done = command.run(*line, f"tracker={tracker}", f"hydra.sweeper.study_name={tracker}")
        assert done.returncode == 0, done.stdout + done.stderr
        trials = command.json("trials", tracker)
        names[tracker] = [(trial["values"], trial["stages"][0]["signature"]) for trial in trials]
    assert names["tensorboard"] == names["none"]
    for number, (values, _) in enumerate(names["none"]):
        place = command.root / "tensorboard" / "tensorboard" / str(number)
        found = accumulator.EventAccumulator(str(place)).Reload()
        assert [point.value for point in found.Scalars("objective/f1")] == pytest.approx(values)
        assert found.Scalars("finetune/train_loss")


def test_options_of_a_tracker_are_checked_first(command) -> None:
    done = command.run(*SHORT, "tracker=mlflow", "tracker.timeout=0", "tracker.tracking_uri=x")
    assert done.returncode == 2
    assert "tracker.timeout: expected at least 1 second but got 0" in done.stderr
    assert not (command.root / "store").exists()
