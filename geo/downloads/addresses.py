"""Addresses that may be asked: https all the way, or http on this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urljoin, urlsplit

from requests import PreparedRequest

from geo.downloads.errors import TransferError


def next_address(before: str, location: str) -> str:
    """Return where a redirect leads.

    Args:
        before: the address that redirects.
        location: where to, absolute or relative.

    Returns:
        The absolute address: https, or http on this machine from http on this machine.

    Raises:
        TransferError: it leads to an address that nobody vouches for.
    """
    url = _as_asked(before, location)
    if urlsplit(url).scheme == "https" or (_is_plain_and_near(before) and _is_plain_and_near(url)):
        return url
    msg = f"{_without_secrets(url)} is not https: expected https all the way"
    raise TransferError(msg)


def is_sealed(url: str) -> bool:
    """Whether nobody can listen in on what an address is told."""
    return urlsplit(url).scheme == "https" or _is_plain_and_near(url)


def _as_asked(before: str, location: str) -> str:
    r"""Return an absolute address as requests asks it.

    Of `https://a.org\@b.org` requests asks a.org, and urlsplit alone would see b.org.

    Raises:
        TransferError: it is none.
    """
    request = PreparedRequest()
    try:
        request.prepare_url(urljoin(before, location), None)
    except ValueError as error:  # InvalidURL and MissingSchema are such
        msg = f"{location!r} is no address: expected one that begins with https"
        raise TransferError(msg) from error
    return request.url or ""


def _is_plain_and_near(url: str) -> bool:
    """Whether an address is http on this machine, where no one can listen in."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "http":
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _without_secrets(url: str) -> str:
    """Return an address for a message: without a login and without the signature of a query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()
