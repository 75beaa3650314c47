"""From heights above ground to a canopy height model: the highest return, without pits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import maximum_filter

from geo.lidar import isolated
from geo.lidar.chm_grid import EDGE_PX
from geo.lidar.thinning import highest_points
from geo.lidar.triangulation import Triangulation

if TYPE_CHECKING:
    from geo.grid import FloatArray, Grid
    from geo.raster import Mask, Pixels

FIRST_LEVELS_M = (2.0, 5.0)
LEVEL_STEP_M = 5.0
"""Levels of the partial surfaces: 2 m, 5 m, and every 5 m above."""

LEVEL_RADIUS_PX, LEVEL_RADIUS_M = 1.0, 1.0
"""Circumradius of triangles over the crown: of a pixel, or of this length if that is more. It is
that of an edge of 1.7 m (the paper has 1.5 m): a pit of one pixel is spanned, a gap is not."""

GAP_RADIUS_PX, GAP_RADIUS_M = 3.0, 3.0
"""Circumradius of triangles over pixels without a return, likewise."""

ROUNDED_TO = 5
"""Decimals of a height [m]: the last digits of a sum depend on its order, these do not."""


@dataclass(frozen=True, kw_only=True)
class Radii:
    """How large triangles may be at a pixel size.

    Attributes:
        level_m: circumradius over crowns [m].
        gap_m: circumradius over pixels without a return [m].
        margin_px: how far around a tile returns must be known [px].
    """

    level_m: float
    gap_m: float
    margin_px: int


def radii_of(pixel_m: float) -> Radii:
    """Return how large triangles may be, and the margin that they need with isolated returns."""
    level_m = max(LEVEL_RADIUS_PX * pixel_m, LEVEL_RADIUS_M)
    gap_m = max(GAP_RADIUS_PX * pixel_m, GAP_RADIUS_M)
    reach_m = 2 * max(level_m, gap_m) + isolated.REACH_M
    return Radii(level_m=level_m, gap_m=gap_m, margin_px=math.ceil(reach_m / pixel_m) + 2)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A rectangle of a grid's pixels.

    Attributes:
        row: first row [px].
        column: first column [px].
        height: number of rows [px].
        width: number of columns [px].
    """

    row: int
    column: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns [px]."""
        return self.height, self.width

    def grown(self, margin: int) -> Block:
        """Return the block with a margin [px] on all sides, which may lie beyond the grid."""
        return Block(
            row=self.row - margin,
            column=self.column - margin,
            height=self.height + 2 * margin,
            width=self.width + 2 * margin,
        )

    def quarters(self) -> list[Block]:
        """Return the block cut in four, or in two where it is one pixel high or wide."""
        rows = [(0, self.height // 2), (self.height // 2, self.height)]
        columns = [(0, self.width // 2), (self.width // 2, self.width)]
        return [
            Block(
                row=self.row + top,
                column=self.column + left,
                height=bottom - top,
                width=right - left,
            )
            for top, bottom in rows
            for left, right in columns
            if bottom > top and right > left
        ]


def canopy_surface(points: FloatArray, grid: Grid, block: Block) -> Pixels:
    """Return the canopy height model of a block.

    The pit-free model of Khosravipour et al. (2014, Photogrammetric Engineering and Remote Sensing
    80(9), 863-872), laid under the highest return of each pixel. A pit is a pixel whose beam went
    deep into a crown before it returned. For each level of 2, 5, 10, 15 ... m the returns above it
    are triangulated alone, without large triangles; so a pit inside a crown is spanned by the crown
    around it and the ground beside the crown is not. A pixel below the level becomes as high as
    that partial surface at its centre.

    It differs from the paper in three things. The returns are the highest of each half pixel, not
    the first ones: where beams are dense they are the same. The highest return of a pixel stands,
    where the paper takes the height of the triangle at the centre: tree tops must not shrink.
    Triangles are limited by their circumcircle and not by an edge, so that blocks agree
    (:class:`geo.lidar.triangulation.Triangulation`).

    Args:
        points: (points, 3) x, y and height above ground [m], 0 at least, with all that lie within
            ``radii_of(...).margin_px`` of the block.
        grid: pixels of the whole model, north-up, square, in metres.
        block: the pixels wanted.

    Returns:
        (rows, columns) heights [m], float64; NaN where no return is near.
    """
    radii = radii_of(grid.pixel_size[0])
    surface = highest_in_pixels(points, grid, block)
    tops = highest_points(points, grid.pixel_size[0] / 2)
    raiser = Raiser(surface=surface, grid=grid, block=block)
    raiser.raise_pixels(np.isnan(surface), tops, radii.gap_m)
    for level in levels_below(points[:, 2].max(initial=0.0)):
        raiser.raise_pixels(surface < level, tops[tops[:, 2] >= level], radii.level_m)
    return np.round(surface, ROUNDED_TO)


def highest_in_pixels(points: FloatArray, grid: Grid, block: Block) -> FloatArray:
    """Return the greatest height [m] in each pixel (rows, columns); NaN where there is none."""
    rows, columns, inside = pixels_of(points, grid, block)
    surface = np.full(block.shape, -np.inf)
    np.maximum.at(surface, (rows[inside], columns[inside]), points[inside, 2])
    return np.where(np.isfinite(surface), surface, np.nan)


def count_in_pixels(points: FloatArray, grid: Grid, block: Block) -> Pixels:
    """Return how many points each pixel (rows, columns) has."""
    rows, columns, inside = pixels_of(points, grid, block)
    cells = rows[inside] * block.width + columns[inside]
    return np.bincount(cells, minlength=block.height * block.width).reshape(block.shape)


def pixels_of(points: FloatArray, grid: Grid, block: Block) -> tuple[Pixels, Pixels, Mask]:
    """Return rows and columns of points in a block, and whether they lie in it (True).

    A point on an edge belongs to the pixel east or south of it. That is decided on the whole grid:
    rounding must not put a point into two blocks, or into none.
    """
    transform = grid.transform
    across, down = (
        (points[:, 0] - transform.c) / transform.a,
        (points[:, 1] - transform.f) / transform.e,
    )
    columns = np.floor(across + EDGE_PX).astype(np.int64) - block.column
    rows = np.floor(down + EDGE_PX).astype(np.int64) - block.row
    inside = (rows >= 0) & (rows < block.height) & (columns >= 0) & (columns < block.width)
    return rows, columns, inside


@dataclass(frozen=True, kw_only=True)
class Raiser:
    """A surface whose pixels are raised.

    Attributes:
        surface: (rows, columns) heights [m], changed in place.
        grid: pixels of the whole model.
        block: which of them the surface has.
    """

    surface: FloatArray
    grid: Grid
    block: Block

    def raise_pixels(self, wanted: Mask, points: FloatArray, radius_m: float) -> None:
        """Raise or fill pixels up to a triangulated surface at their centres.

        Args:
            wanted: (rows, columns) True where a pixel may be raised.
            points: (points, 3) x, y and height [m].
            radius_m: circumradius of the largest triangle.
        """
        rows, columns = np.nonzero(wanted)
        if not len(rows):
            return
        near = points[self.near(points, wanted, 2 * radius_m)]
        first = np.array([[self.block.row], [self.block.column]], np.float64) + 0.5
        centres = self.grid.locate(*(np.stack([rows, columns]) + first))
        spanned = Triangulation(near, radius_m).at(np.column_stack(centres))
        self.surface[rows, columns] = np.fmax(self.surface[rows, columns], spanned)

    def near(self, points: FloatArray, wanted: Mask, reach_m: float) -> Mask:
        """Return which points lie within a reach of wanted pixels (True), and some others."""
        reach = math.ceil(reach_m / self.grid.pixel_size[0]) + 1
        around = maximum_filter(np.pad(wanted, reach), size=2 * reach + 1, mode="constant")
        rows, columns, inside = pixels_of(points, self.grid, self.block.grown(reach))
        near = np.zeros(len(points), bool)
        near[inside] = around[rows[inside], columns[inside]]
        return near


def levels_below(height_m: float) -> list[float]:
    """Return the levels of the partial surfaces up to a height [m]."""
    higher = np.arange(FIRST_LEVELS_M[-1] + LEVEL_STEP_M, max(height_m, 0) + 1, LEVEL_STEP_M)
    return [level for level in (*FIRST_LEVELS_M, *higher.tolist()) if level <= height_m]
