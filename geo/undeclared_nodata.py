"""Stored values that mean no data by custom, in rasters that do not declare them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rasterio.windows import Window

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

CUSTOMARY = (
    -9999.0, -32767.0, -32768.0, -3.4028230607370965e38, float(np.finfo(np.float32).min),
)  # fmt: skip
"""No ground on Earth lies so low. The fourth is the lowest float32 as some software rounds it."""

STRIP_PX = 256


def undeclared_nodata(dataset: DatasetReader) -> tuple[float, ...]:
    """Return which customary values of no data the first band holds as if they were data.

    All of the band is read.

    Args:
        dataset: an open raster.

    Raises:
        RasterioError: it breaks off.
    """
    found: set[float] = set()
    for row in range(0, dataset.height, STRIP_PX):
        window = Window(0, row, dataset.width, min(STRIP_PX, dataset.height - row))
        stored = dataset.read(1, window=window, masked=True).compressed()
        lowest = stored[stored <= max(CUSTOMARY)]
        found.update(value for value in CUSTOMARY if bool((lowest == value).any()))
    return tuple(value for value in CUSTOMARY if value in found)
