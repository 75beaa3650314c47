"""Windows of pairs, and how far apart they lie on the ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from geo.ground import longitude_latitude

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from geo.grid import Grid

EQUATOR_M, POLE_M = 6_378_137.0, 6_356_752.314245
"""Half axes of the WGS 84 ellipsoid [m]."""


@dataclass(frozen=True, kw_only=True)
class ChipWindow:
    """A window of a pair.

    Attributes:
        pair: which pair, counted from 0.
        site: where it lies.
        row: first row of the pair's grid [px].
        column: first column [px].
        height: rows; fewer than a chip has where the plot is smaller [px].
        width: columns [px].
        grid: georeference of the window.
        known: share of its pixels that image and lidar know.
        block: name of the block of ground that it lies in.
    """

    pair: int
    site: str
    row: int
    column: int
    height: int
    width: int
    grid: Grid
    known: float
    block: str

    @property
    def area(self) -> float:
        """Known pixels."""
        return self.known * self.height * self.width


def starts(length: int, side: int) -> list[int]:
    """Return where windows of a side begin along an axis; the last one ends with it [px]."""
    if length <= side:
        return [0]
    last = length - side
    return [*range(0, last, side), last]


def block_of(grid: Grid, block_m: float) -> str:
    """Return the name of the block that the middle of a window lies in: squares of its CRS."""
    west, south, east, north = grid.bounds
    middle = np.array([west + east, south + north]) / 2
    column, row = np.floor(middle / block_m).astype(int).tolist()
    code = grid.crs.to_string() if grid.crs else "plane"
    return f"{code[:32]}/{column}/{row}"


def near_pairs(windows: Sequence[ChipWindow], guard_m: float) -> npt.NDArray[np.int64]:
    """Return pairs of windows (n, 2) that overlap or lie nearer than a guard distance.

    Windows of one CRS are compared by their edges; of two, whose edges do not compare, by circles
    around them on the ellipsoid, which finds too many rather than too few.
    """
    if len(windows) < 2:  # noqa: PLR2004 - one has no neighbour
        return np.empty((0, 2), np.int64)
    centres, radii = on_earth(windows)
    candidates = cKDTree(centres).query_pairs(2 * radii.max() + guard_m, output_type="ndarray")
    near = [pair for pair in candidates if are_near(windows, pair, guard_m, centres, radii)]
    return np.array(near, np.int64).reshape(-1, 2)


def are_near(
    windows: Sequence[ChipWindow],
    pair: npt.NDArray[np.int64],
    guard_m: float,
    centres: npt.NDArray[np.float64],
    radii: npt.NDArray[np.float64],
) -> bool:
    """Whether two windows overlap or lie nearer than a guard distance."""
    first, second = pair
    ours, theirs = windows[first].grid, windows[second].grid
    if ours.crs != theirs.crs:
        apart = float(np.linalg.norm(centres[first] - centres[second]))
        return bool(apart < radii[first] + radii[second] + guard_m)
    west, south, east, north = ours.bounds
    left, bottom, right, top = theirs.bounds
    across = max(left - east, west - right, 0.0)
    down = max(bottom - north, south - top, 0.0)
    overlaps = left < east and west < right and bottom < north and south < top
    return overlaps or float(np.hypot(across, down)) < guard_m


def on_earth(
    windows: Sequence[ChipWindow],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return middles of windows, from the middle of the Earth (n, 3), and radii (n,) [m]."""
    centres, radii = np.empty((len(windows), 3)), np.empty(len(windows))
    for index, window in enumerate(windows):
        west, south, east, north = window.grid.bounds
        radii[index] = np.hypot(east - west, north - south) / 2
        x, y = np.array([(west + east) / 2]), np.array([(south + north) / 2])
        crs = window.grid.crs
        longitude, latitude = longitude_latitude(crs, x, y) if crs else (x, y)
        centres[index] = from_the_middle(float(longitude[0]), float(latitude[0]))
    return centres, radii


def from_the_middle(longitude: float, latitude: float) -> npt.NDArray[np.float64]:
    """Return a place on the ellipsoid as coordinates from the Earth's middle (3,) [m]."""
    lon, lat = np.radians(longitude), np.radians(latitude)
    squashed = (POLE_M / EQUATOR_M) ** 2
    curve = EQUATOR_M / np.sqrt(1 - (1 - squashed) * np.sin(lat) ** 2)
    return np.array(
        [
            curve * np.cos(lat) * np.cos(lon),
            curve * np.cos(lat) * np.sin(lon),
            squashed * curve * np.sin(lat),
        ]
    )
