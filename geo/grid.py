"""Grid: where the pixels of a raster lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.crs import CRS
    from rasterio.io import DatasetReader

    FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

SAME_PLACE_PX = 1e-3
"""Two grids whose corners differ by less [px] are the same."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A raster's georeference.

    Attributes:
        crs: coordinate reference system; None for a plane in metres that lies nowhere on Earth.
        transform: (column, row) of a pixel's corner to (x, y) in ``crs``.
        height: number of rows [px].
        width: number of columns [px].
    """

    crs: CRS | None
    transform: Affine
    height: int
    width: int

    @classmethod
    def of(cls, dataset: DatasetReader) -> Grid:
        """Return the grid of an open raster, as its file says."""
        return cls(
            crs=dataset.crs,
            transform=dataset.transform,
            height=dataset.height,
            width=dataset.width,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns [px]."""
        return self.height, self.width

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Length of a pixel's lower and left sides [units of the CRS]."""
        across = np.hypot(self.transform.a, self.transform.d)
        down = np.hypot(self.transform.b, self.transform.e)
        return float(across), float(down)

    @property
    def is_north_up(self) -> bool:
        """Whether rows run south and columns east, unrotated."""
        transform = self.transform
        rotation = abs(transform.b) * self.height + abs(transform.d) * self.width
        straight = rotation < SAME_PLACE_PX * min(abs(transform.a), abs(transform.e))
        return bool(straight and transform.a > 0 > transform.e)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north of the corners [units of the CRS]."""
        x, y = self.locate(
            np.array([0, 0, self.height, self.height]), np.array([0, self.width, 0, self.width])
        )
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    def locate(self, rows: FloatArray, columns: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return x and y [units of the CRS] of rows and columns [px from the upper left corner]."""
        transform = self.transform
        x = transform.c + transform.a * columns + transform.b * rows
        y = transform.f + transform.d * columns + transform.e * rows
        return x, y

    def part(self, row: int, column: int, height: int, width: int) -> Grid:
        """Return the grid of a window."""
        shifted = self.transform * self.transform.translation(column, row)
        return replace(self, transform=shifted, height=height, width=width)

    def scaled_to(self, height: int, width: int) -> Grid:
        """Return the grid of the same ground with other numbers of rows and columns."""
        scale = self.transform.scale(self.width / width, self.height / height)
        return replace(self, transform=self.transform * scale, height=height, width=width)

    def shares_axes_with(self, other: Grid) -> bool:
        """Whether another grid has the same CRS and upper left corner, both north-up."""
        here, there = self.transform, other.transform
        offset = float(np.hypot(here.c - there.c, here.f - there.f))
        near = offset < SAME_PLACE_PX * min(*self.pixel_size, *other.pixel_size)
        return self.crs == other.crs and self.is_north_up and other.is_north_up and near

    def matches(self, other: Grid) -> bool:
        """Whether another grid has the same pixels in the same places."""
        if self.shape != other.shape or self.crs != other.crs:
            return False
        rows = np.array([0, 0, self.height, self.height], dtype=float)
        columns = np.array([0, self.width, 0, self.width], dtype=float)
        here, there = self.locate(rows, columns), other.locate(rows, columns)
        tolerance = SAME_PLACE_PX * min(self.pixel_size)
        return all(
            np.allclose(mine, theirs, rtol=0, atol=tolerance)
            for mine, theirs in zip(here, there, strict=True)
        )
