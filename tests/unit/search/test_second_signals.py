"""What a second signal does to a worker that is ending."""

import signal
import subprocess
import sys

import pytest

ENDING = """
import os, signal, sys
from stagetree.core.interrupt import Terminated
from stagetree.core.stopping import expect_repeats
from stagetree.search.interrupts import Interrupts
if sys.argv[1] == "repeats":
    expect_repeats()
try:
    with Interrupts():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            print("tidied up", flush=True)
except Terminated:
    sys.exit(143)
"""


@pytest.mark.parametrize(
    ("expected", "said", "code"),
    [("repeats", "tidied up", 143), ("none", "", -signal.SIGTERM)],
)
def test_second_signal_kills_unless_repeats_are_expected(expected, said, code) -> None:
    words = [sys.executable, "-c", ENDING, expected]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == (said, code)
