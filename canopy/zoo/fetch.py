"""Fetch a released model into the cache: whole, checked, and under a licence that was named."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from canopy.errors import FetchError, ModelError
from canopy.zoo.cache import (
    CACHE_VARIABLE,
    digest_file,
    entry_file,
    file_sha256,
    record_digest,
    recorded_digest,
    shipped_folder,
    writing_alone,
)
from canopy.zoo.entries import HubRepository, Shipped
from canopy.zoo.hub import fetch_repository
from canopy.zoo.licence import require_licence
from geo.downloads.addresses import next_address
from geo.downloads.errors import NoRoomError, TransferError
from geo.downloads.part import Part
from geo.downloads.session import PATIENCE, DownloadSession
from geo.downloads.transfer import is_page, transfer

if TYPE_CHECKING:
    from pathlib import Path

    from canopy.zoo.entries import HttpFile, ZooEntry
    from geo.downloads.session import Patience
    from geo.downloads.transfer import Progress

MIRROR_VARIABLE = "CANOPY_MIRROR"

logger = logging.getLogger(__name__)


def fetch(
    entry: ZooEntry,
    *,
    accept_licence: bool = False,
    progress: Progress | None = None,
    patience: Patience = PATIENCE,
) -> Path:
    """Return where a released model stands on this machine, having fetched it if need be.

    Args:
        entry: the model.
        accept_licence: whether the user accepts the licence of the weights; recorded.
        progress: told the bytes that are here and all bytes, where these are known.
        patience: how long to wait for a web server.

    Returns:
        The file of an HttpFile, its sha256 checked; the folder of the others.

    Raises:
        ModelError: the licence was not accepted; the file cannot be fetched or is not the one
            that it should be; the cache cannot be written. Nothing stands at the final path then
            that was not there before.
    """
    source = entry.source
    if isinstance(source, Shipped):
        return shipped_folder() / entry.name
    if isinstance(source, HubRepository):
        return fetch_repository(entry, source, accept_licence=accept_licence, progress=progress)
    source = mirrored(source)
    path = entry_file(entry, source)
    if path.is_file():
        return _verified(entry, source, path)
    require_licence(entry, accept=accept_licence)
    with writing_alone(entry):
        if path.is_file():
            return _verified(entry, source, path)
        part = Part(path=path.with_name(f"{path.name}.part"), url=source.url)
        try:
            transfer(part, DownloadSession(patience=patience), progress)
        except TransferError as fault:
            raise FetchError(_refusal(entry, path, source, fault)) from fault
        _check_digest(entry, source, path, part)
        part.finish(path)
    return path


def mirrored(source: HttpFile) -> HttpFile:
    """Return where a file is asked for: on the mirror that CANOPY_MIRROR names, if it names one.

    A mirror is a folder on a web server that holds the files under their released names.

    Raises:
        ModelError: it is no such address, or has a login in it.
    """
    mirror = os.environ.get(MIRROR_VARIABLE)
    if not mirror:
        return source
    if "@" in urlsplit(mirror).netloc:
        msg = f"{MIRROR_VARIABLE} holds a login, which is never sent: expected an address without"
        raise ModelError(msg)
    try:
        next_address(mirror, mirror)
    except TransferError as error:
        msg = f"{MIRROR_VARIABLE}={mirror}: expected an address that begins with https"
        raise ModelError(msg) from error
    return replace(source, url=f"{mirror.rstrip('/')}/{source.url.rpartition('/')[2]}")


def _verified(entry: ZooEntry, source: HttpFile, path: Path) -> Path:
    """Return a file of the cache that is still what it was.

    Raises:
        ModelError: it is not.
    """
    with path.open("rb") as file:
        if is_page(file.read(512)):
            msg = f"{path} is a web page, expected weights: delete it and fetch {source.url} again"
            raise ModelError(msg)
    found, expected = file_sha256(path), source.sha256 or recorded_digest(path)
    if expected is None:
        logger.warning("%s was put here by hand: its sha256 is recorded, not checked", path)
        record_digest(path, found)
    elif found != expected.lower():
        keep = "" if source.sha256 else f" (or, to keep it, delete {digest_file(path).name})"
        msg = (
            f"{path} has sha256 {found}, expected {expected}: the file has changed in the cache; "
            f"delete it{keep} and run `canopy models fetch {entry.name}`"
        )
        raise ModelError(msg)
    return path


def _check_digest(entry: ZooEntry, source: HttpFile, path: Path, part: Part) -> None:
    """Compare a fetched file with what is known of it, and record what is not known yet.

    Raises:
        ModelError: it is another file; it is gone.
    """
    found, expected = file_sha256(part.path), source.sha256 or recorded_digest(path)
    if expected is None:
        logger.info("%s: sha256 %s, recorded", source.url, found)
    elif found != expected.lower():
        part.discard()
        trust = "" if source.sha256 else f", or delete {digest_file(path)} to trust the new file"
        msg = (
            f"{source.url} has sha256 {found}, expected {expected}: it was damaged on its way or "
            f"replaced by its publisher; run `canopy models fetch {entry.name}` again{trust}"
        )
        raise FetchError(msg)
    record_digest(path, found)


def _refusal(entry: ZooEntry, path: Path, source: HttpFile, fault: TransferError) -> str:
    """Return one line: why a file did not come, and how to do without."""
    found = f"{entry.name} cannot be fetched ({fault})"
    if isinstance(fault, NoRoomError):
        return f"{found}: make room in {path.parent} or name another folder with {CACHE_VARIABLE}"
    return (
        f"{found}: run again to resume, or bring {source.url} another way and put it at {path}, "
        f"or give a file by {'--model' if entry.kind == 'height model' else '--colours'}"
    )
