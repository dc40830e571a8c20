import json
import math
from pathlib import Path

import numpy as np

from stagetree.core.reporting import StageInfo
from stagetree.tracking.record import LocalRecord, read


def test_a_run_is_recorded_event_by_event(run_info, play):
    play([LocalRecord()], run_info)
    events = read(run_info.directory)
    assert [event["event"] for event in events] == [
        "run_started",
        "stage_started",
        "evaluated",
        "evaluated",
        "stage_finished",
        "run_finished",
    ]
    assert events[0]["config"]["data"]["cache"] == "/somewhere"
    assert events[0]["params"] == {"finetune.learning_rate": 3e-4}
    assert events[2]["metrics"] == {"f1": 0.9, "loss": 0.4}
    assert all(event["time"].endswith("Z") for event in events)


def test_every_event_is_on_the_disk_at_once(run_info):
    record = LocalRecord()
    record.run_started(run_info)
    assert len(read(run_info.directory)) == 1


def test_a_wait_for_another_worker_is_recorded_when_it_begins(run_info):
    record = LocalRecord()
    record.run_started(run_info)
    for seconds in (1.0, 2.0):
        record.stage_waits(StageInfo("finetune", "finetune", 0, 1, "s"), seconds)
    events = read(run_info.directory)
    assert [event["event"] for event in events] == ["run_started", "stage_waits"]
    assert events[1]["name"] == "finetune"


def test_the_summary_names_the_stages_and_the_way_to_run_again(run_info, play):
    play([LocalRecord()], run_info, status="pruned", reuse=True)
    summary = json.loads((run_info.directory / "summary.json").read_text())
    assert summary["status"] == "pruned"
    assert [(stage["name"], stage["reused"]) for stage in summary["stages"]] == [
        ("finetune", False),
        ("distill", True),
    ]
    assert summary["command"] == run_info.command
    assert sorted(path.name for path in run_info.directory.iterdir()) == [
        "record.jsonl",
        "summary.json",
    ]


def test_a_second_attempt_appends_after_a_torn_line(run_info, play):
    record = LocalRecord()
    record.run_started(run_info)
    with (run_info.directory / "record.jsonl").open("ab") as file:
        file.write(b'{"event": "evalu')
    assert [event["event"] for event in read(run_info.directory)] == ["run_started"]

    play([LocalRecord()], run_info)
    events = read(run_info.directory)
    assert [event["attempt"] for event in events if event["event"] == "run_started"] == [1, 2]
    assert len(events) == 7


def test_values_without_a_json_form_are_kept_readable(run_info):
    record = LocalRecord()
    record.run_started(run_info)
    stage = StageInfo("s", "s", 0, 1, "")
    record.evaluated(
        stage, 1.0, {"a": math.nan, "b": -math.inf, "c": np.float32(0.5), "d": Path("/x")}
    )
    text = (run_info.directory / "record.jsonl").read_text().splitlines()[-1]
    metrics = json.loads(text, parse_constant=lambda _: "not strict JSON")["metrics"]
    assert metrics == {"a": "NaN", "b": "-Infinity", "c": 0.5, "d": "/x"}
    assert float(metrics["b"]) == -math.inf


def test_a_directory_without_a_record_has_no_events(tmp_path):
    assert read(tmp_path) == []
