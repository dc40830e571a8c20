"""The ``stagetree`` command: what is stored, what was searched, what would run."""

from __future__ import annotations

import sys

from stagetree.core import interrupt
from stagetree.core.errors import ConfigError, StagetreeError


def main() -> None:
    """Run the ``stagetree`` command and exit with its code.

    Exit codes: 0 done, 1 failed, 2 bad configuration or usage, 130 interrupted, 143 terminated.
    """
    from stagetree.cli.command import app

    interrupt.raise_on_sigterm()
    try:
        app()
    except ConfigError as error:
        _say("\n".join(f"error: {fault}" for fault in error.faults))
        sys.exit(2)
    except StagetreeError as error:
        _say(f"error: {error}")
        sys.exit(1)
    except BrokenPipeError:  # the reader, e.g. head, has seen enough
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(interrupt.INTERRUPTED)
    except interrupt.Terminated:
        sys.exit(interrupt.TERMINATED)


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - the command line speaks here
