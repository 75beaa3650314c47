"""A file on a server that fails, away from proxies and from the logins of the user."""

from __future__ import annotations

import pytest
from faulty_server import serving_badly
from small_downloads import BODY


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No proxy stands between the tests and their server; requests would find this login."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login leak password leak\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))


@pytest.fixture
def remote():
    """A file on a server, as yet without fault."""
    with serving_badly(BODY) as file:
        yield file
