"""Which granules a person means: files, folders of them, and what zip archives hold."""

from __future__ import annotations

import lzma
import shutil
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geo.gedi.errors import GediError, GranuleError
from geo.gedi.names import HDF5_SUFFIXES, GranuleName, is_another_product, parse_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_UNPACKED_BYTES = 16 * 1024**3
"""Largest file that is unpacked; granules have up to 3 GB."""

MOST_ENTRIES = 1000
"""Files of an archive beyond which it is no delivery of granules."""

COPIED_BYTES = 1024 * 1024


UNPACKING_ERRORS = (
    zipfile.BadZipFile,  # broken: its list of files, or a checksum
    EOFError,  # it ends too early
    zlib.error,  # broken: what a file holds
    lzma.LZMAError,
    RuntimeError,  # locked by a password, or compressed in a way that zipfile does not know
)
"""What archives raise that cannot be unpacked."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A granule's file.

    Attributes:
        path: the file, or the archive that holds it.
        entry: its name in the archive; None for a plain file.
    """

    path: Path
    entry: str | None = None

    @property
    def file_name(self) -> str:
        """Its own name, without folders."""
        return (self.entry or self.path.name).replace("\\", "/").rpartition("/")[2]

    @property
    def name(self) -> GranuleName | None:
        """What its name tells."""
        return parse_name(self.file_name)

    def __str__(self) -> str:
        """As messages call it."""
        return self.path.name if self.entry is None else f"{self.path.name} ({self.file_name})"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found.

    Attributes:
        sources: files of granules.
        faults: what is none, by message.
        passed_over: files of folders that are other GEDI products.
    """

    sources: list[Source]
    faults: list[str]
    passed_over: int


def find_sources(paths: Iterable[Path]) -> Found:
    """Return the files of granules among files and folders, each once.

    Folders are searched to any depth for .h5 and .zip; other GEDI products in them are passed over.

    Raises:
        GediError: a path does not exist, or a folder holds no such file.
    """
    sources: dict[tuple[Path, str | None], Source] = {}
    faults: list[str] = []
    passed_over = 0
    for path in paths:
        files = _files(path)
        for file in files:
            if path.is_dir() and is_another_product(file.name):
                passed_over += 1
                continue
            try:
                found = _within(file)
            except GranuleError as error:
                faults.append(f"{file.name} {error}")
                continue
            sources |= {(each.path.resolve(), each.entry): each for each in found}
    return Found(sources=list(sources.values()), faults=faults, passed_over=passed_over)


def _files(path: Path) -> list[Path]:
    """Return the files that a path stands for.

    Raises:
        GediError: there are none.
    """
    if not path.exists():
        msg = f"{path} does not exist: expected a GEDI granule (.h5, .zip) or a folder of them"
        raise GediError(msg)
    if not path.is_dir():
        return [path]
    suffixes = HDF5_SUFFIXES | {".zip"}
    # A link that leads nowhere is no file, yet somebody meant a granule: it is said when opened.
    files = sorted(
        each
        for each in path.rglob("*")
        if each.suffix.lower() in suffixes and (each.is_file() or not each.exists())
    )
    if not files:
        msg = f"{path} holds no granule: expected files of .h5 or .zip in it"
        raise GediError(msg)
    return files


def _within(path: Path) -> list[Source]:
    """Return the granules of a file: itself, or the entries of an archive.

    Raises:
        GranuleError: it is an archive that holds none, or is broken.
    """
    if path.suffix.lower() != ".zip":
        return [Source(path=path)]
    with _archive(path) as archive:
        entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        msg = f"holds {len(entries)} files: expected a few granules"
        raise GranuleError(msg)
    names = [
        entry.filename
        for entry in entries
        if not entry.is_dir() and Path(entry.filename).suffix.lower() in HDF5_SUFFIXES
    ]
    if not names:
        msg = "holds no .h5: expected a zipped GEDI granule"
        raise GranuleError(msg)
    return [Source(path=path, entry=name) for name in names]


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Lend an archive.

    Raises:
        GranuleError: it is none, or is broken.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except UNPACKING_ERRORS as error:
        msg = f"cannot be unpacked ({error}): fetch it again"
        raise GranuleError(msg) from error


@contextmanager
def plain_file(source: Source, folder: Path) -> Iterator[Path]:
    """Lend the plain file of a granule; one from an archive is unpacked, and deleted after.

    Args:
        source: the granule.
        folder: where it may be unpacked. Names of entries choose no path in it.

    Raises:
        GranuleError: it cannot be unpacked, or is larger than it says or than a granule may be.
    """
    if source.entry is None:
        yield source.path
        return
    plain = folder / "unpacked.h5"
    try:
        _unpack(source, plain)
        yield plain
    finally:
        plain.unlink(missing_ok=True)


def _unpack(source: Source, plain: Path) -> None:
    """Unpack an entry into a file."""
    with _archive(source.path) as archive:
        entry = archive.getinfo(source.entry or "")
        free = shutil.disk_usage(plain.parent).free
        if entry.file_size > min(MOST_UNPACKED_BYTES, free):
            msg = (
                f"unpacks to {entry.file_size / 1e9:.1f} GB: granules have 3 GB at most, and "
                f"{free / 1e9:.1f} GB are free"
            )
            raise GranuleError(msg)
        left = entry.file_size
        # zipfile stops at the size that the archive states; what is packed beyond it is not read.
        with archive.open(entry) as packed, plain.open("wb") as file:
            while block := packed.read(min(COPIED_BYTES, left + 1)):
                left -= len(block)
                if left < 0:
                    msg = "unpacks to more than it states: no archive of a granule"
                    raise GranuleError(msg)
                file.write(block)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A granule, and the L2B granule of the same shots beside it.

    Attributes:
        main: the granule whose shots are read.
        beside: whose profile is joined to them, or None.
    """

    main: Source
    beside: Source | None = None


def paired(sources: list[Source]) -> list[Pair]:
    """Return granules, L2B beside the L2A of the same shots where their names say so.

    L2A comes first, then L2B alone: of a shot that both have, the one with heights is kept.
    """
    profiles: dict[tuple[object, int], Source] = {}
    for source in sources:
        if source.name and source.name.product == "L2B":
            profiles.setdefault((source.name.ground, source.name.version), source)
    pairs = []
    for source in sources:
        if source.name is None or source.name.product != "L2B":
            key = (source.name.ground, source.name.version) if source.name else None
            pairs.append(Pair(main=source, beside=profiles.pop(key, None) if key else None))
    taken = {id(pair.beside) for pair in pairs}
    alone = [
        Pair(main=each)
        for each in sources
        if each.name and each.name.product == "L2B" and id(each) not in taken
    ]
    return pairs + alone


def refuse_nothing(found: Found) -> None:
    """Refuse a list of files of which none may be a granule.

    Raises:
        GediError: as said.
    """
    if not found.sources:
        reasons = "; ".join(found.faults[:3]) or "files of other GEDI products only"
        msg = f"no granule to read: {reasons}"
        raise GediError(msg)
