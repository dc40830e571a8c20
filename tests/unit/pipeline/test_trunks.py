"""Runs that train the same trunk at the same time: one trains it, the others wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stagetree.pipeline.nodes import Node
from stagetree.pipeline.trunks import StageTrunks
from stagetree.stages.finetune import Finetune, FinetuneConfig

NAME = "a" * 64
Make = Callable[..., StageTrunks]


class GaveUpError(Exception):
    pass


def late(seconds: float) -> None:
    raise GaveUpError


@pytest.fixture
def make(tmp_path: Path) -> Make:
    config = FinetuneConfig()
    node = Node("a", "a", Finetune, config, {}, {}, (), 1, "digest")

    def made(waiting: Callable[[float], None] = lambda seconds: None) -> StageTrunks:
        return StageTrunks(tmp_path / "store", node, "data", 1e9, waiting)

    return made


@pytest.fixture
def leave(tmp_path: Path) -> Callable[[StageTrunks, int], None]:
    """Leave a checkpoint after so many steps."""

    def left(trunks: StageTrunks, step: int) -> None:
        made = tmp_path / "work" / f"step-{step:09d}"
        made.mkdir(parents=True)
        (made / "weights").write_bytes(b"1")
        trunks.keep(NAME, made, fork=False)

    return left


def soon(act: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(0.6, act)
    timer.start()
    return timer


def test_a_run_waits_until_the_other_one_leaves_the_trunk(make: Make) -> None:
    waited: list[float] = []
    one, other = make(), make(waited.append)
    one.claim(NAME, [10, 15], 0)
    start = time.perf_counter()
    soon(one.release)
    other.claim(NAME, [10, 20, 30], 0)
    seconds = time.perf_counter() - start
    assert seconds > 0.5
    assert sum(waited) == pytest.approx(seconds, abs=0.2)
    third = make(pytest.fail)
    other.release()
    third.claim(NAME, [10], 0)  # whoever waited held it, and gave it back


def test_a_shorter_run_waits_for_the_last_checkpoint_that_it_can_use(
    make: Make, leave: Callable[[StageTrunks, int], None]
) -> None:
    one, other = make(), make()
    one.claim(NAME, [10, 20, 30, 35], 0)
    leave(one, 10)
    timer = soon(lambda: leave(one, 20))
    other.claim(NAME, [10, 20, 25], 0)
    timer.join()
    assert [place.name for place in other.before(NAME, 25)] == ["step-000000020", "step-000000010"]
    other.release()
    with pytest.raises(GaveUpError):  # the other one still holds it
        make(late).claim(NAME, [40], 0)


@pytest.mark.parametrize(("steps", "reached"), [([5], 0), ([10, 20], 20), ([12], 10)])
def test_no_run_waits_for_what_is_of_no_use(make: Make, steps: list[int], reached: int) -> None:
    one = make()
    one.claim(NAME, [10, 20, 30], 0)
    make(pytest.fail).claim(NAME, steps, reached)


def test_a_run_without_a_word_from_the_other_one_waits_for_all_of_the_trunk(
    make: Make, tmp_path: Path
) -> None:
    one = make()
    one.claim(NAME, [10], 0)
    (tmp_path / "store" / "locks" / f"{NAME}.lock.steps").write_text("{")
    with pytest.raises(GaveUpError):
        make(late).claim(NAME, [20], 0)


def test_where_nothing_can_be_written_nobody_waits(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "store").write_text("no directory")
    trunks = make(pytest.fail)
    trunks.claim(NAME, [10], 0)
    trunks.claim(NAME, [10], 0)
    trunks.release()
    assert caplog.text.count("cannot keep a checkpoint for other runs") == 1
