"""Runs and searches that are killed, interrupted, starved and refused."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults
LINE = ("numerics=fp32", "tracker=none", "model=tiny", "debug=short")


def records(root: Path) -> list[dict[str, object]]:
    """Return the records of stored stage results; what stages share has no name."""
    files = (root / "store").glob("[0-9a-f][0-9a-f]/*/record.json")
    return [record for file in files if (record := json.loads(file.read_text()))["name"]]


def in_stage(root: Path, kind: str, others: int) -> Callable[[], bool]:
    """Whether ``others`` results are stored and a further stage has reported something."""

    def check() -> bool:
        try:
            begun = any((root / "store" / "partial").glob("*/scratch/curve.jsonl"))
        except FileNotFoundError:  # a work area went while it was looked through
            return False
        return begun and len(records(root)) == others

    assert kind
    return check


LONG = (
    "stage=distill",
    "data.max_train=600",
    "data.max_validation=40",
    "numerics=fp32",
    "model=tiny",
    "tracker=none",
    "stages.finetune.max_steps=4",
    "stages.finetune.evaluations=1",
    "stages.distill.epochs=8",
    "stages.distill.evaluations=20",
)


def test_a_killed_search_is_finished_by_the_same_line(command) -> None:
    line = (
        "-m",
        *LONG,
        "stages.distill.temperature=interval(1.0,4.0)",
        "hydra.sweeper.n_trials=2",
        "hydra.sweeper.study_name=killed",
        "sampler=random",
    )
    process = command.start(*line)
    command.wait_for(in_stage(command.root, "distill", 1), process)
    process.kill()
    process.wait()
    (before,) = command.json("trials", "killed")
    assert before["state"] == "running"
    (teacher,) = records(command.root)
    done = command.run(*line)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = command.json("trials", "killed")
    assert [row["state"] for row in rows] == ["complete", "complete"]
    assert rows[0]["params"] == before["params"]
    stored = records(command.root)
    assert [row["kind"] for row in stored].count("finetune") == 1
    assert teacher in stored


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_run_says_so_and_is_resumable(command, number, code) -> None:
    process = command.start(*LONG)
    command.wait_for(in_stage(command.root, "distill", 1), process)
    process.send_signal(number)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == code, output
    (first,) = records(command.root)
    done = command.run(*LONG)
    assert done.returncode == 0, done.stdout + done.stderr
    stored = {str(row["kind"]): row for row in records(command.root)}
    assert stored["finetune"] == first


def test_an_interrupted_stage_ends_as_an_uninterrupted_one(command, command_at, tmp_path) -> None:
    process = command.start(*LONG)
    command.wait_for(in_stage(command.root, "distill", 1), process)
    process.kill()
    process.wait()
    assert command.run(*LONG).returncode == 0
    whole = command_at(tmp_path / "whole")
    assert whole.run(*LONG).returncode == 0
    pieces = {row["signature"]: row["metrics"]["f1"] for row in command.json("store", "ls")}
    assert pieces == {row["signature"]: row["metrics"]["f1"] for row in whole.json("store", "ls")}
    for row in command.json("store", "ls"):
        name = "model.safetensors"
        other = whole.root / Path(row["model_dir"]).relative_to(command.root) / name
        assert (Path(row["model_dir"]) / name).read_bytes() == other.read_bytes()


def test_two_lines_at_once_compute_a_shared_stage_once(command) -> None:
    lines = [("stage=finetune", *LINE), ("stage=distill", *LINE)]
    processes = [command.start(*line) for line in lines]
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    assert command.kinds() == {"finetune": 1, "distill": 1}


def test_a_damaged_result_is_set_aside_and_computed_again(command) -> None:
    assert command.run("stage=finetune", *LINE).returncode == 0
    (row,) = command.json("store", "ls")
    weights = Path(row["model_dir"]) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    done = command.run("stage=finetune", *LINE)
    assert done.returncode == 0, done.stdout + done.stderr
    (again,) = command.json("store", "ls")
    assert again["metrics"]["f1"] == row["metrics"]["f1"]
    assert any((command.root / "store" / "quarantine").iterdir())


def test_a_full_disk_is_named_and_loses_nothing(command) -> None:
    assert command.run("stage=finetune", *LINE).returncode == 0
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        f"sys.argv = {command.line('stage=distill', *LINE)[1:]!r}\n"
        "from stagetree.app import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env=command.environment(),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "space" in done.stderr.lower() or "too large" in done.stderr.lower()
    assert command.kinds() == {"finetune": 1}
    assert command.run("stage=distill", *LINE).returncode == 0


def test_a_read_only_store_is_named(command) -> None:
    store = command.root / "store"
    store.mkdir(parents=True)
    script = f'mount --bind {store} {store} && mount -o remount,ro,bind {store} || exit 77; "$@"'
    line = command.line("stage=finetune", *LINE)
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare command to mount a read-only directory with")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *line],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env=command.environment(),
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this machine does not permit private mounts")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "read-only" in done.stderr
    assert "paths.root" in done.stderr


def test_unusable_data_is_refused_with_file_and_line(command, tmp_path) -> None:
    bad = tmp_path / "bad.conll"
    bad.write_text("Anna\tB-PER\n\nLee\tI-PER\n\n" * 3)
    done = command.run("data=files", f"data.path={bad}", "stage=finetune", *LINE)
    assert done.returncode != 0
    assert f"{bad}:3" in done.stderr
    assert "Traceback" not in done.stderr
    one = tmp_path / "one.jsonl"
    one.write_text("".join(json.dumps({"text": f"t{i}", "label": "yes"}) + "\n" for i in range(20)))
    done = command.run(
        "task=classification", "data=files", f"data.path={one}", "stage=finetune", *LINE
    )
    assert done.returncode != 0
    assert "yes" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_directory_without_tokenizer_is_refused(command, tmp_path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    words = [f"model.name={tmp_path / 'model'}", "model.from_scratch=true", "tracker=none"]
    done = command.run(*words, "stage=finetune")
    assert done.returncode == 2
    assert "tokenizer" in done.stderr
