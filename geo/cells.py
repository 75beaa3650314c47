"""Cells: a fixed grid over the Earth, in UTM, on which the parts of a regional map lie."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyproj
import shapely
from affine import Affine
from rasterio.crs import CRS
from shapely.geometry import box, shape

from geo.errors import GridError
from geo.footprint import grid_footprint
from geo.grid import Grid
from geo.ground import WGS84

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

ZONE_DEG = 6
ZONES = 60
SOUTHMOST, NORTHMOST = -80.0, 84.0
"""Where UTM ends [degrees]."""

NORTH, SOUTH = 32600, 32700
"""EPSG codes of the zones (WGS 84): these plus the number of the zone."""

SIDES_PX = tuple(2**power for power in range(9, 16))
FINEST_M, COARSEST_M = 0.01, 100.0

MOST_CELLS = 1_000_000
STEP_DEG = 0.02
"""Longest piece of an edge that is projected as a straight line [degrees]."""

_ID = re.compile(r"utm(\d{2})([ns])_(\d+(?:\.\d+)?)m_(\d+)px_e(-?\d+)_n(-?\d+)")


@dataclass(frozen=True, kw_only=True, order=True)
class Cell:
    """A square of ground that is the same for everybody, forever.

    Attributes:
        epsg: code of its UTM zone (WGS 84), 32601 to 32660 or 32701 to 32760.
        pixel_m: side of a pixel [m of the zone].
        side_px: pixels along each side.
        column: cells between it and the zone's origin, eastwards.
        row: cells between it and the zone's origin, northwards.
    """

    epsg: int
    pixel_m: float
    side_px: int
    column: int
    row: int

    @property
    def id(self) -> str:
        """Its name, which is also fit for files and objects: utm17n_0.6m_4096px_e120_n1034."""
        zone, half = self.epsg % 100, "n" if self.epsg < SOUTH else "s"
        pixel = repr(float(self.pixel_m)).removesuffix(".0")
        return f"utm{zone:02}{half}_{pixel}m_{self.side_px}px_e{self.column}_n{self.row}"

    @classmethod
    def from_id(cls, text: str) -> Cell:
        """Return the cell of an id.

        Raises:
            GridError: it is no id of a cell, or not spelled as ids are.
        """
        found = _ID.fullmatch(text)
        if found:
            zone, half, pixel, side, column, row = found.groups()
            cell = cls(
                epsg=(NORTH if half == "n" else SOUTH) + int(zone),
                pixel_m=float(pixel),
                side_px=int(side),
                column=int(column),
                row=int(row),
            )
            sizes_fit = not _unfit(cell.pixel_m, cell.side_px)
            if 1 <= int(zone) <= ZONES and sizes_fit and cell.id == text:
                return cell
        msg = f"{text!r} is no id of a cell: expected such as utm17n_0.6m_4096px_e120_n1034"
        raise GridError(msg)

    @property
    def origin_px(self) -> tuple[int, int]:
        """Row and column of its upper left pixel on the zone's endless pixel grid.

        A column is x / pixel, a row is -y / pixel: rows run south.
        """
        return -(self.row + 1) * self.side_px, self.column * self.side_px

    @property
    def grid(self) -> Grid:
        """Its north-up pixels."""
        row, column = self.origin_px
        pixel = self.pixel_m
        return Grid(
            crs=CRS.from_epsg(self.epsg),
            transform=Affine(pixel, 0, column * pixel, 0, -pixel, -row * pixel),
            height=self.side_px,
            width=self.side_px,
        )

    @property
    def footprint(self) -> BaseGeometry:
        """Its ground in EPSG:4326, cut at the antimeridian."""
        outline = grid_footprint(self.grid)
        if outline is None:
            msg = f"cell {self.id} lies nowhere on Earth: expected one of `CellGrid.cells_over`"
            raise GridError(msg)
        return shape(outline.geometry)


@dataclass(frozen=True, kw_only=True)
class CellGrid:
    """All cells of one size.

    Attributes:
        pixel_m: side of a pixel [m of a UTM zone], 0.01 to 100.
        side_px: pixels along each side of a cell, a power of two from 512 to 32768.
    """

    pixel_m: float
    side_px: int = 4096

    def __post_init__(self) -> None:
        """Refuse sizes that no cell has.

        Raises:
            GridError: the sizes are none.
        """
        if trouble := _unfit(self.pixel_m, self.side_px):
            raise GridError(trouble)
        object.__setattr__(self, "pixel_m", float(self.pixel_m))

    @property
    def side_m(self) -> float:
        """Length of a cell's side [m of the zone]."""
        return self.side_px * self.pixel_m

    def cells_over(self, geometry: BaseGeometry) -> list[Cell]:
        """Return the cells that an area meets, of every zone that it meets.

        Cells at the edge of a zone reach into the next, which has cells there of its own.

        Args:
            geometry: polygons in EPSG:4326 (longitude, latitude); longitudes may go on beyond 180.

        Returns:
            The cells that share ground with the area, in order; none for an area without ground.

        Raises:
            GridError: it reaches beyond UTM, or the cells are too many.
        """
        if geometry.is_empty:
            return []
        _refuse_poles(geometry)
        found: list[Cell] = []
        for epsg, part in _parts_by_zone(geometry):
            found += self._cells_of(epsg, part)
            if len(found) > MOST_CELLS:
                raise _too_many(self)
        return sorted(found)

    def _cells_of(self, epsg: int, part: BaseGeometry) -> list[Cell]:
        """Return the cells of a zone that meet an area in the zone's coordinates."""
        if part.area > MOST_CELLS * self.side_m**2:
            raise _too_many(self)
        shapely.prepare(part)
        # From large squares down: what misses the area is dropped before it becomes many cells.
        level, columns, rows = self._coarse_squares(part)
        while True:
            boxes = _squares(columns, rows, self.side_m * 2**level)
            kept = shapely.intersects(part, boxes)
            columns, rows, boxes = columns[kept], rows[kept], boxes[kept]
            if len(columns) > MOST_CELLS:
                raise _too_many(self)
            if level == 0:
                break
            columns, rows = _quartered(columns, rows)
            level -= 1
        inside = ~shapely.touches(part, boxes)
        return [
            Cell(
                epsg=epsg, pixel_m=self.pixel_m, side_px=self.side_px,
                column=int(column), row=int(row),
            )
            for column, row in zip(columns[inside], rows[inside], strict=True)
        ]  # fmt: skip

    def _coarse_squares(self, part: BaseGeometry) -> tuple[int, np.ndarray, np.ndarray]:
        """Return a level at which few squares cover an area, and their columns and rows."""
        west, south, east, north = (edge / self.side_m for edge in part.bounds)
        level = max(0, math.ceil(math.log2(max(east - west, north - south, 1) / 8)))
        across = np.arange(math.floor(west / 2**level), math.floor(east / 2**level) + 1)
        up = np.arange(math.floor(south / 2**level), math.floor(north / 2**level) + 1)
        columns, rows = np.meshgrid(across, up)
        return level, columns.ravel(), rows.ravel()


