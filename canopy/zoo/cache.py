"""The cache of released models: where files stand, what is recorded of them, and who may write."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

from canopy.errors import ModelError
from canopy.zoo.entries import HttpFile, HubRepository, Shipped
from geo.downloads.alone import alone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from canopy.zoo.entries import ZooEntry

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "CANOPY_CACHE"
ACCEPTANCE_FILE = "licence-accepted.json"
REVISION_FILE = "revision.json"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def cache_folder() -> Path:
    """Return the folder that CANOPY_CACHE names, else the user's cache folder; it may not exist."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    return user_cache_path("canopy", appauthor=False)


def entry_folder(entry: ZooEntry) -> Path:
    """Return the folder of a released model in the cache; it may not exist.

    Raises:
        ModelError: the entry's name is no plain folder name.
    """
    return cache_folder() / "models" / _plain(entry.name)


def entry_file(entry: ZooEntry, source: HttpFile) -> Path:
    """Return where the one file of a released model stands in the cache; it may not exist.

    Raises:
        ModelError: a name would lead out of the folder.
    """
    return entry_folder(entry) / _plain(source.file_name)


def shipped_folder() -> Path:
    """Return the folder of the models that come with the package."""
    return Path(str(resources.files("canopy") / "models"))


def _plain(name: str) -> str:
    """Return a name that is surely one step down, and no more.

    Raises:
        ModelError: it has a separator, begins with a dot or is empty.
    """
    if not _NAME.fullmatch(name):
        msg = f"{name!r} cannot be a name in the cache: expected letters, digits, '.', '_' and '-'"
        raise ModelError(msg)
    return name


def cached(entry: ZooEntry) -> Path | None:
    """Return where a released model stands on this machine, without asking the network.

    Args:
        entry: the model.

    Returns:
        The file of an HttpFile, the folder of the others; None where it was not fetched yet. What
        a file holds is not checked here: `fetch` does.

    Raises:
        ModelError: a name of the entry would lead out of the cache.
    """
    source = entry.source
    if isinstance(source, Shipped):
        return shipped_folder() / _plain(entry.name)
    if isinstance(source, HttpFile):
        path = entry_file(entry, source)
        return path if path.is_file() else None
    return next((folder for folder in _hub_folders(entry, source) if holds(folder, source)), None)


def _hub_folders(entry: ZooEntry, source: HubRepository) -> Iterator[Path]:
    """Yield where the files of a repository may stand: put there by hand, or fetched."""
    yield entry_folder(entry)
    if commit := recorded_revision(entry, source):
        name = "--".join(["models", *source.repo.split("/")])
        yield hub_folder() / name / "snapshots" / commit


def hub_folder() -> Path:
    """Return the folder of what comes from the Hub; it may not exist."""
    return cache_folder() / "hub"


def holds(folder: Path, source: HubRepository) -> bool:
    """Whether a folder holds every file, or one of every pattern, that is taken."""
    return all(any(path.is_file() for path in folder.glob(name)) for name in source.files)


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal, read in small pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_file(path: Path) -> Path:
    """Return where the sha256 of a file is recorded, as ``sha256sum --check`` reads it."""
    return path.with_name(f"{path.name}.sha256")


def recorded_digest(path: Path) -> str | None:
    """Return the recorded sha256 of a file, None where there is no record."""
    try:
        words = digest_file(path).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return None
    return words[0].lower() if words else None


def record_digest(path: Path, digest: str) -> None:
    """Record the sha256 of a file beside it; a cache that is only lent goes without."""
    try:
        write_whole(digest_file(path), f"{digest}  {path.name}\n")
    except OSError as error:
        logger.warning("the sha256 of %s cannot be recorded (%s)", path, error.strerror)


def is_accepted(entry: ZooEntry) -> bool:
    """Whether the licence that an entry has today was accepted here before."""
    record = _read_record(entry_folder(entry) / ACCEPTANCE_FILE)
    return (record.get("licence"), record.get("url")) == (entry.licence, entry.licence_url)


def record_acceptance(entry: ZooEntry) -> None:
    """Record that the licence of an entry was accepted, and when.

    Raises:
        ModelError: the cache cannot be written.
    """
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"licence": entry.licence, "url": entry.licence_url, "accepted": moment}
    with writing_alone(entry) as folder:
        write_whole(folder / ACCEPTANCE_FILE, json.dumps(record, indent=2) + "\n")


def recorded_revision(entry: ZooEntry, source: HubRepository) -> str | None:
    """Return the commit of a repository that is in use here, None before the first fetch."""
    record = _read_record(entry_folder(entry) / REVISION_FILE)
    commit = record.get("commit")
    same = (record.get("repo"), record.get("revision")) == (source.repo, source.revision)
    return commit if same and isinstance(commit, str) and _NAME.fullmatch(commit) else None


def record_revision(folder: Path, source: HubRepository, commit: str) -> None:
    """Record the commit of a repository that is in use from now on."""
    record = {"repo": source.repo, "revision": source.revision, "commit": commit}
    write_whole(folder / REVISION_FILE, json.dumps(record, indent=2) + "\n")


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write_whole(path: Path, text: str) -> None:
    """Write a small file in one step."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def writing_alone(entry: ZooEntry) -> Iterator[Path]:
    """Make the folder of a model and hold it alone; whoever comes second waits.

    Yields:
        The folder.

    Raises:
        ModelError: the cache cannot be written.
    """
    folder = entry_folder(entry)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder / ".lock", entry.name):
            yield folder
    except OSError as error:
        msg = (
            f"the cache {folder} cannot be written ({error.strerror or error}): make room or give "
            f"rights there, or name another folder with {CACHE_VARIABLE}"
        )
        raise ModelError(msg) from error
