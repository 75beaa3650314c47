"""A height map on another grid: resampled by GDAL, stored strip by strip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geo.scene import PLANE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from geo.encoding import Encoding
    from geo.raster import Mask
    from geo.raw_raster import RawRaster

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
        source: heights [m] as float32, NaN where there is none.
        target: what is written, in ``encoding``.
        encoding: how the target stores heights.
        pixels_shrink: whether the target's pixels are larger, so that means are taken; else the
            heights are interpolated.
        valid: gives (first row, number of rows) of the target the mask of pixels that may have a
            height, where the source's own NaN do not say.
    """
    grid = target.grid
    resampling = Resampling.average if pixels_shrink else Resampling.bilinear
    with (
        rasterio.open(source) as heights,
        WarpedVRT(
            heights,
            src_crs=heights.crs or PLANE,
            src_transform=heights.transform,
            crs=grid.crs or PLANE,
            transform=grid.transform,
            width=grid.width,
            height=grid.height,
            resampling=resampling,
            src_nodata=np.nan,
            nodata=np.nan,
            num_threads=2,
        ) as virtual,
    ):
        for row in range(0, grid.height, STRIP_PX):
            count = min(STRIP_PX, grid.height - row)
            strip = virtual.read(1, window=Window(0, row, grid.width, count))
            if valid is not None:
                strip = np.where(valid(row, count), strip, np.float32(np.nan))
            target.write(row, encoding.encode(strip))
