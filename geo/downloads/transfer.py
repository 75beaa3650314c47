"""One file over https into a part file: resumed where it broke off, begun anew where it changed."""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING

import requests

from geo.downloads.errors import (
    BrokenOffError,
    NoRoomError,
    RefusedError,
    TransferError,
    WebPageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests import Response

    from geo.downloads.part import Part
    from geo.downloads.session import DownloadSession

logger = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
"""Told the bytes that are here and, where the server tells them, all bytes."""

PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers that another try may change."""

HEAD_BYTES = 512
"""By which a web page is told from a file."""

_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
_PAGE = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<error")


def transfer(part: Part, session: DownloadSession, progress: Progress | None = None) -> None:
    """Fetch a file, or the rest of it.

    What is there already is asked for again only where the original has changed or the server
    cannot send parts. A connection that drops midway is taken up again, and so is an answer that
    says the server is busy or broken.

    Args:
        part: the file so far; whole when this returns.
        session: with the servers that have it.
        progress: told how far it is.

    Raises:
        TransferError: it did not come whole. What came stays for the next run.
        OSError: the part cannot be written.
    """
    patience = session.patience
    start = reached = part.size
    failures, began = 0, time.monotonic()
    while True:
        try:
            _receive(part, session, progress)
        except BrokenOffError as fault:
            # A server that trickles, or drops after each few bytes, is not tried for ever.
            least = max(1.0, patience.least_speed * (time.monotonic() - began))
            moved = part.size - reached >= least
            failures = 1 if moved else failures + 1
            reached = max(reached, part.size)
            hopeful = fault.passing or patience.insists or reached > start
            if failures > patience.tries or not hopeful:
                raise
            pause_s = patience.pause_s * 2 ** (failures - 1)
            logger.info("%s: %s; trying again in %g s", part.url, fault, pause_s)
            began = time.monotonic()
            time.sleep(pause_s)
        else:
            return


def _receive(part: Part, session: DownloadSession, progress: Progress | None) -> None:
    """Ask for the file once and append what comes.

    Raises:
        TransferError: the answer is no file, or not the whole of it.
    """
    headers = {"Accept-Encoding": "identity"}
    if version := part.version:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": version}
    with session.ask(part.url, headers) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            _settle(response, part)
            return
        _check_status(response)
        total = _prepare(response, part)
        pieces = session.pieces(response)
        if _is_fresh(response):
            pieces = _checked(pieces)
            part.begin(_version(response))
        _append(part, pieces, total, progress)
    if total is not None and part.size != total:
        msg = f"{part.size} bytes came, {total} were announced"
        if part.size > total:
            part.discard()
        raise BrokenOffError(msg)


def _check_status(response: Response) -> None:
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
        raise RefusedError(msg, status=code)
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in {"text/html", "application/xhtml+xml", "application/xml", "text/xml"}:
        msg = f"the server sent a web page ({kind}) instead of the file"
        raise WebPageError(msg)


def _checked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Return the pieces of a body whose first bytes are those of a file.

    Raises:
        TransferError: there are none, or they are those of a web page.
    """
    head = b""
    while len(head) < HEAD_BYTES and (piece := next(pieces, b"")):
        head += piece
    if not head:
        msg = "the server sent an empty file"
        raise TransferError(msg)
    if is_page(head):
        msg = "the server sent a web page instead of the file"
        raise WebPageError(msg)
    return chain([head], pieces)


def is_page(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a web page or of a server's complaint."""
    return head[:HEAD_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGE)


def _prepare(response: Response, part: Part) -> int | None:
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


def _is_fresh(response: Response) -> bool:
    """Whether an answer holds the file from its first byte."""
    return response.status_code == requests.codes.ok


def _version(response: Response) -> str | None:
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


def _append(
    part: Part, pieces: Iterator[bytes], total: int | None, progress: Progress | None
) -> None:
    """Append the pieces of a body to the part, safely on disk when this returns."""
    done = part.size
    with part.path.open("ab") as file:
        for piece in pieces:
            file.write(piece)
            done += len(piece)
            if progress:
                progress(done, total)
        file.flush()
        os.fsync(file.fileno())


def _settle(response: Response, part: Part) -> None:
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
