"""A scene on any grid, strip by strip: GDAL resamples, validity comes along."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geo.errors import SceneError
from geo.raster import Raster
from geo.scene import PLANE, Scene, reason_unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rasterio.io import DatasetReader

    from geo.grid import Grid
    from geo.raster import Mask, Pixels

HALF_VALID = 128
"""A resampled pixel is valid if at least half of its area is (of 255)."""

WHOLE_PX = 1e-4
"""A share of a pixel too small to be one."""


class StripReader(Protocol):
    """What reads strips of a scene on a grid."""

    def read(self, row: int, height: int) -> Raster:
        """Return rows of the grid over its whole width."""
        ...


@contextmanager
def read_on(
    scene: Scene, grid: Grid, resampling: Resampling | None = None
) -> Iterator[StripReader]:
    """Open a scene for reading on a grid.

    A grid whose axes are the scene's is read through GDAL's resampled window reads, exact area
    means when it shrinks; any other is warped. Both give the same pixels whatever the strips.

    Args:
        scene: the scene.
        grid: where its pixels are wanted: the scene's own grid, or any other.
        resampling: how; None for means where pixels shrink in number, else bilinear.

    Raises:
        SceneError: the scene cannot be read.
    """
    resampling = resampling or resampling_for(scene, grid)
    with scene.open() as dataset:
        if is_aligned(scene, grid):
            yield AlignedReader(dataset, scene, grid, resampling)
        else:
            with warped(dataset, scene, grid, resampling) as virtual:
                yield WarpedReader(virtual, scene, grid)


def read_sample(scene: Scene, side: int = 1024) -> Raster:
    """Return a whole scene with at most some pixels a side, by taking every so many.

    Overviews are used where the file has them.
    """
    scale = max(1.0, max(scene.grid.shape) / side)
    height, width = (max(1, round(length / scale)) for length in scene.grid.shape)
    bands = scene.read_bands
    with scene.open() as dataset:
        shape = (3, height, width)
        pixels = dataset.read(bands.colours, out_shape=shape, resampling=Resampling.nearest)
        masks = dataset.read_masks(bands.colours, out_shape=shape, resampling=Resampling.nearest)
        valid = masks.any(axis=0) & finite(pixels)
        if bands.alpha:
            alpha = dataset.read(bands.alpha, out_shape=shape[1:], resampling=Resampling.nearest)
            valid &= alpha > 0
    return Raster(pixels=pixels, valid=valid, grid=scene.grid.scaled_to(height, width))


def is_aligned(scene: Scene, grid: Grid) -> bool:
    """Whether a grid has the scene's CRS, axes and upper left corner, so that no warp is needed."""
    if scene.grid.matches(grid):
        return not scene.gcps
    if scene.gcps or scene.bands.palette or scene.grid.crs != grid.crs:
        return False
    here, there = scene.grid.transform, grid.transform
    offset = np.hypot(here.c - there.c, here.f - there.f)
    return bool(
        scene.grid.is_north_up and grid.is_north_up and offset < WHOLE_PX * min(grid.pixel_size)
    )


def resampling_for(scene: Scene, grid: Grid) -> Resampling:
    """Return the mean when pixels shrink in number, else bilinear."""
    scale = grid.pixel_size[0] / scene.gsd_m
    return Resampling.average if scale > 1 else Resampling.bilinear


