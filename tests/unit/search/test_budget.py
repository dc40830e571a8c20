import time
from collections.abc import Mapping
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from stagetree.search.budget import Budget


def trial(seconds: float, state: TrialState = TrialState.COMPLETE, **notes: object) -> FrozenTrial:
    noted: Mapping[str, object] = {"seconds": seconds, **notes}
    value = 1.0 if state == TrialState.COMPLETE else None
    return optuna.create_trial(state=state, value=value, user_attrs={"notes": noted})


def test_without_limits_everything_fits() -> None:
    assert Budget().refuses([trial(1e9)]) == ""


def test_a_trial_that_would_not_end_in_time_is_not_started() -> None:
    lengths = [trial(10), trial(10), trial(60), trial(60)]
    assert Budget(timeout=100).refuses(lengths) == ""
    reason = Budget(timeout=100, start=time.monotonic() - 50).refuses(lengths)
    assert reason == "50 s of the timeout of 100 s are left and a trial takes about 60 s"


def test_workers_of_one_line_share_its_time(tmp_path: Path) -> None:
    place = tmp_path / "study" / "line"
    first = Budget(timeout=100).begun(place)
    place.write_text(repr(float(place.read_text()) - 90))
    second = Budget(timeout=100).begun(place)
    lengths = [trial(10)] * 4
    assert first.refuses(lengths) == ""
    assert second.refuses(lengths).startswith("10 s of the timeout of 100 s are left")
    assert Budget(timeout=100).begun(tmp_path / "another").refuses(lengths) == ""


def test_the_first_trial_starts_in_any_time_left() -> None:
    assert Budget(timeout=5).refuses([]) == ""
    assert Budget(timeout=5, start=time.monotonic() - 6).refuses([]) != ""


def test_copies_say_nothing_of_how_long_a_trial_takes() -> None:
    assert Budget(timeout=50).refuses([trial(90), *[trial(0, copy_of=0)] * 9]) != ""


def test_device_hours_count_all_trials_and_devices() -> None:
    half_hours = [trial(900, devices=2), trial(1800, TrialState.PRUNED)]
    assert Budget(device_hours=2).refuses(half_hours) == ""
    assert "1 of 1 device hours" in Budget(device_hours=1).refuses(half_hours)


def test_running_trials_are_expected_to_take_what_others_took() -> None:
    running = optuna.create_trial(state=TrialState.RUNNING)
    done = trial(1800)
    assert Budget(device_hours=1.5).refuses([done, running]) == ""
    assert "1.5 of 1.5" in Budget(device_hours=1.5).refuses([done, running, running])


def test_what_an_earlier_version_ran_was_paid_for_then() -> None:
    earlier = trial(7200)
    earlier.set_user_attr("imported_from", "old#0")
    assert Budget(device_hours=2).refuses([earlier]) == ""


def test_a_trial_counts_for_all_the_devices_that_it_keeps_busy() -> None:
    half_an_hour = trial(1800, devices=4)
    assert Budget(device_hours=4, reserved=4).refuses([half_an_hour]) == ""
    assert "2 of 3 device hours" in Budget(device_hours=3, reserved=4).refuses([half_an_hour])
