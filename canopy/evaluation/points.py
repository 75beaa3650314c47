"""Heights measured at points, or by GEDI footprints, beside the map's heights around them.

Footprints follow the validation of CHMv2 (Brandt et al. 2026, section 4.3): the 98th percentile of
the map within 12 m of a shot against its RH98, of shots of good quality.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from canopy.errors import SettingsError
from canopy.evaluation.footprint_filters import protocol_filters
from canopy.evaluation.vectors import find_column, read_table
from canopy.stored_heights import LOWEST_M, TALLEST_M
from geo.grid import Grid
from geo.ground import WGS84, ground_pixel_m

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from canopy.evaluation.height_source import HeightReader, HeightSource
    from canopy.evaluation.settings import EvaluationSettings

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

log = logging.getLogger(__name__)

HEIGHT_COLUMNS = (
    "height_m", "height", "canopy_height", "chm", "tree_height", "h", "z",
)  # fmt: skip
FOOTPRINT_COLUMNS = ("rh98", "rh_98", "rh98_m", "height_m", "height")
"""Columns of heights [m], in any case of letters."""

SHOTS = {"shot_number", "rh98", "rh_98"}
"""Columns that only tables of footprints have, in any case of letters."""

FOOTPRINT_RADIUS_M, FOOTPRINT_PERCENTILE = 12.0, 98.0

LEAST_COVERED = 0.9
"""Share of the pixels around a point that must have a height."""

PIECE_DEG = 0.01
"""Side of the pieces of ground from which intervals of points are drawn [degrees], about 1 km."""

SCALE_ROWS = 1000
"""Rows of the map over which a pixel's size on the ground is taken as one."""


@dataclass(frozen=True, kw_only=True)
class Points:
    """Points of one file and what was measured there.

    Attributes:
        path: the file.
        x, y: coordinates in the CRS of the map (n,).
        heights: measured heights [m] (n,).
        pieces: piece of ground of each point, about 1 km wide (n,).
        groups: group of each point (n,), or None.
        read: rows of the file.
        left_out: how many rows were left out, by reason.
        column: where the heights come from.
        filters: filters of footprints that were applied, in words.
        lacking: those that could not be, and the columns that they lack.
    """

    path: str
    x: Array
    y: Array
    heights: Array
    pieces: NDArray[np.int64]
    groups: list[str] | None
    read: int
    left_out: dict[str, int]
    column: str
    filters: list[str]
    lacking: list[str]


def read_points(
    path: str, map_source: HeightSource, settings: EvaluationSettings, *, footprints: bool
) -> Points:
    """Read points with heights.

    Raises:
        SceneError: the file cannot be read.
        SettingsError: it has no points, no CRS or no column of heights, or its heights are not
            metres.
    """
    table = read_table(Path(path)).reset_index(drop=True)
    if not hasattr(table, "geometry"):
        msg = f"{path} has no points: expected a geometry, or columns longitude and latitude"
        raise SettingsError(msg)
    usual = FOOTPRINT_COLUMNS if footprints else HEIGHT_COLUMNS
    names = [str(name) for name in table.columns if name != table.geometry.name]
    if not footprints and settings.height_column is None:
        refuse_footprints(path, names)
    column = find_column(path, names, settings.height_column, usual)
    read = len(table)
    left_out: dict[str, int] = {}
    kinds = set(table.geometry.geom_type.dropna())
    if kinds - {"Point"}:
        msg = f"{path} holds {', '.join(sorted(kinds))}: expected points"
        raise SettingsError(msg)
    tests, applied, lacking = checks(table, footprints=footprints and settings.filters)
    for reason, kept in tests:
        still = kept[table.index]
        if dropped := int((~still).sum()):
            left_out[reason] = dropped
        table = table[still]
    heights = numbers(path, column, table[column]) * (settings.reference_scale or 1.0)
    plausible = np.isfinite(heights) & (heights >= LOWEST_M) & (heights <= TALLEST_M)
    refuse_other_units(path, column, heights)
    if dropped := int((~plausible).sum()):
        left_out["no height"] = dropped
    table, heights = table[plausible], np.maximum(heights[plausible], 0.0)
    x, y = coordinates(path, table, map_source)
    return Points(
        path=path,
        x=x,
        y=y,
        heights=heights,
        pieces=pieces_of(table),
        groups=groups_of(path, table, names, settings),
        read=read,
        left_out=left_out,
        column=column,
        filters=applied,
        lacking=lacking,
    )


