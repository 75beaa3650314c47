"""Files of points: found, opened, and read chunk by chunk in metres."""

from __future__ import annotations

import logging
import struct
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import laspy
import lazrs
import numpy as np

from geo.ground import crs_words
from geo.lidar.errors import LidarError
from geo.lidar.point_crs import PointCrs, read_point_crs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from geo.grid import FloatArray
    from geo.lidar.settings import ChmSettings
    from geo.raster import Mask, Pixels

logger = logging.getLogger(__name__)

SUFFIXES = {".las", ".laz"}
"""Also of COPC, whose files end in .copc.laz and are whole LAZ files."""

GROUND = 2
"""ASPRS class of ground."""

FIELDS = (
    laspy.DecompressionSelection.XY_RETURNS_CHANNEL
    | laspy.DecompressionSelection.Z
    | laspy.DecompressionSelection.CLASSIFICATION
    | laspy.DecompressionSelection.FLAGS
    | laspy.DecompressionSelection.GPS_TIME
)
"""What of a point is decompressed, where the format lets one choose."""

READ_ERRORS = (
    laspy.errors.LaspyException,
    lazrs.LazrsError,
    OSError,
    EOFError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True, kw_only=True)
class PointFile:
    """A file of points that can be read.

    Attributes:
        path: the file.
        count: how many points its header announces.
        place: its CRS and units.
        bounds: west, south, east and north of all its points, as the header has them [m].
        dated: whether its GPS times are absolute (LAS: adjusted standard GPS time), not seconds of
            an unnamed week.
    """

    path: Path
    count: int
    place: PointCrs
    bounds: tuple[float, float, float, float]
    dated: bool


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Points of one file.

    Attributes:
        xyz: (points, 3) x, y and z [m].
        classes: (points,) ASPRS classes.
        withheld: (points,) True where the file says that a point is not to be used.
        times: (points,) adjusted standard GPS times [s]; None where they are not absolute.
    """

    xyz: FloatArray
    classes: Pixels
    withheld: Mask
    times: FloatArray | None


def find_point_files(sources: Iterable[str | Path]) -> list[Path]:
    """Return the files of points that were named, and those that lie directly in named folders.

    Raises:
        LidarError: one does not exist, is no LAS, LAZ or COPC by its name, or there is none.
    """
    found: dict[Path, Path] = {}
    for source in map(Path, sources):
        files = files_in(source) if source.is_dir() else [source]
        found |= {file.resolve(): file for file in files}
        for file in files:
            refuse_other_files(file)
    if not found:
        msg = "no points: name files that end in .las or .laz, or folders with such files"
        raise LidarError(msg)
    return sorted(found.values())


def files_in(folder: Path) -> list[Path]:
    """Return the files of points directly in a folder.

    Raises:
        LidarError: there is none.
    """
    files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
    if not files:
        msg = f"{folder} has no file that ends in .las or .laz: name the folder that has"
        raise LidarError(msg)
    return files


def refuse_other_files(path: Path) -> None:
    """Refuse what cannot be a file of points.

    Raises:
        LidarError: it cannot.
    """
    if not path.is_file():
        msg = f"{path} does not exist: name a LAS, LAZ or COPC file, or a folder of them"
        raise LidarError(msg)
    if path.suffix.lower() not in SUFFIXES:
        msg = f"{path} is no file of points by its name: expected .las, .laz or .copc.laz"
        raise LidarError(msg)


def read_headers(paths: Iterable[Path], settings: ChmSettings) -> list[PointFile]:
    """Read the headers of files, and check that their points lie in one CRS.

    Returns:
        The files that have points.

    Raises:
        LidarError: one cannot be read, none has points, or their CRSs differ.
    """
    files = [read_header(path, settings) for path in paths]
    kept = [file for file in files if file.count]
    for empty in (file for file in files if not file.count):
        logger.info("%s has no points: left out", empty.path)
    if not kept:
        msg = f"{files[0].path} has no points: name a file that has some"
        raise LidarError(msg)
    for other in kept[1:]:
        refuse_mixed(kept[0], other)
    say_crs_notes(kept)
    return kept


def say_crs_notes(files: list[PointFile]) -> None:
    """Say which CRSs were taken for others, once for all files of which that is so."""
    for note, count in Counter(file.place.note for file in files if file.place.note).items():
        first = next(file.path for file in files if file.place.note == note)
        logger.info("%s%s: %s", first, f" and {count - 1} more" if count > 1 else "", note)


def read_header(path: Path, settings: ChmSettings) -> PointFile:
    """Read the header of one file.

    Raises:
        LidarError: it cannot be read, or its CRS cannot be used.
    """
    with opened(path) as reader:
        header = reader.header
        count = int(header.point_count)
        if path.stat().st_size < header.offset_to_point_data:
            msg = f"{path} breaks off in its header: fetch it again"
            raise LidarError(msg)
        place = PointCrs(crs=None, xy_m=1.0, z_m=1.0, vertical=None)
        if count:
            place = read_point_crs(
                header, path, epsg=settings.epsg, height_unit=settings.height_unit
            )
        low, high = (np.asarray(ends[:2]) * place.xy_m for ends in (header.mins, header.maxs))
        dated = (
            header.global_encoding.gps_time_type == laspy.header.GpsTimeType.STANDARD
            and "gps_time" in header.point_format.dimension_names
        )
    return PointFile(
        path=path,
        count=count,
        place=place,
        bounds=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
        dated=bool(dated),
    )


def refuse_mixed(one: PointFile, other: PointFile) -> None:
    """Refuse files whose points do not lie in one CRS; their units may differ.

    Raises:
        LidarError: they do not.
    """
    here, there = one.place, other.place
    if here.crs != there.crs:
        bare = next((file for file in (one, other) if file.place.crs is None), None)
        advice = "state it with --epsg" if bare else "reproject one"
        msg = (
            f"{one.path} lies in {crs_words(here.crs)}, {other.path} in {crs_words(there.crs)}: "
            f"expected one CRS, {advice}"
        )
        raise LidarError(msg)
    if here.vertical and there.vertical and here.vertical != there.vertical:
        msg = (
            f"heights of {one.path} are above {here.vertical}, of {other.path} above "
            f"{there.vertical}: expected one vertical datum, convert one"
        )
        raise LidarError(msg)


@contextmanager
def opened(path: Path) -> Iterator[laspy.LasReader]:
    """Lend a reader of a file's points.

    Raises:
        LidarError: the file is broken, truncated, or none of points.
    """
    try:
        with laspy.open(path, decompression_selection=FIELDS) as reader:
            yield reader
    except READ_ERRORS as error:
        detail = " ".join(str(error).split())[:120] or type(error).__name__
        msg = f"{path} cannot be read ({detail}): truncated, corrupt or no LAS, fetch it again"
        raise LidarError(msg) from error


def read_chunks(file: PointFile, points: int) -> Iterator[Chunk]:
    """Yield all points of a file, so many at a time.

    Raises:
        LidarError: the file breaks off before its announced end.
    """
    found = 0
    with opened(file.path) as reader:
        for record in reader.chunk_iterator(points):
            found += len(record)
            yield chunk_of(record, file)
    if found != file.count:
        msg = f"{file.path} breaks off: {found} of {file.count} points are there, fetch it again"
        raise LidarError(msg)


def chunk_of(record: laspy.ScaleAwarePointRecord, file: PointFile) -> Chunk:
    """Return points in metres."""
    xy_m, z_m = file.place.xy_m, file.place.z_m
    axes = ((record.x, xy_m), (record.y, xy_m), (record.z, z_m))
    return Chunk(
        xyz=np.column_stack([np.asarray(values, float) * metres for values, metres in axes]),
        classes=np.asarray(record.classification),
        withheld=np.asarray(record.withheld, bool),
        times=np.asarray(record.gps_time, float) if file.dated else None,
    )
