"""What the tests of the zoo share: a cache of their own, and a file on a server that fails."""

from __future__ import annotations

import pytest
from faulty_server import serving_badly
from small_downloads import BODY


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, away from the user's; no proxy stands between the tests and their server."""
    monkeypatch.setenv("CANOPY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def remote():
    """A file on a server, as yet without fault."""
    with serving_badly(BODY) as file:
        yield file
