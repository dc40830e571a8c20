"""Workers that are killed, and that meet, while they keep checkpoints for other runs."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from stagetree.pipeline import unfinished

pytestmark = pytest.mark.faults

KEEPER = """
import os, sys
from pathlib import Path
from stagetree.core import atomic
from stagetree.pipeline import trunks

place, name, links = Path(sys.argv[1]), "a" * 64, sys.argv[2] == "links"
if not links:  # a file system where every file must be copied

    def refuse(*paths):
        raise OSError("no links here")

    atomic.os.link = refuse
kept = trunks.StageTrunks(place / "store", None, "data", 1e12)
step = 0
while True:
    step += 1
    made = place / str(os.getpid()) / f"step-{step:09d}"
    made.mkdir(parents=True, exist_ok=True)
    for file in ("a", "b", "c"):
        if not (made / file).exists():
            atomic.write_bytes(made / file, file.encode() * 300_000)
    kept.keep(name, made, fork=True)
    print(step, flush=True)
"""


@pytest.mark.parametrize("kind", ["links", "copies"])
def test_a_killed_worker_leaves_whole_checkpoints_and_litter_that_is_collected(
    start, tmp_path: Path, kind: str
) -> None:
    workers = [start(KEEPER, tmp_path, kind) for _ in range(2)]
    for worker in workers:
        for _ in range(5):
            assert worker.stdout.readline(), worker.communicate()[1]
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    family = tmp_path / "store" / "trunks" / ("a" * 64)
    whole = sorted(family.glob("step-*"))
    assert len(whole) >= 5
    for place in whole:
        sizes = {path.name: path.stat().st_size for path in place.iterdir()}
        sizes.pop(unfinished.FORK, None)
        assert sizes == dict.fromkeys("abc", 300_000)
    unfinished.clean(tmp_path / "store", -1, dry=False)
    assert not family.exists()


def test_a_worker_without_room_goes_on(start, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("no directory")
    worker = start(KEEPER, tmp_path, "links")
    assert [worker.stdout.readline() for _ in range(2)] == ["1\n", "2\n"]
    worker.kill()
    assert worker.communicate()[1].count("cannot keep a checkpoint for other runs") == 1


HORIZONS = (
    "stage=finetune",
    "model=tiny",
    "numerics=fp32",
    "tracker=none",
    "data.max_train=400",
    "data.max_validation=20",
    "stages.finetune.schedule=warmup_stable_decay",
    "stages.finetune.warmup_steps=5",
    "stages.finetune.evaluate_every=1",
)


def forks(command) -> dict[int, int]:
    """Return by epochs after which step a stored training began."""
    found = {}
    for file in (command.root / "store").glob("[0-9a-f][0-9a-f]/*/record.json"):
        record = json.loads(file.read_text())
        found[record["config"]["epochs"]] = record.get("forked", {}).get("step", 0)
    return found


def test_lines_at_once_that_differ_in_length_train_their_trunk_once(command) -> None:
    lines = [(*HORIZONS, f"stages.finetune.epochs={epochs}") for epochs in (3, 6)]
    processes = [command.start(*line) for line in lines]
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    assert sorted(step > 0 for step in forks(command).values()) == [False, True]


def test_who_waits_for_a_trunk_says_so_and_goes_on_when_the_other_one_is_killed(command) -> None:
    first = command.start(*HORIZONS, "stages.finetune.epochs=12")
    command.wait_for(lambda: any((command.root / "store").glob("trunks/*/step-*")), first)
    first.send_signal(signal.SIGSTOP)
    second = command.start(*HORIZONS, "stages.finetune.epochs=10")
    said = iter(second.stdout.readline, "")
    assert any("[1/1] finetune  waits for another worker" in line for line in said)
    first.kill()
    output, _ = second.communicate(timeout=300)
    assert second.returncode == 0, output
    [(epochs, step)] = forks(command).items()
    assert (epochs, step > 0) == (10, True)
