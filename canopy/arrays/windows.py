"""Parts of an array on the model's grid, each from only the pixels that have a part in it.

The pixels are those that a file of the same array gives, to the last bit: along shared axes each
depends on its own weights alone, and a warp sees every window at its place in the whole.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np
from rasterio.io import MemoryFile
from rasterio.warp import transform as transform_points
from rasterio.windows import Window

from geo.axis_weights import axis_weights, resample
from geo.scene import PLANE, opened
from geo.scene_reader import finite, is_aligned, resampling_for, warped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rasterio.enums import Resampling
    from rasterio.io import DatasetReader
    from scipy import sparse

    from geo.grid import Grid
    from geo.raster import Mask, Pixels
    from geo.scene import Scene

    Shape = tuple[int, int]

GDAL_TYPES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "float32": "Float32",
    "float64": "Float64",
}
"""Types of pixels that can be read, by GDAL's name."""

EDGE_STEPS = 8
"""Steps along each edge of a window in which it is projected."""

MARGIN_PX = 16
"""Pixels around a warped window: the reach of a kernel, and the bend of an edge between points."""

axis_weights_of = lru_cache(8)(axis_weights)


@dataclass(frozen=True)
class Rectangle:
    """Rows and columns of a raster, ends excluded [px]."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> Shape:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    @property
    def empty(self) -> bool:
        """Whether there is no pixel in it."""
        return self.bottom <= self.top or self.right <= self.left


@dataclass(frozen=True, kw_only=True)
class ArrayWindows:
    """How parts of a grid are read from an array.

    Attributes:
        scene: the array.
        grid: where its pixels are wanted.
    """

    scene: Scene
    grid: Grid

    @property
    def aligned(self) -> bool:
        """Whether no warp is needed."""
        return is_aligned(self.scene, self.grid)

    @property
    def as_it_is(self) -> bool:
        """Whether the pixels wanted are the array's own."""
        return self.scene.grid.matches(self.grid)

    @property
    def resampling(self) -> Resampling:
        """How a warp resamples."""
        return resampling_for(self.scene, self.grid)

    def needed(self, downs: Sequence[range], acrosses: Sequence[range]) -> list[list[Rectangle]]:
        """Return which pixels of the array each part of the grid is made from.

        Args:
            downs: rows of the grid of each row of parts.
            acrosses: columns of the grid of each column of parts.
        """
        if self.aligned:
            rows, columns = (
                [self._along(axis, part) for part in parts]
                for axis, parts in enumerate((downs, acrosses))
            )
            return [[Rectangle(*down, *across) for across in columns] for down in rows]
        return [self._projected(down, acrosses) for down in downs]

    def _along(self, axis: int, part: range) -> tuple[int, int]:
        """Return the first and one past the last pixel along an axis that has a part in others."""
        if self.as_it_is:
            return part.start, part.stop
        indices = self._weights(axis)[part.start : part.stop].indices
        return int(indices.min()), int(indices.max()) + 1

    def _weights(self, axis: int) -> sparse.csr_array:
        """Return how much of each row (0) or column (1) of the array is in each of the grid."""
        there, here = self.grid.pixel_size[1 - axis], self.scene.grid.pixel_size[1 - axis]
        return axis_weights_of(self.grid.shape[axis], there / here, self.scene.grid.shape[axis])

    def _projected(self, down: range, acrosses: Sequence[range]) -> list[Rectangle]:
        """Return the pixels under a row of parts, with a margin."""
        along = np.linspace(0, 1, EDGE_STEPS + 1)
        none, all_ = np.zeros_like(along), np.ones_like(along)
        rows = down.start + np.concatenate([none, all_, along, along]) * len(down)
        columns = np.stack(
            [
                across.start + np.concatenate([along, along, none, all_]) * len(across)
                for across in acrosses
            ]
        )
        x, y = self.grid.locate(np.broadcast_to(rows, columns.shape), columns)
        crs = self.scene.grid.crs or PLANE
        projected = transform_points(self.grid.crs or PLANE, crs, x.ravel(), y.ravel())
        x, y = (np.reshape(values, columns.shape) for values in projected)
        inverse = ~self.scene.grid.transform
        source_columns = inverse.c + inverse.a * x + inverse.b * y
        source_rows = inverse.f + inverse.d * x + inverse.e * y
        height, width = self.scene.grid.shape
        return [
            Rectangle(*reached(down_px, len(down), height), *reached(across_px, len(across), width))
            for down_px, across_px, across in zip(
                source_rows, source_columns, acrosses, strict=True
            )
        ]

    def read(
        self, blocks: list[list[list[Pixels]]], first: Shape, needed: Rectangle, part: Rectangle
    ) -> tuple[Pixels, Mask]:
        """Return colours of a part of the grid, and where they mean something.

        Args:
            blocks: the array's blocks that hold the pixels needed, by bands, rows and columns.
            first: row and column of the array at which the first block begins.
            needed: pixels of the array that the part is made from, of :meth:`needed`.
            part: rows and columns of the grid.

        Returns:
            (3, rows, columns), of the array's type, and (rows, columns), True where valid.
        """
        if needed.empty:
            shape = part.shape
            return np.zeros((3, *shape), self.scene.dtype), np.zeros(shape, bool)
        pixels = joined(blocks, first, needed)
        if not self.aligned:
            return self._warped(pixels, needed, part)
        colours, valid = pixels[:3], validity(pixels, self.scene)
        if self.as_it_is:
            return colours, valid
        down = self._weights(0)[part.top : part.bottom, needed.top : needed.bottom]
        across = self._weights(1)[part.left : part.right, needed.left : needed.right]
        return resample(colours, valid, down, across)

    def _warped(self, pixels: Pixels, needed: Rectangle, part: Rectangle) -> tuple[Pixels, Mask]:
        """Return colours of a part of the grid through GDAL's warp, and where they are valid."""
        window = Window(part.left, part.top, *reversed(part.shape))
        with (
            in_place(pixels, needed, self.scene) as dataset,
            warped(dataset, self.scene, self.grid, self.resampling) as virtual,
        ):
            alpha = self.scene.bands.alpha or virtual.count
            found = virtual.read((1, 2, 3, alpha), window=window)
        return found[:3], (found[3] > 0) & finite(found[:3])