def refuse_footprints(path: str, names: list[str]) -> None:
    """Refuse footprints that are given as points: a shot sees 25 m and not the pixel under it.

    Raises:
        SettingsError: the columns are those of footprints.
    """
    if found := [name for name in names if name.lower() in SHOTS]:
        msg = (
            f"{path} holds footprints of space lidar (column {found[0]}): give it as --footprints; "
            "or name the column of heights measured at points (--height-column)"
        )
        raise SettingsError(msg)


def numbers(path: str, column: str, values: Any) -> Array:  # noqa: ANN401 - see read_table
    """Return the numbers of a column (n,), NaN where it has none.

    Raises:
        SettingsError: it holds something else.
    """
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        strange = next(value for value in values if not is_number(value))
        msg = (
            f"{path}: {column} holds {strange!r}, expected heights: leave such cells empty, or "
            "name another column with --height-column"
        )
        raise SettingsError(msg) from error


def is_number(value: Any) -> bool:  # noqa: ANN401 - a cell
    """Whether a cell of a table is a number."""
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def checks(
    table: Any,  # noqa: ANN401 - see read_table
    *,
    footprints: bool,
) -> tuple[list[tuple[str, Any]], list[str], list[str]]:
    """Return what keeps a row, by the reason why others are left out.

    Of footprints, each filter of the protocol for which the file has the columns; and which filters
    these are, in words, and which lack columns.
    """
    found = [("no place", table.geometry.notna() & ~table.geometry.is_empty)]
    if not footprints:
        return found, [], []
    kept, applied, lacking = protocol_filters(table)
    rows = [(reason, type(found[0][1])(mask, index=table.index)) for reason, mask in kept.items()]
    return found + rows, applied, lacking


def refuse_other_units(path: str, column: str, heights: Array) -> None:
    """Refuse heights of which most are taller than any tree.

    Raises:
        SettingsError: they are.
    """
    finite = heights[np.isfinite(heights)]
    if finite.size and float(np.median(finite)) > TALLEST_M:
        msg = (
            f"{path}: the median of {column} is {np.median(finite):g}, taller than any tree: where "
            "it is in centimetres, say so with --reference-scale 0.01"
        )
        raise SettingsError(msg)


def coordinates(path: str, table: Any, map_source: HeightSource) -> tuple[Array, Array]:  # noqa: ANN401
    """Return x and y of points in the CRS of the map.

    Raises:
        SettingsError: only one of both has a CRS.
    """
    crs = map_source.grid.crs
    if (crs is None) != (table.crs is None):
        without = path if table.crs is None else map_source.path
        msg = f"{without} has no CRS and the other has: assign it"
        raise SettingsError(msg)
    if crs is not None and len(table):
        table = table.to_crs(crs.to_wkt())
    return np.asarray(table.geometry.x, float), np.asarray(table.geometry.y, float)


def on_the_ground(x: Array, y: Array, grid: Grid) -> tuple[Array, Array]:
    """Return places as metres along the axes of their CRS from the least of both (n,) [true m].

    The scale is that of their middle.

    Args:
        x: coordinates in the CRS of the grid (n,), one place at least.
        y: the same.
        grid: the map's.
    """
    side = min(grid.pixel_size)
    middle = Affine.translation((x.min() + x.max()) / 2, (y.min() + y.max()) / 2)
    pixel = Grid(crs=grid.crs, transform=middle * Affine.scale(side, -side), height=1, width=1)
    across, down = ground_pixel_m(pixel)
    return (x - x.min()) * across / side, (y - y.min()) * down / side


def pieces_of(table: Any) -> NDArray[np.int64]:  # noqa: ANN401
    """Return a number for the piece of ground that each point lies in (n,)."""
    if not len(table):
        return np.zeros(0, np.int64)
    if table.crs is None:
        places = np.stack([table.geometry.x, table.geometry.y]) // 1000
    else:
        degrees = table.to_crs(WGS84).geometry
        places = np.stack([degrees.x, degrees.y]) // PIECE_DEG
    _, numbers = np.unique(places, axis=1, return_inverse=True)
    return np.asarray(numbers, np.int64).ravel()


