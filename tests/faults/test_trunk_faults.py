"""Workers that are killed, and that meet, while they keep checkpoints for other runs."""

from __future__ import annotations

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
