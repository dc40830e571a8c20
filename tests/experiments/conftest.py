"""Experiments run in full only when they are asked for: ``pytest -m reproduce``."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what takes minutes unless the marker is named."""
    if "reproduce" in str(config.option.markexpr):
        return
    skipped = pytest.mark.skip(reason="runs in full for minutes: pytest -m reproduce")
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("reproduce"):
            item.add_marker(skipped)
