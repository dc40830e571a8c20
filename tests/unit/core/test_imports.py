"""Large imports: the collector rests while they come and leaves them alone afterwards."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import gc, json, sys
from stagetree.core.imports import large_imports

if sys.argv[1] == "off":
    gc.disable()
seen = []
with large_imports():
    seen.append(gc.isenabled())
after = [gc.get_freeze_count()]
with large_imports():
    import decimal
    import email.message
after.append(gc.get_freeze_count())
try:
    with large_imports():
        import there_is_no_such_module
except ImportError:
    seen.append(gc.isenabled())
print(json.dumps({"seen": seen, "frozen": after}))
"""


def run(way: str) -> dict[str, list[int]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, way], capture_output=True, text=True, check=True
    )
    found: dict[str, list[int]] = json.loads(done.stdout)
    return found


def test_only_new_modules_are_left_alone_and_the_collector_goes_on() -> None:
    found = run("on")
    assert found["seen"] == [False, True]
    before, after = found["frozen"]
    assert before == 0
    assert after > 1000


def test_a_collector_that_was_off_stays_off() -> None:
    assert run("off")["seen"] == [False, False]
