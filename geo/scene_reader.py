"""A scene on any grid, strip by strip: validity comes along."""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geo.axis_weights import HALF, axis_weights, resample
from geo.errors import ConnectionLostError, SceneError
from geo.raster import Raster
from geo.scene import PLANE, Scene, is_remote, reason_unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rasterio.io import DatasetReader
    from scipy import sparse

    from geo.bands import Bands
    from geo.grid import Grid
    from geo.raster import Mask, Pixels

SCENE_ROWS = 256
"""About as many rows of a scene are resampled at once."""


class StripReader(Protocol):
    """What reads strips of a scene on a grid."""

    def read(self, row: int, height: int) -> Raster:
        """Return rows of the grid over its whole width."""
        ...


@contextmanager
def read_on(
    scene: Scene, grid: Grid, resampling: Resampling | None = None, *, least: float = HALF
) -> Iterator[StripReader]:
    """Open a scene for reading on a grid.

    A grid whose axes are the scene's is read as it is, or resampled along its axes: exact area
    means when it shrinks, interpolation when it grows. Any other is warped by GDAL. All give the
    same pixels whatever the strips.

    Args:
        scene: the scene.
        grid: where its pixels are wanted: the scene's own grid, or any other.
        resampling: how; None for means where pixels shrink in number, else bilinear.
        least: share of a resampled pixel that must be valid for it to be; a warp takes any.

    Raises:
        SceneError: the scene cannot be read.
    """
    if resampling is None:  # nearest is 0
        resampling = resampling_for(scene, grid)
    with scene.open() as dataset:
        if is_aligned(scene, grid):
            yield AlignedReader(dataset, scene, grid, resampling, least=least)
        else:
            with warped(dataset, scene, grid, resampling) as virtual:
                yield WarpedReader(virtual, scene, grid)


def read_sample(scene: Scene, side: int = 1024) -> Raster:
    """Return a whole scene with at most some pixels a side, by taking every so many.

    Overviews are used where the file has them.
    """
    scale = max(1.0, max(scene.grid.shape) / side)
    height, width = (max(1, round(length / scale)) for length in scene.grid.shape)
    with scene.open() as dataset:
        pixels, valid = read_nearest(dataset, scene.read_bands, (height, width))
    return Raster(pixels=pixels, valid=valid, grid=scene.grid.scaled_to(height, width))


def is_aligned(scene: Scene, grid: Grid) -> bool:
    """Whether a grid has the scene's CRS, axes and upper left corner, so that no warp is needed.

    It may end before the scene does, or within its last pixel, but not go on beyond it.
    """
    if scene.gcps:
        return False
    return scene.grid.matches(grid) or (
        scene.grid.shares_axes_with(grid) and ends_within(grid, scene.grid)
    )


def ends_within(grid: Grid, other: Grid) -> bool:
    """Whether the last row and column of a grid begin on another of the same corner and axes."""
    sides = zip(grid.shape, grid.pixel_size[::-1], other.shape, other.pixel_size[::-1], strict=True)
    return all((count - 1) * side < length * own for count, side, length, own in sides)


class AlignedReader:
    """Strips of a grid that shares the scene's axes and origin."""

    def __init__(
        self,
        dataset: DatasetReader,
        scene: Scene,
        grid: Grid,
        resampling: Resampling,
        *,
        least: float = HALF,
    ) -> None:
        """Read an open dataset of a scene on a grid."""
        self.dataset, self.scene, self.grid, self.least = dataset, scene, grid, least
        self.as_it_is = scene.grid.matches(grid) or resampling is Resampling.nearest
        sides = zip(reversed(grid.pixel_size), reversed(scene.grid.pixel_size), strict=True)
        self.scales = [there / here for there, here in sides]
        self.rows = max(1, int(SCENE_ROWS / self.scales[0]))

    @cached_property
    def weights(self) -> tuple[sparse.csr_array, sparse.csr_array]:
        """How much of each row and column of the scene is in each of the grid."""
        axes = zip(self.grid.shape, self.scales, self.scene.grid.shape, strict=True)
        down, across = (axis_weights(*axis) for axis in axes)
        return down, across

    def read(self, row: int, height: int) -> Raster:
        """Return rows of the grid over its whole width.

        Raises:
            SceneError: the file breaks off or is corrupt.
        """
        part = self.grid.part(row, 0, height, self.grid.width)
        if self.as_it_is:
            first, last = (self.scales[0] * edge for edge in (row, row + height))
            width = min(self.scales[1] * part.width, self.scene.grid.width)
            pixels, valid = self._read(first, last, part.shape, width)
            return Raster(pixels=pixels, valid=valid, grid=part)
        pixels, valid = np.empty((3, *part.shape), self.scene.dtype), np.empty(part.shape, bool)
        for start in range(0, height, self.rows):
            rows = slice(start, min(start + self.rows, height))
            pixels[:, rows], valid[rows] = self._resampled(row + rows.start, row + rows.stop)
        return Raster(pixels=pixels, valid=valid, grid=part)

    def _resampled(self, start: int, stop: int) -> tuple[Pixels, Mask]:
        """Rows of the grid, from all rows of the scene that have a part in them."""
        down, across = self.weights[0][start:stop], self.weights[1]
        first, last = int(down.indices.min()), int(down.indices.max()) + 1
        shape = (last - first, self.scene.grid.width)
        part = down[:, first:last]
        return resample(*self._read(first, last, shape, shape[1]), part, across, least=self.least)

    def _read(
        self, first: float, last: float, shape: tuple[int, int], width: float
    ) -> tuple[Pixels, Mask]:
        """The first columns of rows of the scene; the nearest pixels where the shape is another."""
        window = Window(0, first, width, min(last, self.scene.grid.height) - first)
        try:
            return read_nearest(self.dataset, self.scene.read_bands, shape, window)
        except RasterioError as error:
            raise broken_off(self.scene.source, error) from error


