"""Tiny plots with known heights, as field data lie on disk."""

from __future__ import annotations

import numpy as np
import rasterio
from rasterio.transform import from_origin

LEFT, TOP = 400_000.0, 4_100_000.0


def write_plots(root, sites=("A", "B"), count=2):
    """Make a field data folder of sites with plots 100 m apart."""
    for site in sites:
        for number in range(count):
            folder = root / "pairs" / site / f"{site}_{number}"
            write_plot(folder, left=LEFT + 100 * number, seed=number)
    return root


def write_plot(folder, *, left=LEFT, side_m=12, seed=0):
    """A plot whose brightness and height grow eastwards; its last lidar column is missing."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    ramp = np.linspace(40, 200, side_m * 10)[None, None] + rng.normal(
        0, 10, (3, side_m * 10, side_m * 10)
    )
    heights = np.tile(np.arange(side_m, dtype=np.float32), (side_m, 1))
    heights[:, -1] = -9999
    write(folder / "rgb.tif", np.clip(ramp, 0, 255).astype(np.uint8), left, 0.1)
    write(folder / "chm.tif", heights[None], left, 1.0, nodata=-9999)


def write(path, values, left, gsd, nodata=None, crs="EPSG:32611"):
    bands, height, width = values.shape
    profile = {
        "driver": "GTiff", "count": bands, "height": height, "width": width, "dtype": values.dtype,
        "crs": crs, "transform": from_origin(left, TOP, gsd, gsd), "nodata": nodata,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        target.write(values)
