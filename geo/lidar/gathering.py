"""All points of all files, once through: filtered, counted and sorted by place on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geo.lidar.errors import LidarError
from geo.lidar.point_files import GROUND, read_chunks
from geo.lidar.point_store import PointStore, cell_side
from geo.lidar.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from geo.lidar.point_files import Chunk, PointFile
    from geo.lidar.point_store import Bounds
    from geo.lidar.settings import ChmSettings, WorkLimits
    from geo.lidar.steps import Steps
    from geo.raster import Mask


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """The points of a survey on disk.

    Attributes:
        returns: all that were kept.
        ground: those of class 2 among them, once more.
        survey: what was counted.
    """

    returns: PointStore
    ground: PointStore
    survey: Survey


def gather(
    files: Sequence[PointFile],
    folder: Path,
    settings: ChmSettings,
    limits: WorkLimits,
    region: Bounds | None,
    steps: Steps,
) -> Gathered:
    """Read all points once and sort them by place on disk.

    In memory is one chunk at a time; on disk are 24 bytes a point, 48 of a ground return.

    Args:
        files: the files.
        folder: where the points are kept.
        settings: which classes count.
        limits: how much is read at once.
        region: bounds [m] beyond which points are not needed; None for all.
        steps: told of every chunk.

    Raises:
        LidarError: a file breaks off, or no point is left.
        MapFileError: the disk is full.
    """
    side = cell_side(all_bounds(files), limits.cell_m)
    gathered = Gathered(
        returns=PointStore(folder / "returns", side),
        ground=PointStore(folder / "ground", side),
        survey=Survey(),
    )
    for file in files:
        gathered.survey.begin(file)
        for chunk in read_chunks(file, limits.chunk_points):
            sort_in(chunk, gathered, wanted(chunk, settings, region))
            steps.advance()
    if not gathered.survey.kept:
        msg = (
            f"no point is left of {gathered.survey.read}: all are withheld, beyond the bounds, or "
            f"of classes {', '.join(map(str, sorted(settings.left_out)))}"
        )
        raise LidarError(msg)
    return gathered


def wanted(chunk: Chunk, settings: ChmSettings, region: Bounds | None) -> Mask:
    """Return which points of a chunk are looked at (True)."""
    kept = ~np.isin(chunk.classes, sorted(settings.left_out)) & ~chunk.withheld
    if region is not None:
        west, south, east, north = region
        x, y = chunk.xyz[:, 0], chunk.xyz[:, 1]
        kept &= (west <= x) & (x <= east) & (south <= y) & (y <= north)
    return kept


def sort_in(chunk: Chunk, gathered: Gathered, kept: Mask) -> None:
    """Count the points of a chunk and put the kept ones on disk."""
    xyz, ground = chunk.xyz[kept], chunk.xyz[kept & (chunk.classes == GROUND)]
    gathered.survey.count(chunk, xyz, ground)
    gathered.returns.add(xyz)
    gathered.ground.add(ground)


def all_bounds(files: Sequence[PointFile]) -> Bounds:
    """Return the bounds of all points by their headers [m]."""
    west, south, east, north = zip(*(file.bounds for file in files), strict=True)
    return min(west), min(south), max(east), max(north)


def chunk_count(files: Sequence[PointFile], limits: WorkLimits) -> int:
    """Return how many chunks the files are read in."""
    return sum(-(-file.count // limits.chunk_points) for file in files)