def read_nearest(
    dataset: DatasetReader, bands: Bands, shape: tuple[int, int], window: Window | None = None
) -> tuple[Pixels, Mask]:
    """Return colours (3, rows, columns) of a window, and where they mean something.

    Args:
        dataset: what is read.
        bands: its colours and its alpha.
        shape: rows and columns wanted; of a larger window, the nearest pixels.
        window: the part to read; None for all.
    """
    options = {"window": window, "resampling": Resampling.nearest}
    pixels = dataset.read(bands.colours, out_shape=(3, *shape), **options)
    masks = dataset.read_masks(bands.colours, out_shape=(3, *shape), **options)
    valid = masks.any(axis=0) & finite(pixels)
    if bands.alpha:
        valid &= dataset.read(bands.alpha, out_shape=shape, **options) > 0
    return pixels, valid


def broken_off(source: str, error: Exception) -> SceneError:
    """Return the error of a scene that could be opened and cannot be read on."""
    kind = ConnectionLostError if is_remote(source) else SceneError
    return kind(reason_unreadable(source, error))


def resampling_for(scene: Scene, grid: Grid) -> Resampling:
    """Return the mean when pixels shrink in number, else bilinear."""
    scale = grid.pixel_size[0] / scene.gsd_m
    return Resampling.average if scale > 1 else Resampling.bilinear


class WarpedReader:
    """Strips of a grid that needs a warp."""

    def __init__(self, virtual: DatasetReader, scene: Scene, grid: Grid) -> None:
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
            raise broken_off(self.scene.source, error) from error
        valid = (pixels[3] > 0) & finite(pixels[:3])
        part = self.grid.part(row, 0, height, self.grid.width)
        return Raster(pixels=pixels[:3], valid=valid, grid=part)


@contextmanager
def warped(
    dataset: DatasetReader, scene: Scene, grid: Grid, resampling: Resampling
) -> Iterator[DatasetReader]:
    """Lend a virtual raster of a dataset on a grid, with an alpha band."""
    floating = np.issubdtype(np.dtype(scene.dtype), np.floating)
    nodata = np.nan if floating and scene.nodata is None else scene.nodata
    options = {
        "src_crs": scene.grid.crs or PLANE,
        "crs": grid.crs or PLANE,
        "src_nodata": nodata,
        "resampling": resampling,
        "add_alpha": scene.read_bands.alpha is None,
        "num_threads": 2,
    }
    if scene.gcps:
        with WarpedVRT(dataset, **options) as anywhere:
            description = moved_warp(anywhere, grid)
        with rasterio.open(description) as virtual:
            yield virtual
        return
    shape = {"transform": grid.transform, "width": grid.width, "height": grid.height}
    with WarpedVRT(dataset, src_transform=scene.grid.transform, **shape, **options) as virtual:
        yield virtual


def moved_warp(virtual: WarpedVRT, grid: Grid) -> str:
    """Return GDAL's description of a warp, moved to another grid.

    rasterio drops ground control points as soon as it is told a grid; GDAL does not.
    """
    with MemoryFile(ext=".vrt") as memory:
        rasterio.shutil.copy(virtual, memory.name, driver="VRT")
        text: str = memory.read().decode()
    to_map, to_pixels = (
        ", ".join(repr(value) for value in transform.to_gdal())
        for transform in (grid.transform, ~grid.transform)
    )
    for pattern, replacement in (
        (
            r'rasterXSize="\d+" rasterYSize="\d+"',
            f'rasterXSize="{grid.width}" rasterYSize="{grid.height}"',
        ),
        (r"(?<=<GeoTransform>)[^<]*", to_map),
        (r"(?<=<DstGeoTransform>)[^<]*", to_map),
        (r"(?<=<DstInvGeoTransform>)[^<]*", to_pixels),
        (r"<BlockXSize>\d+</BlockXSize>\s*<BlockYSize>\d+</BlockYSize>", ""),
    ):
        text = re.sub(pattern, replacement, text)
    return text


def finite(pixels: Pixels) -> Mask:
    """Return where every band is a number."""
    if np.issubdtype(pixels.dtype, np.floating):
        return np.asarray(np.isfinite(pixels).all(axis=0))
    return np.ones(pixels.shape[1:], bool)
