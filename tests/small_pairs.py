"""Pairs of an image and heights on known ground: red is the height, so that both can be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import rasterio
from affine import Affine
from small_scenes import EAST, NORTH, UTM, write_scene

if TYPE_CHECKING:
    from pathlib import Path


def truth(rows, columns, seed=0):
    """Heights in whole metres (rows, columns), different everywhere."""
    return np.random.default_rng(seed).integers(1, 60, (rows, columns)).astype(np.float32)


def write_pair(folder: Path, heights, *, pixel=0.6, east=EAST, north=NORTH, **options):
    """Write an image whose red band is the height in metres, and the heights."""
    folder.mkdir(parents=True, exist_ok=True)
    transform = Affine(pixel, 0, east, 0, -pixel, north)
    red = np.where(np.isfinite(heights), heights, 7).astype(np.uint8)
    image = np.stack([red, np.full_like(red, 80), np.full_like(red, 90)])
    write_scene(folder / "rgb.tif", image, transform=transform, crs=options.get("crs", UTM))
    profile = {
        "driver": "GTiff", "count": 1, "dtype": "float32", "nodata": -9999.0,
        "height": heights.shape[0], "width": heights.shape[1],
        "crs": options.get("crs", UTM), "transform": transform,
    }  # fmt: skip
    with rasterio.open(folder / "chm.tif", "w", **profile) as target:
        target.write(np.where(np.isfinite(heights), heights, -9999).astype(np.float32), 1)
    return folder
