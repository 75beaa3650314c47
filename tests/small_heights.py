"""Height maps and references small enough to be made by a test."""

from __future__ import annotations

import numpy as np
import rasterio
from affine import Affine
from scipy import ndimage

from geo.height_maps.encoding import find_encoding

UTM = "EPSG:32633"
EAST, NORTH = 500_400.0, 5_420_100.0


def forest(rows, columns, seed=0, smooth=2.0):
    """Heights [m] (rows, columns) of something like a forest, from 0 to about 30 m."""
    noise = ndimage.gaussian_filter(
        np.random.default_rng(seed).normal(size=(rows, columns)), smooth, mode="wrap"
    )
    return np.clip(12 + 9 * noise / max(noise.std(), 1e-9), 0, None)


def write_heights(path, heights, *, pixel=1.0, place=(EAST, NORTH), encoding="float32", **options):
    """Write heights [m] (rows, columns), NaN for nodata, as a GeoTIFF in UTM."""
    kind = find_encoding(encoding)
    # To the last bit where the heights are not encoded: oracles see the same numbers.
    stored = heights.astype("float64")
    if encoding != "float32":
        stored = kind.encode(heights.astype(np.float32))
    transform = Affine(pixel, 0, place[0], 0, -pixel, place[1])
    profile = {
        "driver": "GTiff", "count": 1, "height": heights.shape[0], "width": heights.shape[1],
        "dtype": stored.dtype, "crs": UTM, "transform": transform, "nodata": kind.nodata,
    } | options  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        target.write(stored, 1)
        if kind.scale != 1:  # set later, it moves the directory to the end of the file
            target.scales = (kind.scale,)
    return path
