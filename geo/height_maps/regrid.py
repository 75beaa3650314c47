"""A height map on another grid, stored strip by strip."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geo.axis_weights import HALF, LEAST_WEIGHT, axis_weights, resample
from geo.errors import MapFileError
from geo.grid import Grid
from geo.scene import PLANE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rasterio.io import DatasetReader
    from scipy import sparse

    from geo.height_maps.encoding import Encoding
    from geo.height_maps.raw_raster import RawRaster
    from geo.raster import Mask, Pixels

STRIP_PX = 256
"""Rows resampled at once."""


def regrid(
    source: Path,
    target: RawRaster,
    encoding: Encoding,
    *,
    pixels_shrink: bool,
    valid: Callable[[int, int], Mask] | None = None,
) -> None:
    """Resample heights onto the grid of a raster.

    Args:
        source: heights [m] as float32, NaN where there is none; or heights and the lower and upper
            ends of their intervals, whose means are the ends of a mean.
        target: what is written, in ``encoding``.
        encoding: how the target stores heights.
        pixels_shrink: whether the target's pixels are larger, so that means are taken; else the
            heights are interpolated.
        valid: gives (first row, number of rows) of the target the mask of pixels that may have a
            height, where the source's own NaN do not say.
    """
    with (
        rasterio_errors(target),
        rasterio.open(source) as heights,
        reader_of(
            heights, target.grid, pixels_shrink=pixels_shrink, fill=valid is not None
        ) as read,
    ):
        for row in range(0, target.grid.height, STRIP_PX):
            count = min(STRIP_PX, target.grid.height - row)
            strip = read(row, count)
            if valid is not None:
                strip = np.where(valid(row, count), strip, np.float32(np.nan))
            target.write(row, encoded_bands(strip, encoding))


def encoded_bands(bands: Pixels, encoding: Encoding) -> Pixels:
    """Return what is stored of heights, and of the ends of their intervals where they have some.

    Args:
        bands: (1, rows, columns) or heights, lower and upper ends (3, rows, columns) [m].
        encoding: how they are stored.

    Returns:
        (rows, columns), or (rows, columns, 3).
    """
    heights = encoding.encode(bands[0])
    if len(bands) == 1:
        return heights
    # Interpolation rounds by a bit: an end stays on its side of the height.
    lower, upper = encoding.encode_ends(*bands[1:])
    return np.stack([heights, np.minimum(lower, heights), np.maximum(upper, heights)], axis=-1)


@contextmanager
def rasterio_errors(target: RawRaster) -> Iterator[None]:
    """Turn an error of GDAL into a line about the heights, not about the scene they come from.

    Raises:
        MapFileError: the heights cannot be resampled.
    """
    try:
        yield
    except RasterioError as error:
        msg = f"heights cannot be resampled into {target.data} ({error}): run again"
        raise MapFileError(msg) from error


@contextmanager
def reader_of(
    heights: DatasetReader, grid: Grid, *, pixels_shrink: bool, fill: bool
) -> Iterator[Callable[[int, int], Pixels]]:
    """Lend what gives rows (first, number) of heights on a grid, as (bands, rows, columns).

    Args:
        heights: the dataset to resample.
        grid: where its heights are wanted.
        pixels_shrink: whether the grid's pixels are larger.
        fill: whether a pixel has a height as soon as any of its source has, not half of it.
    """
    here = Grid(
        crs=heights.crs, transform=heights.transform, height=heights.height, width=heights.width
    )
    axes = axes_within(here, grid)
    if axes is not None:
        # Exact, and the same to the last bit wherever a part of a map begins; GDAL's are neither.
        down, across = (axis_weights(*axis) for axis in axes)
        least = LEAST_WEIGHT if fill else HALF
        yield lambda row, count: along_axes(heights, down[row : row + count], across, least)
        return
    options = {"transform": grid.transform, "width": grid.width, "height": grid.height}
    with WarpedVRT(
        heights,
        src_crs=here.crs or PLANE,
        src_transform=here.transform,
        crs=grid.crs or PLANE,
        resampling=Resampling.average if pixels_shrink else Resampling.bilinear,
        src_nodata=np.nan,
        nodata=np.nan,
        num_threads=2,
        **options,
    ) as virtual:
        yield lambda row, count: virtual.read(window=Window(0, row, grid.width, count))


def axes_within(here: Grid, grid: Grid) -> list[tuple[int, float, int, float]] | None:
    """Return what `axis_weights` needs for rows and columns of a grid; None if it lies otherwise.

    Args:
        here: grid that is resampled.
        grid: grid that is wanted: it fits where it has the same CRS and axes, and lies within.
    """
    if here.crs != grid.crs or not (here.is_north_up and grid.is_north_up):
        return None
    left, top = ~here.transform * (grid.transform.c, grid.transform.f)
    sides = zip(reversed(grid.pixel_size), reversed(here.pixel_size), strict=True)
    scales = [there / side for there, side in sides]
    starts = [round(start, 6) + 0.0 for start in (top, left)]
    within = all(
        start > -LEAST_WEIGHT and start + (count - 1) * scale < length
        for count, scale, length, start in zip(grid.shape, scales, here.shape, starts, strict=True)
    )
    if not within:
        return None
    return [
        (count, scale, length, max(start, 0.0))
        for count, scale, length, start in zip(grid.shape, scales, here.shape, starts, strict=True)
    ]


def along_axes(
    heights: DatasetReader, down: sparse.csr_array, across: sparse.csr_array, least: float
) -> Pixels:
    """Return rows of all bands, NaN where less than a share of their weight has a height.

    Args:
        heights: the dataset to resample.
        down: weights (rows wanted, rows).
        across: weights (columns wanted, columns).
        least: the share.
    """
    first, last = int(down.indices.min()), int(down.indices.max()) + 1
    found = heights.read(window=Window(0, first, heights.width, last - first))
    known = ~np.isnan(found[0])
    means, valid = resample(found, known, down[:, first:last], across, least=least)
    return np.where(valid, means, np.float32(np.nan))
