"""Regions small enough to be made by a test: images side by side or one over the other."""

from __future__ import annotations

import datetime as dt

import numpy as np
import rasterio
from affine import Affine
from scipy import ndimage
from shapely.geometry import shape

from canopy.mapping.settings import MapSettings
from canopy.region.map_region import RegionRequest
from canopy.region.run_settings import RunSettings
from canopy.region.settings import RegionSettings
from geo.footprint import grid_footprint
from geo.grid import Grid
from geo.imagery.image import ColourSource, Image

UTM = 32633
COLUMN, ROW = 834 * 512, -9034 * 512
"""Upper left pixel of cell e834_n9033 on the endless grid of 0.6 m."""


def smooth(rows, columns, seed=0, low=30, high=220):
    """Bytes (3, rows, columns) of something like a forest from above."""
    noise = np.random.default_rng(seed).normal(size=(3, rows, columns))
    noise = np.stack([ndimage.gaussian_filter(band, 2, mode="wrap") for band in noise])
    noise = (noise - noise.min()) / (noise.max() - noise.min())
    return np.rint(low + (high - low) * noise).astype(np.uint8)


def write_image(path, pixels, *, row=0, column=0, date="2022-06-01", **facts):
    """Write an image whose corner lies so many pixels of 0.6 m south and east of (ROW, COLUMN)."""
    west, north = (COLUMN + column) * 0.6, -(ROW + row) * 0.6
    transform = Affine(0.6, 0, west, 0, -0.6, north)
    profile = {
        "driver": "GTiff", "count": 3, "height": pixels.shape[1], "width": pixels.shape[2],
        "dtype": pixels.dtype, "crs": f"EPSG:{UTM}", "transform": transform, "tiled": True,
        "photometric": "RGB",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        target.write(pixels)
    return image_of(path, date=date, **facts)


def image_of(path, *, date="2022-06-01", **facts):
    """Return a written image as a region takes it."""
    with rasterio.open(path) as source:
        grid = Grid(
            crs=source.crs, transform=source.transform, height=source.height, width=source.width
        )
    acquired = None if date is None else dt.datetime.fromisoformat(date).replace(tzinfo=dt.UTC)
    told = {
        "id": path.stem,
        "footprint": shape(grid_footprint(grid).geometry),
        "acquired": acquired,
        "sources": (ColourSource(str(path), None),) * 1,
        "link": str(path),
        "identity": {"id": path.stem, "date": date},
    }
    return Image(**(told | facts))


def request(
    images, *, model="canopy-tiny", area=None, cell_px=512, run=None, prefer=None, **chosen
):
    """Return a request for a region of small cells."""
    settings = {"cell_px": cell_px, "map": MapSettings(**chosen)}
    if prefer:
        settings["prefer"] = prefer
    return RegionRequest(
        images=images, area=area, model=str(model), device="cpu",
        settings=RegionSettings(**settings), run=run or RunSettings(retries=0, backoff_s=0.0),
    )  # fmt: skip


def read_cells(folder, name="height.tif", band=1):
    """Return all cells of a region as one array, NaN between them, and its upper left corner."""
    parts = []
    for path in sorted(folder.glob(f"cells/*/{name}")):
        with rasterio.open(path) as source:
            values = source.read(band, masked=True).astype(float).filled(np.nan)
            parts.append((source.transform, values * source.scales[0]))
    west = min(transform.c for transform, _ in parts)
    north = max(transform.f for transform, _ in parts)
    pixel = parts[0][0].a
    places = [
        (round((north - transform.f) / pixel), round((transform.c - west) / pixel))
        for transform, _ in parts
    ]
    side = parts[0][1].shape[0]
    rows, columns = (max(place[axis] for place in places) + side for axis in (0, 1))
    whole = np.full((rows, columns), np.nan)
    for (row, column), (_, values) in zip(places, parts, strict=True):
        whole[row : row + side, column : column + side] = values
    return whole, (west, north)