class AlignedReader:
    """Strips of a grid that shares the scene's axes and origin."""

    def __init__(
        self, dataset: DatasetReader, scene: Scene, grid: Grid, resampling: Resampling
    ) -> None:
        """Read an open dataset of a scene on a grid."""
        self.dataset, self.scene, self.grid = dataset, scene, grid
        self.scale = tuple(
            there / here
            for here, there in zip(
                reversed(scene.grid.pixel_size), reversed(grid.pixel_size), strict=True
            )
        )
        self.same = scene.grid.matches(grid)
        self.resampling = Resampling.nearest if self.same else resampling

    def read(self, row: int, height: int) -> Raster:
        """Return rows of the grid over its whole width.

        Raises:
            SceneError: the file breaks off or is corrupt.
        """
        part = self.grid.part(row, 0, height, self.grid.width)
        pixels = np.empty((3, *part.shape), self.scene.dtype)
        valid = np.empty(part.shape, bool)
        for down in pieces(row, row + height, self.scale[0], self.scene.grid.height):
            for across in pieces(0, self.grid.width, self.scale[1], self.scene.grid.width):
                place = (slice(down.start - row, down.stop - row), slice(across.start, across.stop))
                pixels[:, *place], valid[place] = self._read(down, across)
        return Raster(pixels=pixels, valid=valid, grid=part)

    def _read(self, down: Piece, across: Piece) -> tuple[Pixels, Mask]:
        window = Window(across.first, down.first, across.size, down.size)
        shape = (3, down.stop - down.start, across.stop - across.start)
        options = {"window": window, "resampling": self.resampling}
        bands = self.scene.read_bands
        try:
            pixels = self.dataset.read(bands.colours, out_shape=shape, **options)
            masks = self.dataset.read_masks(bands.colours, out_shape=shape, **options)
            alpha = bands.alpha and self.dataset.read(bands.alpha, out_shape=shape[1:], **options)
        except RasterioError as error:
            raise SceneError(reason_unreadable(self.scene.source, error)) from error
        least = 1 if self.same else HALF_VALID
        valid = (masks >= least).any(axis=0) & finite(pixels)
        return pixels, valid if alpha is None else valid & (alpha > 0)


class WarpedReader:
    """Strips of a grid that needs a warp."""

    def __init__(self, virtual: WarpedVRT, scene: Scene, grid: Grid) -> None:
        """Read an open virtual raster, whose last band is alpha."""
        self.virtual, self.scene, self.grid = virtual, scene, grid

    def read(self, row: int, height: int) -> Raster:
        """Return rows of the grid over its whole width.

        Raises:
            SceneError: the file breaks off or is corrupt.
        """
        bands = self.scene.read_bands
        window = Window(0, row, self.grid.width, height)
        alpha = bands.alpha or self.virtual.count
        try:
            pixels = self.virtual.read((*bands.colours, alpha), window=window)
        except RasterioError as error:
            raise SceneError(reason_unreadable(self.scene.source, error)) from error
        valid = (pixels[3] > 0) & finite(pixels[:3])
        part = self.grid.part(row, 0, height, self.grid.width)
        return Raster(pixels=pixels[:3], valid=valid, grid=part)


def warped(dataset: DatasetReader, scene: Scene, grid: Grid, resampling: Resampling) -> WarpedVRT:
    """Return a virtual raster of a dataset on a grid, with an alpha band."""
    floating = np.issubdtype(np.dtype(scene.dtype), np.floating)
    nodata = np.nan if floating and scene.nodata is None else scene.nodata
    options = {} if scene.gcps else {"src_transform": scene.grid.transform}
    return WarpedVRT(
        dataset,
        src_crs=scene.grid.crs or PLANE,
        crs=grid.crs or PLANE,
        transform=grid.transform,
        width=grid.width,
        height=grid.height,
        src_nodata=nodata,
        resampling=resampling,
        add_alpha=scene.read_bands.alpha is None,
        num_threads=2,
        **options,
    )


class Piece(NamedTuple):
    """Pixels of a grid along one axis, and the part of the scene's axis they cover."""

    start: int
    stop: int
    first: float
    size: float


def pieces(start: int, stop: int, scale: float, length: int) -> list[Piece]:
    """Cut an interval of a grid's axis where the scene ends within a pixel.

    Args:
        start: first pixel of the grid.
        stop: one past its last.
        scale: pixels of the scene in a pixel of the grid.
        length: pixels of the scene along the axis.

    Returns:
        The whole pixels, and the one that the scene only partly fills, where there are such.
    """
    whole = int(length / scale + WHOLE_PX)
    found = []
    if start < min(stop, whole):
        end = min(stop, whole)
        first = start * scale
        found.append(Piece(start, end, first, min((end - start) * scale, length - first)))
    if stop > whole:
        begin = max(start, whole)
        found.append(Piece(begin, stop, begin * scale, length - begin * scale))
    return found


def finite(pixels: Pixels) -> Mask:
    """Return where every band is a number."""
    if np.issubdtype(pixels.dtype, np.floating):
        return np.asarray(np.isfinite(pixels).all(axis=0))
    return np.ones(pixels.shape[1:], bool)