def _unfit(pixel_m: float, side_px: int) -> str | None:
    """Say what is wrong with the sizes of cells, or None."""
    if not FINEST_M <= pixel_m <= COARSEST_M:
        return f"cells with pixels of {pixel_m:g} m: expected {FINEST_M:g} to {COARSEST_M:g} m"
    if side_px not in SIDES_PX:
        return f"cells of {side_px} px: expected one of {', '.join(map(str, SIDES_PX))}"
    return None


def _refuse_poles(geometry: BaseGeometry) -> None:
    """Refuse what UTM does not reach.

    Raises:
        GridError: it reaches beyond.
    """
    _, south, _, north = geometry.bounds
    if south < SOUTHMOST or north > NORTHMOST:
        msg = (
            f"the area reaches from latitude {south:g} to {north:g}: cells lie in UTM, from "
            f"{SOUTHMOST:g} to {NORTHMOST:g}; cut it there"
        )
        raise GridError(msg)


def _parts_by_zone(geometry: BaseGeometry) -> list[tuple[int, BaseGeometry]]:
    """Return EPSG codes of zones, and the part of an area in each, in the zone's coordinates."""
    parts: list[tuple[int, BaseGeometry]] = []
    west, _, east, _ = geometry.bounds
    shapely.prepare(geometry)
    for strip in range(math.floor(west / ZONE_DEG), math.floor(east / ZONE_DEG) + 1):
        left = strip * ZONE_DEG
        zone = (strip + ZONES // 2) % ZONES + 1
        for first, bottom, top in ((SOUTH, SOUTHMOST, 0.0), (NORTH, 0.0, NORTHMOST)):
            window = box(left, bottom, left + ZONE_DEG, top)
            if not geometry.intersects(window):
                continue
            part = shapely.intersection(geometry, window)
            if part.area > 0:
                parts.append((first + zone, _projected(part, first + zone)))
    return parts


def _projected(part: BaseGeometry, epsg: int) -> BaseGeometry:
    """Return polygons in a zone's coordinates, their edges bent as the projection bends them."""
    flat = shapely.union_all([each for each in shapely.get_parts(part) if each.area > 0])
    project = pyproj.Transformer.from_crs(WGS84, f"EPSG:{epsg}", always_xy=True).transform
    return shapely.transform(shapely.segmentize(flat, STEP_DEG), project, interleaved=False)


def _squares(columns: np.ndarray, rows: np.ndarray, side: float) -> np.ndarray:
    """Return squares of a side, by their columns and rows."""
    return np.asarray(
        shapely.box(columns * side, rows * side, (columns + 1) * side, (rows + 1) * side)
    )


def _quartered(columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns and rows of the four quarters of squares."""
    finer = [(2 * columns + right, 2 * rows + up) for right in (0, 1) for up in (0, 1)]
    return np.concatenate([each[0] for each in finer]), np.concatenate([each[1] for each in finer])


def _too_many(cells: CellGrid) -> GridError:
    """Return the error of an area that is too large for one run."""
    msg = (
        f"the area has more than {MOST_CELLS:,} cells of {cells.side_m / 1000:g} km: "
        "give a smaller one, or larger cells"
    )
    return GridError(msg)
