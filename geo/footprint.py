"""The outline of a raster grid in longitude and latitude, as GeoJSON wants it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from pyproj.exceptions import ProjError

from geo.errors import GridError
from geo.ground import longitude_latitude

if TYPE_CHECKING:
    from geo.grid import FloatArray, Grid

Ring = list[tuple[float, float]]

HALF_TURN = 180.0  # degrees
DECIMALS = 7  # of a degree: about a centimetre
_SEGMENTS = 20  # per side, where a straight side bends on the globe


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """The ground under a grid.

    Attributes:
        geometry: GeoJSON Polygon in EPSG:4326 (longitude, latitude in degrees), counter-clockwise;
            a MultiPolygon cut at 180 degrees where the grid crosses the antimeridian.
        bbox: West, south, east, north in degrees; west > east where the grid crosses the
            antimeridian (RFC 7946).
    """

    geometry: dict[str, Any]
    bbox: list[float]


def grid_footprint(grid: Grid) -> Footprint | None:
    """Outline the outer pixel edges of a grid on the globe.

    A side that bends when reprojected gets points in between; a small grid has just its corners.

    Args:
        grid: The grid; may be rotated or south-up.

    Returns:
        The footprint, or None where there is none to give: a grid without CRS, in a CRS with no way
        to the globe (a local engineering grid), or around a pole.
    """
    lonlat = _outline(grid)
    if lonlat is None:
        return None
    ring = _counter_clockwise(_unwrapped(lonlat))
    if abs(ring[-1][0] - ring[0][0]) > HALF_TURN:
        return None  # it goes round a pole and does not close
    parts = [_rounded(part) for part in _cut_at_antimeridian(ring[:-1])]
    return Footprint(geometry=_geometry(parts), bbox=_bbox(parts))


def _outline(grid: Grid) -> FloatArray | None:
    """Return the closed outline as (points, 2) longitudes and latitudes [degrees], if any."""
    if grid.crs is None:
        return None
    try:
        halves = _side_points(grid, 2)
        chords = (halves[0:-1:2] + halves[2::2]) / 2
        straight = bool((np.abs(chords - halves[1::2]) < 10.0**-DECIMALS).all())
        return _side_points(grid, 1 if straight else _SEGMENTS)
    except (GridError, ProjError):
        return None


def _side_points(grid: Grid, segments: int) -> FloatArray:
    """Return (4 * segments + 1, 2) longitudes and latitudes [degrees] along the four sides."""
    height, width = grid.shape
    steps = np.arange(4 * segments + 1) / segments
    rows = np.interp(steps, np.arange(5), [0, height, height, 0, 0])
    columns = np.interp(steps, np.arange(5), [0, 0, width, width, 0])
    return np.column_stack(longitude_latitude(grid.crs, *grid.locate(rows, columns)))


def _unwrapped(lonlat: FloatArray) -> Ring:
    """Return the points with longitudes that never jump: beyond 180 degrees they go on to 181."""
    longitudes = np.unwrap(lonlat[:, 0], period=360.0)
    return [(float(x), float(y)) for x, y in zip(longitudes, lonlat[:, 1], strict=True)]


def _counter_clockwise(ring: Ring) -> Ring:
    """Return a closed ring in the direction that GeoJSON asks of an outer ring."""
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))
    return ring if area > 0 else ring[::-1]


def _cut_at_antimeridian(ring: Ring) -> list[Ring]:
    """Return one open ring inside -180..180 degrees, or two where it crosses 180, western first."""
    west = min(x for x, _ in ring)
    turns = math.floor((west + HALF_TURN) / 360.0) * 360.0  # brings the west end into -180..180
    ring = [(x - turns, y) for x, y in ring]
    if max(x for x, _ in ring) <= HALF_TURN:
        return [ring]
    beyond = _clip([(-x, y) for x, y in ring], -HALF_TURN)
    return [_clip(ring, HALF_TURN), [(-x - 360.0, y) for x, y in beyond]]


def _clip(ring: Ring, limit: float) -> Ring:
    """Return the part of an open, convex ring with x <= limit (Sutherland-Hodgman, one plane)."""
    kept: Ring = []
    for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True):
        if x0 <= limit:
            kept.append((x0, y0))
        if (x0 <= limit) != (x1 <= limit):
            kept.append((limit, y0 + (y1 - y0) * (limit - x0) / (x1 - x0)))
    return kept


def _rounded(ring: Ring) -> Ring:
    """Return the ring closed and rounded."""
    points = [(round(x, DECIMALS), round(y, DECIMALS)) for x, y in ring]
    return [*points, points[0]]


def _geometry(parts: list[Ring]) -> dict[str, Any]:
    """Return a GeoJSON Polygon, or a MultiPolygon of more than one part."""
    polygons = [[[list(point) for point in part]] for part in parts]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _bbox(parts: list[Ring]) -> list[float]:
    """Return west, south, east, north; the first part is the western one."""
    latitudes = [y for part in parts for _, y in part]
    west = min(x for x, _ in parts[0])
    east = max(x for x, _ in parts[-1])
    return [west, min(latitudes), east, max(latitudes)]
