"""A redirect leads from https to https, and from this machine to this machine or to https."""

from __future__ import annotations

import pytest

from geo.downloads.addresses import is_sealed, next_address
from geo.downloads.errors import TransferError


@pytest.mark.parametrize(
    ("before", "location"),
    [
        ("https://a.org/x", "http://a.org/x"),
        ("https://a.org/x", "http://127.0.0.1/x"),
        ("https://a.org/x", "ftp://a.org/x"),
        ("https://a.org/x", "file:///etc/passwd"),
        ("http://127.0.0.1/x", "http://a.org/x"),
        ("http://127.0.0.1/x", "http://127.0.0.1.a.org/x"),
        ("http://127.0.0.1/x", r"http://a.org\@127.0.0.1/x"),
        ("http://a.org/x", "http://a.org/x"),
        (r"http://a.org\@127.0.0.1/x", r"http://a.org\@127.0.0.1/x"),
    ],
)
def test_a_redirect_stays_on_https(before, location):
    with pytest.raises(TransferError, match="is not https: expected https all the way"):
        next_address(before, location)


@pytest.mark.parametrize(
    ("before", "location", "after"),
    [
        ("https://a.org/x/y", "z", "https://a.org/x/z"),
        ("https://a.org/x", "https://b.org/", "https://b.org/"),
        ("https://a.org/x", r"https://b.org\@a.org/", "https://b.org/%5C@a.org/"),
        ("https://a.org/x", "https://b.org/y?s=%2B%3D&t", "https://b.org/y?s=%2B%3D&t"),
        ("http://127.0.0.1:80/x", "https://b.org/", "https://b.org/"),
        ("http://localhost/x", "http://[::1]/y", "http://[::1]/y"),
    ],
)
def test_other_redirects_are_followed(before, location, after):
    assert next_address(before, location) == after


@pytest.mark.parametrize("location", ["http://[/x", "https://:443/x", "https://*.org/"])
def test_what_is_no_address_is_refused(location):
    with pytest.raises(TransferError, match="is no address: expected one that begins with https"):
        next_address("https://a.org/x", location)


def test_a_message_holds_no_login_and_no_signature():
    with pytest.raises(TransferError, match=r"^http://a\.org/x is not https") as error:
        next_address("https://a.org/", "http://ada:secret@a.org/x?signature=secret#secret")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "sealed"),
    [
        ("https://a.org/x", True),
        ("http://127.0.0.1:80/x", True),
        ("http://localhost/x", True),
        ("http://a.org/x", False),
        ("http://localhost.a.org/x", False),
        ("ftp://127.0.0.1/x", False),
    ],
)
def test_nobody_listens_to_https_or_to_this_machine(url, sealed):
    assert is_sealed(url) == sealed
