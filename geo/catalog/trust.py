"""Where a catalog may point: never at files or networks nearer to this machine than itself.

Covered: what an href says. Local files in every spelling (`file://`, absolute, Windows and GDAL's
`/vsi...` paths; a relative path leads to the server of its document and never elsewhere), schemes
that no reader of imagery needs, loopback, link-local and private addresses in every spelling that
system libraries read (`127.1`, `0x7f.1`, `2130706433`, IPv4 inside IPv6), and names that are known
inside one network only.

Not covered: what a public name resolves to (anyone may give a name the address 127.0.0.1), and
where a server redirects to. GDAL follows redirects by itself. The session that searches in catalogs
asks here again at every redirect (`geo.catalog.session`); resolved addresses are checked nowhere.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit
from urllib.request import url2pathname

from geo.catalog.errors import UntrustedHrefError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

WEB_SCHEMES = {"http", "https"}
BUCKET_SCHEMES = {"s3", "gs", "az"}

LOCAL_NAMES = {"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"}
METADATA_NAMES = {"metadata.google.internal", "instance-data.ec2.internal"}
"""Names by which machines in clouds ask for their own keys."""

INNER_SUFFIXES = (
    ".local", ".internal", ".lan", ".home", ".corp", ".intranet", ".localdomain", ".home.arpa",
)  # fmt: skip
"""Ends of names that are known inside one network only."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # two letters at least: C: is a drive
_HIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")  # one library drops them, another reads them as slashes

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class Place(Enum):
    """Where an href leads, seen from this machine."""

    FILE = "a file of this machine"
    LOOPBACK = "this machine itself"
    LINK_LOCAL = "a link-local address"
    PRIVATE = "a private network"
    PUBLIC = "a public server"


REACHES = {
    Place.FILE: set(Place),
    Place.LOOPBACK: {Place.LOOPBACK, Place.PUBLIC},
    Place.LINK_LOCAL: {Place.LINK_LOCAL, Place.PUBLIC},
    Place.PRIVATE: {Place.PRIVATE, Place.PUBLIC},
    Place.PUBLIC: {Place.PUBLIC},
}
"""Where a catalog may point, by where it came from."""


def trusted_href(
    href: str, *, catalog: str, base: str | None = None, allow_local: bool = False
) -> str:
    """Return an href of a catalog in full, if a catalog from there may point there.

    Args:
        href: as it stands in the catalog; a relative one is resolved.
        catalog: where the catalog came from: a URL, or a local path.
        base: the document that holds the href; the catalog itself if not given.
        allow_local: trust it wherever it points.

    Returns:
        A URL of http, https, s3, gs or az; or a local path, where the catalog is local or trusted.

    Raises:
        UntrustedHrefError: it points where it may not, or nowhere that can be told.
    """
    home = _whole(catalog, None)
    origin = home if base is None else _whole(base, home)
    target = _whole(href, origin)
    reached, wanted = REACHES[place_of(home)], {place_of(origin), place_of(target)}
    if allow_local or wanted <= reached:
        return target
    place = next(place for place in wanted if place not in reached)
    msg = (
        f"{href} in a catalog from {_named(home)} points at {place.value}: expected "
        f"{' or '.join(sorted(place.value for place in reached))}; --allow-local takes it anyway"
    )
    raise UntrustedHrefError(msg)


def place_of(href: str) -> Place:
    """Return where an href leads, by what it says.

    Args:
        href: a URL or a path; a relative path is one of this machine.

    Raises:
        UntrustedHrefError: its scheme or its host is none that can be judged.
    """
    if not _SCHEME.match(href):
        return Place.FILE
    parts = _split(href)
    if parts.scheme == "file":
        return Place.FILE
    if parts.scheme in BUCKET_SCHEMES:
        return Place.PUBLIC
    return _place_of_host(parts)


