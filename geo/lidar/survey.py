"""What all points of a survey tell together: how many, how classified, when flown, above what."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from geo.height_maps.map_facts import AcquisitionInterval
from geo.lidar.errors import LidarError
from geo.lidar.ground import COARSE_M
from geo.lidar.thinning import lowest_scores

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from geo.grid import FloatArray
    from geo.lidar.point_files import Chunk, PointFile
    from geo.lidar.point_store import PointStore

logger = logging.getLogger(__name__)

NEAR_ZERO_M = 0.5
"""Ground this near to zero is the ground of normalised heights, or of a coast where heights above
ground and above sea are the same to that much."""

NEARLY_ALL = 0.95
"""Share of ground returns near zero that makes a file normalised."""

MOST = 0.8
"""The same share of the lowest returns in 20 m, some of which are trees."""

GPS_EPOCH = datetime(1980, 1, 6, tzinfo=UTC)
ADJUSTMENT_S = 1e9
"""LAS: adjusted standard GPS time is GPS time less this."""

LEAP_S = 18
"""GPS time runs ahead of UTC by no more than this, and never behind."""

FIRST_LIDAR = datetime(1993, 1, 1, tzinfo=UTC)
"""A GPS time before airborne lidar is none."""


@dataclass(kw_only=True)
class FileTally:
    """What is counted of one file.

    Attributes:
        path: the file.
        ground: returns of class 2.
        low: those of them that are near zero.
    """

    path: Path
    ground: int = 0
    low: int = 0

    @property
    def looks_normalised(self) -> bool:
        """Whether the ground of the file lies at zero."""
        return self.low >= NEARLY_ALL * self.ground


@dataclass(kw_only=True)
class Survey:
    """What is counted while points are read, and while heights are made of them.

    Attributes:
        read: points in all files.
        left_out: those not looked at: classes, withheld, beyond the bounds asked for.
        kept: the others.
        bounds: west, south, east and north of the kept ones [m].
        times: first and last GPS time [s]; infinite the wrong way round where none is known.
        undated: whether any file has no absolute times.
        tallies: what is counted of each file.
        too_high: points in the result's pixels that stand higher above ground than plants.
        isolated: points there that hang alone in the air.
    """

    read: int = 0
    left_out: int = 0
    kept: int = 0
    bounds: tuple[float, float, float, float] = (np.inf, np.inf, -np.inf, -np.inf)
    times: tuple[float, float] = (np.inf, -np.inf)
    undated: bool = False
    tallies: list[FileTally] = field(default_factory=list)
    too_high: int = 0
    isolated: int = 0

    def begin(self, file: PointFile) -> None:
        """Note that the points of another file follow."""
        self.tallies.append(FileTally(path=file.path))
        self.undated |= not file.dated

    def count(self, chunk: Chunk, xyz: FloatArray, ground: FloatArray) -> None:
        """Count a chunk, of which points (points, 3) are kept and ground returns among them [m]."""
        self.read += len(chunk.classes)
        self.left_out += len(chunk.classes) - len(xyz)
        self.kept += len(xyz)
        self.tallies[-1].ground += len(ground)
        self.tallies[-1].low += int((np.abs(ground[:, 2]) <= NEAR_ZERO_M).sum())
        if len(xyz):
            west, south, east, north = self.bounds
            (x0, y0), (x1, y1) = xyz[:, :2].min(0).tolist(), xyz[:, :2].max(0).tolist()
            self.bounds = min(west, x0), min(south, y0), max(east, x1), max(north, y1)
        if chunk.times is not None and len(chunk.times):
            first, last = self.times
            self.times = min(first, chunk.times.min()), max(last, chunk.times.max())

    @property
    def ground(self) -> int:
        """Returns of class 2 in all files."""
        return sum(tally.ground for tally in self.tallies)

    def acquired(self, processed: datetime) -> AcquisitionInterval | None:
        """Return when the survey was flown, where all files tell it in a way that can be true."""
        first, last = self.times
        if self.undated or not first <= last:
            return None
        try:
            start, end = (
                GPS_EPOCH + timedelta(seconds=ADJUSTMENT_S + value) for value in (first, last)
            )
        except OverflowError:
            return None
        start -= timedelta(seconds=LEAP_S)
        if not FIRST_LIDAR <= start <= end <= processed:
            return None
        return AcquisitionInterval(start=start, end=end, evidence="GPS time of the returns")


def is_normalised(survey: Survey, returns: PointStore, chosen: bool | None) -> bool:  # noqa: FBT001 - a choice, or none
    """Return whether heights are above ground already, and say so where that was found out.

    With ground returns the files that have some must agree: 95 % of their ground within 0.5 m of
    zero, or not. Without any, the lowest returns in squares of 20 m are looked at: where most are
    within 0.5 m of zero, what was read is as good as above ground.

    Args:
        survey: what was counted.
        returns: all points.
        chosen: what the user says; None to find out.

    Raises:
        LidarError: files disagree, or there is no ground and heights are not above it.
    """
    if chosen is True:
        return True
    if not survey.ground:
        if chosen is None and lowest_near_zero(returns):
            logger.info("heights are above ground already: their lowest lie at 0 m, no class 2")
            return True
        raise LidarError(no_ground_words(survey))
    if chosen is False:
        return False
    return files_agree(tally for tally in survey.tallies if tally.ground)


def files_agree(tallies: Iterable[FileTally]) -> bool:
    """Return whether files with ground are normalised.

    Raises:
        LidarError: some are and some are not.
    """
    tallies = list(tallies)
    normalised = [tally for tally in tallies if tally.looks_normalised]
    if not normalised:
        return False
    if len(normalised) < len(tallies):
        other = next(tally for tally in tallies if not tally.looks_normalised)
        msg = (
            f"{normalised[0].path} has heights above ground, {other.path} has not: "
            "expected one kind, map them apart, or say --not-normalised if both have not"
        )
        raise LidarError(msg)
    logger.info("heights are above ground already: class 2 lies at 0 m, no ground is subtracted")
    return True


def no_ground_words(survey: Survey) -> str:
    """Return the line about points without ground."""
    return (
        f"no ground returns (class 2) among {survey.kept} points of {survey.tallies[0].path}"
        f"{' and others' if len(survey.tallies) > 1 else ''}: classify ground first, give --dsm "
        "and --dtm, or say --normalised if heights are above ground already"
    )


def lowest_near_zero(returns: PointStore) -> bool:
    """Whether the lowest returns of most squares of 20 m lie near zero."""
    near, squares = 0, 0
    for cell in sorted(returns.counts):
        lowest = np.empty((0, 3))
        for piece in returns.pieces(cell):
            points = np.concatenate([lowest, piece])
            lowest = points[lowest_scores(points, points[:, 2], COARSE_M)]
        near += int((np.abs(lowest[:, 2]) <= NEAR_ZERO_M).sum())
        squares += len(lowest)
    return near >= MOST * squares
