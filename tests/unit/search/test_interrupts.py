"""Signals to a worker; in processes of their own, for a signal that is not caught ends those."""

import signal
import subprocess
import sys

import pytest

WRITING = """
import signal, sys
from stagetree.search.interrupts import Interrupts
number, written = int(sys.argv[1]), []
before = signal.getsignal(number)
try:
    with Interrupts() as interrupts, interrupts.shield():
        with interrupts.shield():
            signal.raise_signal(number)
            written.append("half")
        written.append("whole")
except BaseException as error:
    same = signal.getsignal(number) == before
    print(*written, type(error).__name__, "handler given back" if same else "", flush=True)
"""
BETWEEN_WRITES = """
import signal
from stagetree.core.interrupt import Terminated
from stagetree.search.interrupts import Interrupts
with Interrupts():
    try:
        signal.raise_signal(signal.SIGTERM)
        print("not heard", flush=True)
    except Terminated:
        print("ended", flush=True)
"""


def said(program: str, *words: str) -> str:
    line = [sys.executable, "-c", program, *words]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, "Terminated")]
)
def test_a_signal_waits_for_the_end_of_a_write(number: int, error: str) -> None:
    assert said(WRITING, str(int(number))) == f"half whole {error} handler given back"


def test_outside_of_writes_a_signal_is_raised_at_once() -> None:
    assert said(BETWEEN_WRITES) == "ended"
