"""OpenVINO and NNCF without their telemetry."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

_TELEMETRY = "openvino_telemetry"


@contextlib.contextmanager
def untracked() -> Iterator[None]:
    """Hide OpenVINO's telemetry package inside the block, so that nobody is told of anything.

    OpenVINO and NNCF take it as not installed when they are first imported in the block. They
    would otherwise write a client id into the home directory when imported, and report calls.
    """
    known = sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # the documented way to hide one
    try:
        yield
    finally:
        del sys.modules[_TELEMETRY]
        if known is not None:
            sys.modules[_TELEMETRY] = known