def joined(blocks: list[list[list[Pixels]]], first: Shape, needed: Rectangle) -> Pixels:
    """Return the pixels needed (bands, rows, columns) of the blocks that hold them.

    Args:
        blocks: by bands, rows and columns; each has some of the pixels.
        first: row and column at which the first block begins.
        needed: the pixels.
    """
    tops = np.cumsum([first[0], *(row[0].shape[1] for row in blocks[0])])
    lefts = np.cumsum([first[1], *(block.shape[2] for block in blocks[0][0])])
    parts = [
        [
            [
                np.asarray(block)[
                    :,
                    max(needed.top - top, 0) : needed.bottom - top,
                    max(needed.left - left, 0) : needed.right - left,
                ]
                for block, left in zip(row, lefts[:-1], strict=True)
            ]
            for row, top in zip(rows, tops[:-1], strict=True)
        ]
        for rows in blocks
    ]
    pixels: Pixels = np.block(parts)
    return pixels


def reached(values: np.ndarray, count: int, length: int) -> tuple[int, int]:
    """Return the first and one past the last pixel of an axis under some points, with a margin.

    Args:
        values: where the points lie along the axis [px].
        count: pixels of the grid between them.
        length: pixels of the axis.
    """
    if not np.isfinite(values).all():
        return 0, length
    low, high = float(values.min()), float(values.max())
    margin = MARGIN_PX + math.ceil(4 * (high - low) / count)
    return max(0, math.floor(low) - margin), min(length, math.ceil(high) + margin)


def validity(pixels: Pixels, scene: Scene) -> Mask:
    """Return where pixels (bands, rows, columns) mean something, as GDAL's masks say of a file."""
    colours = pixels[:3]
    valid = finite(colours)
    if scene.nodata is not None:
        valid &= (colours != colours.dtype.type(scene.nodata)).any(axis=0)
    if scene.bands.alpha:
        valid &= pixels[scene.bands.alpha - 1] > 0
    return valid


@contextmanager
def in_place(pixels: Pixels, where: Rectangle, scene: Scene) -> Iterator[DatasetReader]:
    """Lend a raster as large as a scene that has pixels only where some of them were read.

    With the whole scene's size and place, a warp computes of a window what it computes of all.
    """
    height, width = where.shape
    profile = {"count": len(pixels), "height": height, "width": width, "dtype": pixels.dtype}
    with MemoryFile(ext=".tif") as memory:
        with memory.open(driver="GTiff", transform=scene.grid.transform, **profile) as target:
            target.write(pixels)
        with opened(virtual_scene(memory.name, where, scene, len(pixels))) as dataset:
            yield dataset


def virtual_scene(name: str, where: Rectangle, scene: Scene, count: int) -> str:
    """Return GDAL's description of a scene of which a file holds one window."""
    nodata = "" if scene.nodata is None else f"<NoDataValue>{scene.nodata!r}</NoDataValue>"
    kind = GDAL_TYPES[scene.dtype]
    size = f'xSize="{where.right - where.left}" ySize="{where.bottom - where.top}"'
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{band}">{nodata}'
        f"<ColorInterp>{'Alpha' if band == scene.bands.alpha else 'Undefined'}</ColorInterp>"
        f'<SimpleSource><SourceFilename relativeToVRT="0" shared="0">{escape(name)}'
        f"</SourceFilename><SourceBand>{band}</SourceBand>"
        f'<SrcRect xOff="0" yOff="0" {size}/>'
        f'<DstRect xOff="{where.left}" yOff="{where.top}" {size}/></SimpleSource></VRTRasterBand>'
        for band in range(1, count + 1)
    )
    transform = ", ".join(repr(value) for value in scene.grid.transform.to_gdal())
    height, width = scene.grid.shape
    return (
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">'
        f"<GeoTransform>{transform}</GeoTransform>{bands}</VRTDataset>"
    )
