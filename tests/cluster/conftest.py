"""What the suites that start servers share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session")
def process_number() -> int:
    """The number of this process of pytest, so that the servers of each have ports of their own."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