def _whole(href: str, base: str | None) -> str:
    """Return an href in full: a checked URL, or a path of this machine."""
    href = href.strip()
    if _SCHEME.match(href):
        parts = _split(href)
        return url2pathname(parts.path) if parts.scheme == "file" else href
    if base is None or _is_local(base):
        folder = Path() if base is None else Path(base).parent
        return href if href.startswith("/vsi") else str(folder / href)
    if href.startswith(("/", "~")) or _HIDDEN.search(href) or re.match(r"[A-Za-z]:", href):
        return href  # a server's own root and a path of this machine look the same
    scheme, _, rest = base.partition("://")
    # urljoin knows relative paths for http alone.
    return scheme + urljoin(f"http://{rest}", href).removeprefix("http")


def _is_local(href: str) -> bool:
    """Whether an href in full is a path."""
    return not _SCHEME.match(href)


def _split(href: str) -> SplitResult:
    """Return the parts of a URL that every library reads in the same way.

    Raises:
        UntrustedHrefError: it is no such URL.
    """
    try:
        parts = urlsplit(href)
        _ = parts.port
    except ValueError as error:
        raise _unreadable(href) from error
    if parts.scheme == "file":
        return parts
    if parts.scheme not in WEB_SCHEMES | BUCKET_SCHEMES:
        msg = f"{href} cannot be read: expected http, https, s3, gs or az, found {parts.scheme}"
        raise UntrustedHrefError(msg)
    host = parts.hostname or ""
    plain = re.fullmatch(r"[\x21-\x7e]+", parts.netloc) and not _HIDDEN.search(href)
    if not (host and plain) or ("%" in host and ":" not in host):
        raise _unreadable(href)
    return parts


def _unreadable(href: str) -> UntrustedHrefError:
    """Return the error of a URL that two libraries may read in two ways."""
    msg = f"{href!r} is no plain URL: expected scheme://host/path in ASCII, without backslashes"
    return UntrustedHrefError(msg)


def _place_of_host(parts: SplitResult) -> Place:
    """Return where the host of a URL stands."""
    host = (parts.hostname or "").rstrip(".")
    address = _address(host)
    if address is not None:
        return _place_of_address(address)
    if host in LOCAL_NAMES or host.endswith(".localhost"):
        return Place.LOOPBACK
    if host in METADATA_NAMES:
        return Place.LINK_LOCAL
    if "." not in host or host.endswith(INNER_SUFFIXES):
        return Place.PRIVATE
    return Place.PUBLIC


def _address(host: str) -> IPAddress | None:
    """Return the address that a host is, in any spelling that system libraries read; or None."""
    if ":" in host:
        try:
            return ipaddress.IPv6Address(host.partition("%")[0])
        except ValueError as error:
            raise _unreadable(host) from error
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))  # reads 127.1, 0x7f.1, 2130706433
    except OSError:
        return None


def _place_of_address(address: IPAddress) -> Place:
    """Return where an address stands; one inside another counts as the inner one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _inner(address)
        if inner is not None:
            return _place_of_address(inner)
    if address.is_loopback or address.is_unspecified or _is_this_network(address):
        return Place.LOOPBACK
    if address.is_link_local:
        return Place.LINK_LOCAL
    return Place.PUBLIC if address.is_global and not address.is_multicast else Place.PRIVATE


def _is_this_network(address: IPAddress) -> bool:
    """Whether an address lies in 0.0.0.0/8, which systems take for themselves."""
    return address.version == 4 and int(address) >> 24 == 0  # noqa: PLR2004


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 address carries: mapped, 6to4, Teredo, NAT64, old."""
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    if address.teredo:
        return address.teredo[1]
    low = int(address) & 0xFFFFFFFF
    compatible = int(address) >> 32 == 0 and low > 1  # ::1 is loopback, :: unspecified
    return ipaddress.IPv4Address(low) if compatible or address in _NAT64 else None


def _named(home: str) -> str:
    """Return how a message names a catalog."""
    return home if _is_local(home) else urlsplit(home).netloc.rpartition("@")[2]
