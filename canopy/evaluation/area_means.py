"""Heights of a raster averaged over the cells of another grid, by area.

Along shared axes the means are exact; elsewhere GDAL warps, without its usual approximation. A
cell is valid where at least half of its area is, and what is not valid has no part in its mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from rasterio.enums import Resampling
from rasterio.warp import reproject
from scipy import sparse

from geo.axis_weights import HALF
from geo.ground import edge_points, places_on
from geo.scene import PLANE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from canopy.evaluation.height_source import HeightReader
    from geo.grid import Grid

    Heights = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Pixels = NDArray[np.int64]
    Shift = tuple[int, int]

SEGMENT_PX = 2048
"""About as many pixels a side are averaged at once."""

SAME_EDGE_PX = 1e-4
"""Edges of pixels nearer than this are the same: coordinates are rounded."""

NO_SHIFT = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Cells:
    """A window of a grid.

    Attributes:
        row: its first row, below 0 where it begins above the grid.
        column: its first column.
        height: its rows.
        width: its columns.
    """

    row: int
    column: int
    height: int
    width: int

    def parts(self, side: int) -> Iterator[Cells]:
        """Cut into squares of a side [px]; the last ones may be smaller."""
        for row in range(0, self.height, side):
            for column in range(0, self.width, side):
                yield Cells(
                    row=self.row + row,
                    column=self.column + column,
                    height=min(side, self.height - row),
                    width=min(side, self.width - column),
                )

    def within(self, outer: Cells) -> tuple[slice, slice]:
        """Rows and columns of this window, counted from the first ones of another."""
        row, column = self.row - outer.row, self.column - outer.column
        return slice(row, row + self.height), slice(column, column + self.width)


class AreaMeans:
    """A raster of heights on another grid.

    A shift moves the raster by whole pixels of its own, down and right, before it is averaged: no
    interpolation, which would lower the error by smoothing.
    """

    def __init__(self, reader: HeightReader, grid: Grid) -> None:
        """Average what a reader reads over the cells of a grid."""
        self.reader, self.grid = reader, grid
        self.source = reader.source.grid

    @cached_property
    def shares_axes(self) -> bool:
        """Whether rows and columns of both run along the same axes of one CRS."""
        transforms = (self.grid.transform, self.source.transform)
        straight = all(transform.b == transform.d == 0 for transform in transforms)
        return straight and self.grid.crs == self.source.crs

    @cached_property
    def part_px(self) -> int:
        """Side of the squares of cells that are averaged at once [cells]."""
        middle = Cells(row=self.grid.height // 2, column=self.grid.width // 2, height=1, width=1)
        row, column, last_row, last_column = self.footprint(middle)
        return max(1, int(SEGMENT_PX / max(1.0, last_row - row, last_column - column)))

    def read(self, cells: Cells) -> tuple[Heights, Mask]:
        """Return mean heights [m] of cells (y, x), 0 where invalid, and where they are valid."""
        heights, valid = self.read_shifted(cells, [NO_SHIFT])
        return heights[0], valid[0]

    def read_shifted(self, cells: Cells, shifts: Sequence[Shift]) -> tuple[Heights, Mask]:
        """Return mean heights [m] of cells under each of some shifts.

        Args:
            cells: a window of the grid.
            shifts: by how many of its own pixels the raster is moved down and right.

        Returns:
            Heights [m] (shifts, y, x), 0 where invalid, and their mask (True = valid).
        """
        shape = len(shifts), cells.height, cells.width
        heights, valid = np.zeros(shape), np.zeros(shape, bool)
        for part in cells.parts(self.part_px):
            place = (slice(None), *part.within(cells))
            heights[place], valid[place] = self._means(part, shifts)
        return heights, valid

    def _means(self, cells: Cells, shifts: Sequence[Shift]) -> tuple[Heights, Mask]:
        """Mean heights of cells, whose pixels are read at once."""
        row, column, last_row, last_column = self.footprint(cells)
        margin = max(max(map(abs, shift)) for shift in shifts) + 2
        first = math.floor(row) - margin, math.floor(column) - margin
        last = math.ceil(last_row) + margin, math.ceil(last_column) + margin
        pixels = self.reader.read(*first, last[0] - first[0], last[1] - first[1])
        average = self._along_axes if self.shares_axes else self._warped
        both = [average(cells, pixels, first, shift) for shift in shifts]
        return np.stack([heights for heights, _ in both]), np.stack([valid for _, valid in both])

    def _along_axes(
        self, cells: Cells, pixels: tuple[Heights, Mask], first: Shift, shift: Shift
    ) -> tuple[Heights, Mask]:
        """Exact means over the area of cells."""
        heights, valid = pixels
        lows, highs = self._edges(cells)
        down, across = (
            overlaps(
                lows[axis] - first[axis] - shift[axis],
                highs[axis] - first[axis] - shift[axis],
                valid.shape[axis],
            )
            for axis in (0, 1)
        )
        area = (highs[0] - lows[0])[:, None] * (highs[1] - lows[1])[None]
        share = down @ valid.astype(np.float64) @ across.T / area
        means = down @ heights @ across.T / area
        kept = share >= HALF
        return np.where(kept, means / np.where(kept, share, 1.0), 0.0), kept

    def _warped(
        self, cells: Cells, pixels: tuple[Heights, Mask], first: Shift, shift: Shift
    ) -> tuple[Heights, Mask]:
        """Means over the area of cells, by GDAL."""
        heights, valid = pixels
        moved = self.source.transform * self.source.transform.translation(
            first[1] + shift[1], first[0] + shift[0]
        )
        part = self.grid.part(cells.row, cells.column, cells.height, cells.width)
        options = {
            "src_transform": moved,
            "src_crs": self.source.crs or PLANE,
            "dst_transform": part.transform,
            "dst_crs": self.grid.crs or PLANE,
            "resampling": Resampling.average,
            "tolerance": 0.0,
        }
        means, share = np.full(part.shape, np.nan), np.zeros(part.shape)
        known = np.where(valid, heights, np.nan)
        reproject(known, means, src_nodata=np.nan, dst_nodata=np.nan, **options)
        reproject(valid.astype(np.float64), share, **options)
        kept = np.isfinite(means) & (share >= HALF)
        return np.where(kept, means, 0.0), kept

    def _edges(self, cells: Cells) -> tuple[tuple[Heights, Heights], tuple[Heights, Heights]]:
        """Lower and upper edges of rows and columns of cells [px of the raster]."""
        here, there = self.grid.transform, self.source.transform
        rows = here.f + here.e * (cells.row + np.arange(cells.height + 1.0))
        columns = here.c + here.a * (cells.column + np.arange(cells.width + 1.0))
        edges = snapped((rows - there.f) / there.e), snapped((columns - there.c) / there.a)
        lows = tuple(np.minimum(edge[:-1], edge[1:]) for edge in edges)
        highs = tuple(np.maximum(edge[:-1], edge[1:]) for edge in edges)
        return (lows[0], lows[1]), (highs[0], highs[1])

    def footprint(self, cells: Cells) -> tuple[float, float, float, float]:
        """First and one past the last row and column of the raster under cells: r, c, r, c."""
        part = self.grid.part(cells.row, cells.column, cells.height, cells.width)
        return pixels_under(self.source, part)


def pixels_under(source: Grid, area: Grid) -> tuple[float, float, float, float]:
    """Return which pixels of a grid lie under another: its first row and column, its last ones.

    Infinite or NaN where the other cannot be put into the CRS of the grid.
    """
    rows, columns = places_on(source, area, *edge_points(area))
    return float(rows.min()), float(columns.min()), float(rows.max()), float(columns.max())


def pixels_at_centres(source: Grid, area: Grid) -> tuple[Pixels, Pixels]:
    """Return row and column of the pixel under each centre of an area's pixels (y, x) each.

    They may lie beyond the grid, at -1 where the area cannot be put into the CRS of the grid.
    """
    centres = np.meshgrid(np.arange(area.height) + 0.5, np.arange(area.width) + 0.5, indexing="ij")
    rows, columns = places_on(source, area, *centres)
    known = np.isfinite(rows) & np.isfinite(columns)
    found = [np.floor(snapped(np.where(known, place, -1.0))) for place in (rows, columns)]
    return found[0].astype(np.int64), found[1].astype(np.int64)


def snapped(edges: Heights) -> Heights:
    """Return edges [px], those near a whole number put on it."""
    whole = np.rint(edges)
    return np.where(np.abs(edges - whole) < SAME_EDGE_PX, whole, edges)


def overlaps(lows: Heights, highs: Heights, length: int) -> sparse.csr_array:
    """Return how much of each pixel of an axis lies in each cell.

    Args:
        lows: lower edges of the cells [px of the axis].
        highs: upper edges.
        length: pixels of the axis; what of a cell lies beyond counts for nothing.

    Returns:
        (cells, length); a row sums to the cell's length [px], less what lies beyond.
    """
    taps = np.floor(lows)[:, None] + np.arange(math.ceil(float((highs - lows).max())) + 1)
    shares = np.minimum(highs[:, None], taps + 1) - np.maximum(lows[:, None], taps)
    rows, columns = np.nonzero((shares > 0) & (taps >= 0) & (taps < length))
    entries = shares[rows, columns], (rows, taps[rows, columns].astype(int))
    return sparse.csr_array(entries, shape=(len(lows), length))
