"""A redirect leads from https to https, and from this machine to this machine or to https."""

from __future__ import annotations

import pytest

from canopy.zoo.transfer import TransferError, next_address


@pytest.mark.parametrize(
    ("before", "location"),
    [
        ("https://a.org/x", "http://a.org/x"),
        ("https://a.org/x", "http://127.0.0.1/x"),
        ("https://a.org/x", "ftp://a.org/x"),
        ("https://a.org/x", "file:///etc/passwd"),
        ("http://127.0.0.1/x", "http://a.org/x"),
        ("http://127.0.0.1/x", "http://127.0.0.1.a.org/x"),
        ("http://a.org/x", "http://a.org/x"),
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
        ("http://127.0.0.1:80/x", "https://b.org/", "https://b.org/"),
        ("http://localhost/x", "http://[::1]/y", "http://[::1]/y"),
    ],
)
def test_other_redirects_are_followed(before, location, after):
    assert next_address(before, location) == after
