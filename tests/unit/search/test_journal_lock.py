"""The journal's lock: one writer, also after pauses and deaths, and beside plain Optuna."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from stagetree.search import journal
from stagetree.search.journal import MendingJournal
from stagetree.search.journal_lock import JournalLock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "journal.log"
    file.touch()
    return file


def test_it_excludes_plain_optuna_and_is_excluded_by_it(path: Path) -> None:
    ours, theirs = JournalLock(path, 60), JournalFileSymlinkLock(str(path))
    for first, second in ((ours, theirs), (theirs, ours)):
        first.acquire()
        waiting = threading.Thread(target=second.acquire)
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        first.release()
        waiting.join(20)
        assert not waiting.is_alive()
        second.release()
    assert [file.name for file in path.parent.iterdir()] == ["journal.log"]


def test_a_dead_holders_lock_is_broken_also_when_it_was_named_by_a_relative_path(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent.parent)
    relative = Path(path.parent.name) / path.name
    JournalFileSymlinkLock(str(relative)).acquire()  # and never released
    lock = JournalLock(relative, 0.3)
    lock.acquire()
    assert lock.held()
    lock.release()


def test_a_paused_holder_knows_that_it_lost_and_leaves_its_successor_alone(path: Path) -> None:
    paused, next_one = JournalLock(path, 0.2), JournalLock(path, 0.2)
    paused.acquire()
    next_one.acquire()
    assert not paused.held()
    paused.release()
    assert next_one.held()
    next_one.release()


def test_only_the_lock_that_was_seen_to_stay_is_broken(path: Path) -> None:
    dead, slow, quick = (JournalLock(path, 0.1) for _ in range(3))
    dead.acquire()
    mark = slow._look()
    assert mark is not None
    quick.acquire()
    slow._end(mark)
    assert quick.held()


def test_a_writer_that_lost_the_lock_before_its_write_writes_once_it_has_it_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = MendingJournal(path)
    real, robbed = journal.mend, []

    def pause(file: Path) -> None:
        real(file)
        if not robbed:  # what a successor that waited for too long does
            robbed.append(1)
            link = path.with_name("journal.log.lock")
            link.unlink()
            time.sleep(0.01)
            link.symlink_to(path)
            threading.Timer(0.3, link.unlink).start()

    monkeypatch.setattr(journal, "mend", pause)
    writer.append_logs([{"op": 1}])
    assert path.read_text() == '{"op":1}\n'
    assert not path.with_name("journal.log.lock").is_symlink()


def test_plain_optuna_reads_and_goes_on_with_the_file(path: Path) -> None:
    study = optuna.create_study(storage=JournalStorage(MendingJournal(path)), study_name="s")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    plain = JournalStorage(JournalFileBackend(str(path)))
    optuna.load_study(study_name="s", storage=plain).optimize(lambda trial: 1.0, n_trials=1)
    study = optuna.load_study(study_name="s", storage=JournalStorage(MendingJournal(path)))
    assert len(study.trials) == 3