def groups_of(
    path: str,
    table: Any,  # noqa: ANN401
    names: list[str],
    settings: EvaluationSettings,
) -> list[str] | None:
    """Return the group of each point, where the groups are a column of the points.

    Raises:
        SettingsError: there is no such column, and no file of sites either.
    """
    if settings.groups is None or settings.sites is not None:
        return None
    column = find_column(path, names, settings.groups, ())
    return [str(value) for value in table[column]]


@dataclass(frozen=True, kw_only=True)
class Neighbourhood:
    """Which pixels around a point are taken, and what of them.

    Attributes:
        radius_m: distance of their centres from the point [m]; 0 for the pixel under it.
        percentile: 0 to 100; None for their mean.
    """

    radius_m: float
    percentile: float | None

    @property
    def words(self) -> str:
        """What is taken, in words."""
        if self.radius_m == 0:
            return "the map's pixel under the point"
        taken = "mean" if self.percentile is None else f"{self.percentile:g}th percentile"
        return f"{taken} of the map within {self.radius_m:g} m of the point"


def neighbourhood_of(settings: EvaluationSettings, *, footprints: bool) -> Neighbourhood:
    """Return what is taken of the map, as asked for or as usual."""
    radius, percentile = settings.radius_m, settings.percentile
    if footprints:
        radius = FOOTPRINT_RADIUS_M if radius is None else radius
        percentile = FOOTPRINT_PERCENTILE if percentile is None else percentile
    return Neighbourhood(radius_m=radius or 0.0, percentile=percentile)


def heights_at(reader: HeightReader, points: Points, around: Neighbourhood) -> Array:
    """Return the map's heights at points [m] (n,), NaN where too little of it has a height."""
    inverse = ~reader.source.grid.transform
    columns = inverse.c + inverse.a * points.x + inverse.b * points.y
    rows = inverse.f + inverse.d * points.x + inverse.e * points.y
    sizes: dict[int, tuple[float, float]] = {}
    found = np.full(len(points.x), np.nan)
    for index in np.lexsort((columns, rows)).tolist():
        row, column = float(rows[index]), float(columns[index])
        if not (math.isfinite(row) and -1e6 < row < 1e9 and -1e6 < column < 1e9):  # noqa: PLR2004 - beyond any map
            continue
        band = math.floor(row / SCALE_ROWS)
        if band not in sizes:
            sizes[band] = pixel_size(reader.source, row)
        found[index] = height_at(reader, (row, column), sizes[band], around)
    return found


def pixel_size(source: HeightSource, row: float) -> tuple[float, float]:
    """Return width and height of a pixel near a row [true m]; scale varies over a large map."""
    grid = source.grid
    nearest = min(max(int(row), 0), grid.height - 1)
    if grid.height <= SCALE_ROWS:
        return source.pixel_m
    first = min(max(nearest - SCALE_ROWS // 2, 0), grid.height - SCALE_ROWS)
    return ground_pixel_m(grid.part(first, 0, SCALE_ROWS, grid.width))


def height_at(
    reader: HeightReader,
    place: tuple[float, float],
    pixel_m: tuple[float, float],
    around: Neighbourhood,
) -> float:
    """Return the map's height at a row and column [px]; NaN where too little of it has a height."""
    row, column = place
    down, across = around.radius_m / pixel_m[1], around.radius_m / pixel_m[0]
    first = math.floor(row - down), math.floor(column - across)
    last = math.floor(row + down), math.floor(column + across)
    heights, valid = reader.read(*first, last[0] - first[0] + 1, last[1] - first[1] + 1)
    if around.radius_m:
        inside = circle(place, first, valid.shape, (down, across))
        if not inside.any():  # pixels larger than the circle
            inside[math.floor(row) - first[0], math.floor(column) - first[1]] = True
        heights, valid = heights[inside], valid[inside]
    if valid.mean() < LEAST_COVERED:
        return float("nan")
    known = heights[valid]
    return float(
        known.mean() if around.percentile is None else np.percentile(known, around.percentile)
    )


def circle(
    centre: tuple[float, float],
    first: tuple[int, int],
    shape: tuple[int, ...],
    radii: tuple[float, float],
) -> Mask:
    """Return which pixels have their centre within radii [px] of a row and column (y, x)."""
    rows = (first[0] + np.arange(shape[0]) + 0.5 - centre[0]) / radii[0]
    columns = (first[1] + np.arange(shape[1]) + 0.5 - centre[1]) / radii[1]
    inside: Mask = rows[:, None] ** 2 + columns[None] ** 2 <= 1 + 1e-9
    return inside
