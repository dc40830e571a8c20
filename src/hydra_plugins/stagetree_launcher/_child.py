"""One process of a launcher: ``python -m ..._child PAYLOAD RESULT PARENT``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import cloudpickle

from hydra_plugins.stagetree_launcher._job import run
from stagetree.core.interrupt import (
    INTERRUPTED,
    TERMINATED,
    Terminated,
    end_with_parent,
    raise_on_sigterm,
)


def main() -> int:
    """Run the job of a payload file and leave its result; return the exit code."""
    payload, result = Path(sys.argv[1]), Path(sys.argv[2])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})  # Ray blocks one
    signal.signal(signal.SIGINT, signal.default_int_handler)
    raise_on_sigterm()
    end_with_parent(int(sys.argv[3]))
    try:
        returned = run(payload.read_bytes())
    except KeyboardInterrupt:
        return INTERRUPTED
    except Terminated:
        return TERMINATED
    result.write_bytes(cloudpickle.dumps(returned))
    return 0


if __name__ == "__main__":
    sys.exit(main())
