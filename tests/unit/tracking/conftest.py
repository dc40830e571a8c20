import json
import struct
from pathlib import Path

import pytest

from stagetree.core.reporting import Reporters, RunInfo, StageInfo, StageOutcome

STAGE = StageInfo(name="finetune", kind="finetune", index=0, total=2, signature="ab" * 32)
REUSED = StageInfo(
    name="distill", kind="distill", index=1, total=2, signature="cd" * 32, reused=True
)


@pytest.fixture
def run_info(tmp_path):
    return RunInfo(
        name="ner/7",
        directory=tmp_path / "trials" / "7",
        config={
            "stages": {"finetune": {"learning_rate": 3e-4, "unfreeze": []}},
            "data": {"kind": "pii", "cache": Path("/somewhere")},
        },
        overrides=["stages.finetune.learning_rate=3e-4"],
        study="ner",
        number=7,
        params={"finetune.learning_rate": 3e-4},
        command="python run.py stages.finetune.learning_rate=3e-4",
    )


@pytest.fixture
def play():
    """Return a function that tells the whole of a small run to reporters."""

    def tell(reporters, run, status="complete", reuse=False, steps=10):
        hears = Reporters(reporters)
        hears.run_started(run)
        for stage in [STAGE, REUSED] if reuse else [STAGE]:
            hears.stage_started(stage)
            for step in range(1, steps + 1):
                hears.stepped(stage, step, steps, {"loss": 1 / step})
            hears.evaluated(stage, 0.5, {"f1": 0.9, "loss": 0.4})
            hears.evaluated(stage, 1.0, {"f1": 0.7, "loss": 0.3})
            hears.stage_finished(stage, StageOutcome({"f1": 0.9}, 2.5, Path("/store/model")))
        hears.run_finished(status, {"f1": 0.9})

    return tell


@pytest.fixture
def read_wandb():
    """Return a reader of ``run-*.wandb``: LevelDB log blocks of protobuf records."""
    return _read


def _read(path):
    from wandb.proto import wandb_internal_pb2

    found = {"history": [], "config": {}, "summary": {}, "axes": {}, "kinds": [], "exit": None}
    found |= {"artifacts": [], "tables": {}}
    for chunk in _chunks(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(chunk)
        kind = record.WhichOneof("record_type")
        found["kinds"].append(kind)
        if kind == "run":
            found["run"] = record.run
            found["config"] |= _items(record.run.config.update)
        elif kind == "history":
            found["history"].append(_items(record.history.item))
        elif kind == "summary":
            found["summary"] |= _items(record.summary.update)
            found["tables"] |= _tables(path.parent, record.summary.update)
        elif kind == "metric":
            found["axes"][record.metric.glob_name] = record.metric.step_metric
        elif kind == "artifact":
            found["artifacts"].append(record.artifact)
        elif kind == "exit":
            found["exit"] = record.exit.exit_code
    return found


def _tables(folder, updates):
    """Return the tables that a record refers to, each row as a mapping."""
    files = {
        item.nested_key[0]: json.loads(item.value_json)
        for item in updates
        if list(item.nested_key)[1:] == ["path"]
    }
    found = {}
    for name, path in files.items():
        table = json.loads((folder / "files" / path).read_text())
        found[name] = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    return found


def _chunks(data):
    assert struct.unpack("<4sHB", data[:7])[:2] == (b":W&B", 0xBEE1)
    position, parts = 7, b""
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def _items(updates):
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in updates}
