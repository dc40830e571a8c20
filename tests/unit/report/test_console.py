import contextlib
import io
import logging
import os
import pty
import sys
from pathlib import Path

from stagetree.core.reporting import RunInfo, StageInfo, StageOutcome
from stagetree.report.console import ConsoleProgress

FIRST = StageInfo("finetune", "finetune", 0, 2, "")
SECOND = StageInfo("distill", "distill", 1, 2, "", reused=True)


def play(progress):
    for stage in (FIRST, SECOND):
        progress.stage_started(stage)
        progress.stepped(stage, 3, 10, {"loss": 0.5})
        progress.evaluated(stage, 0.4, {"loss": 0.31, "f1": 0.712})
        progress.stage_finished(stage, StageOutcome({"f1": 0.8}, 12.3, Path("/x")))
    progress.run_finished("complete", {})


def test_without_a_terminal_one_line_an_event():
    stream = io.StringIO()
    play(ConsoleProgress("f1", stream=stream))
    assert stream.getvalue().splitlines() == [
        "[1/2] finetune  starts",
        "[1/2] finetune   40%  f1 0.712  loss 0.310",
        "[1/2] finetune  done in 12.3 s  f1 0.800",
        "[2/2] distill  reused, 12.3 s saved  f1 0.800",
    ]


def test_a_stage_that_waits_says_so_once():
    stream = io.StringIO()
    progress = ConsoleProgress("f1", stream=stream)
    for seconds in (1.0, 2.0):
        progress.stage_waits(FIRST, seconds)
    progress.stage_started(FIRST)
    assert stream.getvalue().splitlines() == [
        "[1/2] finetune  waits for another worker that computes what it needs",
        "[1/2] finetune  starts",
    ]


def test_progress_goes_to_standard_error(capsys):
    play(ConsoleProgress())
    out, err = capsys.readouterr()
    assert out == ""
    assert "f1 0.712" in err


def test_silent_says_nothing(capsys):
    play(ConsoleProgress(silent=True))
    assert capsys.readouterr() == ("", "")


def test_a_closed_stream_ends_no_run():
    stream = _Broken()
    play(ConsoleProgress(stream=stream))
    assert stream.tried == 4


def _drain(terminal):
    os.set_blocking(terminal, False)
    read = b""
    with contextlib.suppress(BlockingIOError):
        while more := os.read(terminal, 4096):
            read += more
    return read.decode()


class _Broken(io.StringIO):
    tried = 0

    def write(self, text):
        self.tried += 1
        raise BrokenPipeError


def test_on_a_terminal_a_bar_comes_and_goes_and_logs_stay_whole(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", buffering=1) as terminal:
        monkeypatch.setattr(sys, "__stderr__", terminal)
        monkeypatch.setattr(sys, "stderr", terminal)
        handler = logging.StreamHandler(terminal)
        root = logging.getLogger()
        root.addHandler(handler)
        try:
            progress = ConsoleProgress("f1")
            progress.stage_started(FIRST)
            progress.stepped(FIRST, 3, 10, {"loss": 0.5})
            progress.evaluated(FIRST, 0.4, {"f1": 0.712})
            assert handler.stream is not terminal
            root.error("a message that must stay whole")
            progress.stage_finished(FIRST, StageOutcome({"f1": 0.8}, 12.3, Path("/x")))
            progress.run_finished("complete", {})
            assert handler.stream is terminal
            assert sys.stderr is terminal
        finally:
            root.removeHandler(handler)
        terminal.flush()
        shown = _drain(ours)
    os.close(ours)
    assert "3/10" in shown
    assert "a message that must stay whole\r\n" in shown
    assert shown.rstrip().endswith("[1/2] finetune  done in 12.3 s  f1 0.800")
    assert "\x1b[?25h" in shown  # the cursor is back


def test_a_worker_that_shares_a_terminal_names_trial_and_computed_stages_only(tmp_path):
    stream = io.StringIO()
    progress = ConsoleProgress("f1", brief=True, stream=stream)
    progress.run_started(RunInfo("study/3", tmp_path, {}, study="study", number=3))
    for name, reused in (("finetune", True), ("distill", False)):
        stage = StageInfo(name, name, 0, 2, "0" * 64, reused)
        progress.stage_started(stage)
        progress.stepped(stage, 1, 2, {"loss": 1.0})
        progress.evaluated(stage, 0.5, {"f1": 0.5})
        progress.stage_finished(stage, StageOutcome({"f1": 0.5}, 12.0, tmp_path))
    assert stream.getvalue() == "trial 3  [1/2] distill  done in 12.0 s  f1 0.500\n"
