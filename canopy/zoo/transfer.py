"""One file over https into a part file: resumed where it broke off, begun anew where it changed."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from canopy.zoo.part import Part

logger = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
"""Told the bytes that are here and, where the server tells them, all bytes."""

CHUNK_BYTES = 2**17
MOST_REDIRECTS = 5
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers that another try may change."""

_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
_PAGE = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<error")


class TransferError(Exception):
    """The file did not come; the message says what the server or the network did."""


class NoRoomError(TransferError):
    """The disk has too little room for the file."""


class BrokenOffError(TransferError):
    """The file did not come whole; another try may bring the rest.

    Attributes:
        passing: whether another try is worth it even when not one byte came.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        """Keep the message and whether the fault is a passing one."""
        super().__init__(message)
        self.passing = passing


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for a server.

    Attributes:
        connect_s: for a connection [s].
        read_s: for the next bytes [s].
        tries: how often to try again with no new byte in between.
        pause_s: before the first of these tries [s]; doubled before each further one.
    """

    connect_s: float = 10.0
    read_s: float = 60.0
    tries: int = 4
    pause_s: float = 1.0


PATIENCE = Patience()


def transfer(
    part: Part, *, patience: Patience = PATIENCE, progress: Progress | None = None
) -> None:
    """Fetch a file, or the rest of it.

    What is there already is asked for again only where the original has changed or the server
    cannot send parts. A connection that drops midway is taken up again, and so is an answer that
    says the server is busy or broken.

    Args:
        part: the file so far; whole when this returns.
        patience: how long to wait.
        progress: told how far it is.

    Raises:
        TransferError: it did not come whole. What came stays for the next run.
        OSError: the part cannot be written.
    """
    start = reached = part.size
    failures = 0
    with requests.Session() as session:
        while True:
            try:
                _receive(session, part, patience, progress)
            except BrokenOffError as fault:
                failures = 1 if part.size > reached else failures + 1
                reached = max(reached, part.size)
                if failures > patience.tries or not (fault.passing or reached > start):
                    raise
                pause_s = patience.pause_s * 2 ** (failures - 1)
                logger.info("%s: %s; trying again in %g s", part.url, fault, pause_s)
                time.sleep(pause_s)
            else:
                return


def _receive(
    session: requests.Session, part: Part, patience: Patience, progress: Progress | None
) -> None:
    """Ask for the file once and append what comes.

    Raises:
        TransferError: the answer is no file, or not the whole of it.
    """
    with _ask(session, part, patience) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            _settle(response, part)
            return
        _check_status(response)
        total = _prepare(response, part)
        chunks = _chunks(response)
        first = next(chunks, b"")
        if _is_fresh(response):
            _check_beginning(first)
            part.begin(_version(response))
        _append(part, first, chunks, total, progress)
    if total is not None and part.size != total:
        msg = f"{part.size} bytes came, {total} were announced"
        if part.size > total:
            part.discard()
        raise BrokenOffError(msg)


def _ask(session: requests.Session, part: Part, patience: Patience) -> requests.Response:
    """Return the answer to one request, its body not read yet, redirects followed.

    Raises:
        TransferError: there is no answer, or a redirect leads where we do not follow.
    """
    headers = {"Accept-Encoding": "identity"}
    if version := part.version:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": version}
    url = next_address(part.url, part.url)
    for _ in range(MOST_REDIRECTS + 1):
        response = _get(session, url, headers, patience)
        if not response.is_redirect:
            return response
        response.close()
        url = next_address(url, response.headers["Location"])
    msg = f"the server redirects more than {MOST_REDIRECTS} times"
    raise TransferError(msg)


