"""A map in the making: rows on disk that survive a kill, and what is needed to go on."""

from __future__ import annotations

import json
import logging
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock, Timeout

from geo.errors import ConnectionLostError, GeoError, MapFileError, ResumeError
from geo.height_maps.raw_raster import RawRaster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from geo.grid import Grid
    from geo.raster import Pixels

logger = logging.getLogger(__name__)

SUFFIX = ".partial"
STATE_FILE = "state.npz"
LOCK_FILE = "lock"
VERSION = 1


class PartialMap:
    """Finished rows of a map, and the state from which its next row of tiles can be made.

    After every row of tiles its rows are written first, then the state is replaced in one step:
    whatever moment a kill comes at, the state describes rows that are on disk.

    Attributes:
        folder: where the rows and the state lie, beside the map to be.
        raster: the rows.
        done: rows of tiles that are finished.
        rows: rows of the map that are finished [px].
        carry: what the mosaic still needs from the last row of tiles, or None.
    """

    def __init__(self, folder: Path, raster: RawRaster, settings: Mapping[str, Any]) -> None:
        """Describe a map that begins with no rows."""
        self.folder, self.raster, self.settings = folder, raster, dict(settings)
        self.done, self.rows = 0, 0
        self.carry: Pixels | None = None

    def append(self, values: Pixels, carry: Pixels | None) -> None:
        """Write the next finished rows, and the state after them.

        Raises:
            MapFileError: the disk does not take them.
        """
        try:
            self.raster.write(self.rows, values)
            self.rows += len(values)
            self.done += 1
            self.carry = carry
            self._save()
        except OSError as error:
            msg = f"rows cannot be written to {self.folder} ({error.strerror}): make room there"
            raise MapFileError(msg) from error

    def _save(self) -> None:
        facts = {
            "version": VERSION,
            "settings": self.settings,
            "done": self.done,
            "rows": self.rows,
        }
        temporary = self.folder / f"{STATE_FILE}.new"
        carry = np.empty((0, 0), np.float32) if self.carry is None else self.carry
        with temporary.open("wb") as file:
            np.savez(file, facts=np.array(json.dumps(facts)), carry=carry)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.folder / STATE_FILE)

    def restore(self) -> None:
        """Go on from the state on disk.

        Raises:
            ResumeError: the state belongs to another input, model or settings, or is broken.
        """
        facts, carry = read_state(self.folder / STATE_FILE)
        refuse_changes(facts["settings"], self.settings)
        self.done, self.rows = facts["done"], facts["rows"]
        self.carry = carry if carry.size else None


def partial_folder(output: Path) -> Path:
    """Return the folder of the unfinished map that will become a file."""
    return output.with_name(output.name + SUFFIX)


def read_state(path: Path) -> tuple[dict[str, Any], Pixels]:
    """Read the state of an unfinished map.

    Raises:
        ResumeError: it is broken.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as state:
            facts, carry = json.loads(str(state["facts"])), state["carry"]
    except (OSError, EOFError, BadZipFile, ValueError, KeyError, TypeError) as error:
        msg = f"{path} is no state that this version can resume: run again without --resume"
        raise ResumeError(msg) from error
    if facts.get("version") != VERSION:
        msg = f"{path} was written by another version: run again without --resume"
        raise ResumeError(msg)
    return facts, carry


def refuse_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with other settings than a map was begun with.

    Raises:
        ResumeError: a setting differs; the line names it.
    """
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), json.loads(json.dumps(now.get(name)))
        if old != new:
            msg = (
                f"--resume: {name} was {in_words(old)}, now it is {in_words(new)}: give what the "
                "unfinished map was begun with, or run without --resume to begin anew"
            )
            raise ResumeError(msg)


def in_words(value: object) -> str:
    """Return a setting as a user gives it: lists as ``1,2,3``."""
    if value is None:
        return "not set"
    return ",".join(f"{part}" for part in value) if isinstance(value, list) else f"{value}"


@contextmanager
def open_partial_map(
    output: Path,
    grid: Grid,
    dtype: str,
    settings: Mapping[str, Any],
    *,
    resume: bool,
    bands: int = 1,
) -> Iterator[PartialMap]:
    """Begin or resume a map.

    The folder is removed when the block ends, or fails in a way that would come again. It stays
    when another try may go on from it: after an interruption, a lost connection, too little memory.

    Args:
        output: where the finished map will be.
        grid: pixels of the rows.
        dtype: type of the rows.
        settings: everything that decides about a pixel, as JSON; a resume must have the same.
        resume: whether to go on from an unfinished map, where there is one.
        bands: values of a pixel.

    Raises:
        MapFileError: the folder cannot be written, or another run is writing the same map.
        ResumeError: the unfinished map was begun with other settings, or its state is broken.
    """
    folder = partial_folder(output)
    with locked(folder, output):
        raster = RawRaster(folder / "heights", grid, dtype, bands)
        partial = PartialMap(folder, raster, settings)
        begin(partial, resume=resume)
        try:
            yield partial
        except BaseException as error:
            final = isinstance(error, GeoError) and not isinstance(error, ConnectionLostError)
            if final or not partial.done:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked(folder: Path, output: Path) -> Iterator[None]:
    """Make a folder and keep other runs out of it.

    Raises:
        MapFileError: it cannot be made, or another run is in it.
    """
    try:
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / LOCK_FILE)
        lock.acquire(blocking=False)
    except Timeout as error:
        msg = f"another run is writing {output}: wait for it, or choose another output"
        raise MapFileError(msg) from error
    except OSError as error:
        msg = f"{folder.parent} cannot be written ({error.strerror}): choose another output"
        raise MapFileError(msg) from error
    try:
        yield
    finally:
        lock.release()


def begin(partial: PartialMap, *, resume: bool) -> None:
    """Restore an unfinished map, or clear away what is left of one."""
    unfinished = (partial.folder / STATE_FILE).exists()
    if resume and unfinished:
        partial.restore()
        logger.info("going on after %d rows of tiles", partial.done)
        return
    if unfinished:
        logger.info("an unfinished map was found and is begun anew: --resume would have gone on")
    elif resume:
        logger.info("nothing to resume: the map is begun anew")
    for path in partial.folder.iterdir():
        if path.name != LOCK_FILE:
            path.unlink()
