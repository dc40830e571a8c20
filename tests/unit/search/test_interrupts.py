import signal

import pytest

from stagetree.core.interrupt import Terminated
from stagetree.search.interrupts import Interrupts


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_a_signal_waits_for_the_end_of_a_write(number: int, error: type[BaseException]) -> None:
    before = signal.getsignal(number)
    written = []
    with Interrupts() as interrupts, pytest.raises(error), interrupts.shield():
        with interrupts.shield():
            signal.raise_signal(number)  # in this thread, and at once
            written.append("half")
        written.append("whole")
    assert written == ["half", "whole"]
    assert signal.getsignal(number) == before


def test_outside_of_writes_a_signal_is_raised_at_once() -> None:
    with Interrupts(), pytest.raises(Terminated):
        signal.raise_signal(signal.SIGTERM)