def _get(
    session: requests.Session, url: str, headers: dict[str, str], patience: Patience
) -> requests.Response:
    """Return the answer of one address.

    Raises:
        TransferError: there is none.
    """
    timeout = (patience.connect_s, patience.read_s)
    try:
        return session.get(
            url, headers=headers, stream=True, allow_redirects=False, timeout=timeout
        )
    except requests.exceptions.SSLError as error:
        msg = "the server's certificate is not trusted"
        raise TransferError(msg) from error
    except requests.exceptions.Timeout as error:
        msg = "the server does not answer in time"
        raise BrokenOffError(msg) from error
    except requests.exceptions.ConnectionError as error:
        msg = "the server cannot be reached"
        raise BrokenOffError(msg) from error
    except requests.exceptions.RequestException as error:
        msg = f"the address cannot be asked ({type(error).__name__})"
        raise TransferError(msg) from error


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
    url = urljoin(before, location)
    if urlsplit(url).scheme == "https" or (_is_plain_and_near(before) and _is_plain_and_near(url)):
        return url
    msg = f"{url} is not https: expected https all the way"
    raise TransferError(msg)


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


def _check_status(response: requests.Response) -> None:
    """Refuse an answer that is no file.

    Raises:
        TransferError: the status says so, or the type of the content.
    """
    code = response.status_code
    if code in PASSING:
        msg = f"the server is busy or broken (HTTP {code})"
        raise BrokenOffError(msg, passing=True)
    if code not in {requests.codes.ok, requests.codes.partial_content}:
        meaning = {401: "asks for a login", 403: "refuses it", 404: "does not have it"}
        msg = f"the server {meaning.get(code, 'gives no file')} (HTTP {code})"
        raise TransferError(msg)
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in {"text/html", "application/xhtml+xml", "application/xml", "text/xml"}:
        msg = f"the server sent a web page ({kind}) instead of the file"
        raise TransferError(msg)


def _check_beginning(head: bytes) -> None:
    """Refuse a body by its first bytes.

    Raises:
        TransferError: there are none, or they are those of a web page.
    """
    if not head:
        msg = "the server sent an empty file"
        raise TransferError(msg)
    if is_page(head):
        msg = "the server sent a web page instead of the file"
        raise TransferError(msg)


def is_page(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a web page or of a server's complaint."""
    return head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGE)


def _prepare(response: requests.Response, part: Part) -> int | None:
    """Return the size of the whole file where the server tells it, having checked what comes.

    Raises:
        TransferError: a part comes that does not continue ours, or the disk has no room.
    """
    if _is_fresh(response):
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        _check_room(part, total or 0)
        return total
    found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    version = _version(response)
    if not found or found[1] != str(part.size) or version not in {None, part.version}:
        part.discard()
        msg = "the server sent another part than the one that was asked for"
        raise BrokenOffError(msg, passing=True)
    total = int(found[2]) if found[2] != "*" else None
    _check_room(part, (total or part.size) - part.size)
    return total


def _is_fresh(response: requests.Response) -> bool:
    """Whether an answer holds the file from its first byte."""
    return response.status_code == requests.codes.ok


def _version(response: requests.Response) -> str | None:
    """Return what tells this version of the file from others, None where nothing surely does."""
    etag = response.headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified")


def _check_room(part: Part, coming: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        NoRoomError: it cannot.
    """
    free = shutil.disk_usage(part.path.parent).free
    if coming > free:
        msg = f"{coming / 1e9:.2f} GB are to come, {free / 1e9:.2f} GB are free"
        raise NoRoomError(msg)


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """Yield the body in pieces.

    Raises:
        BrokenOffError: the connection drops, or nothing comes for too long.
    """
    try:
        yield from response.iter_content(CHUNK_BYTES)
    except requests.exceptions.RequestException as error:
        msg = "the connection broke off"
        raise BrokenOffError(msg) from error


def _append(
    part: Part, first: bytes, rest: Iterator[bytes], total: int | None, progress: Progress | None
) -> None:
    """Append the pieces of a body to the part, safely on disk when this returns."""
    done = part.size
    with part.path.open("ab") as file:
        piece = first
        while piece:
            file.write(piece)
            done += len(piece)
            if progress:
                progress(done, total)
            piece = next(rest, b"")
        file.flush()
        os.fsync(file.fileno())


def _settle(response: requests.Response, part: Part) -> None:
    """Settle an answer that there are no bytes after ours: we have all, or ours are too many.

    Raises:
        BrokenOffError: ours are too many; they are gone.
    """
    found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if found and found[2] == str(part.size):
        return
    part.discard()
    msg = "the file on the server is shorter than what was fetched of it"
    raise BrokenOffError(msg, passing=True)
