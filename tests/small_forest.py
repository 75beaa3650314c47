"""A forest of numbers alone, and the footprints that an exact laser would report of it."""

from __future__ import annotations

from functools import cache

import geopandas
import numpy as np
import rasterio
from affine import Affine
from scipy import ndimage

CRS = "EPSG:32633"
WEST, NORTH = 500_000.0, 5_400_000.0
SIGMA_M, RADIUS_M = 5.5, 12.5


@cache
def forest(side=1200, seed=1):
    """Canopy heights [m] at 1 m (side, side): stands of 8 to 30 m with crowns and glades."""
    rng = np.random.default_rng(seed)

    def smooth(size):
        field = ndimage.gaussian_filter(rng.normal(size=(side, side)), size, mode="wrap")
        return field / field.std()

    stand = np.clip(18 + 5 * smooth(50), 8, 30)
    crowns = np.clip(0.75 + 0.18 * smooth(2), 0, 1.1)
    return np.where(smooth(25) > -1.2, stand * crowns, 0.0).astype(np.float32)


def weighted_percentile(heights, right, down, rank):
    """Percentile of heights at 1 m under a Gaussian beam at a place: every pixel has its weight."""
    reach = int(RADIUS_M) + 2
    row, column = int(down), int(right)
    rows, columns = np.mgrid[row - reach : row + reach + 1, column - reach : column + reach + 1]
    away = np.hypot(rows + 0.5 - down, columns + 0.5 - right)
    inside = away <= RADIUS_M
    values, weights = heights[rows, columns][inside], np.exp(-0.5 * (away[inside] / SIGMA_M) ** 2)
    order = np.argsort(values)
    share = np.cumsum(weights[order]) - 0.5 * weights[order]
    return float(np.interp(rank / 100, share / weights.sum(), values[order]))


def shoot(heights, *, across_m=80, along_m=60, track_m=0.0, shot_m=0.0, seed=3):
    """Footprints of heights at 1 m as a dict of columns, in metres right and down of the corner.

    Each track is reported off its place by normal errors of `track_m` along each axis, each shot by
    `shot_m` more.
    """
    rng = np.random.default_rng(seed)
    side, edge = heights.shape[0], 45
    right, down, track = [], [], []
    for number, start in enumerate(np.arange(edge, side - edge, across_m)):
        along = np.arange(edge + rng.uniform(0, along_m), side - edge, along_m)
        right.append(start + 0.02 * along)
        down.append(along)
        track.append(np.full(len(along), number))
    right, down, track = (np.concatenate(part) for part in (right, down, track))
    inside = right < side - edge
    right, down, track = right[inside], down[inside], track[inside]
    rh = np.array(
        [weighted_percentile(heights, *place, 98) for place in zip(right, down, strict=True)]
    )
    shared = rng.normal(0, 1, (2, track.max() + 1))[:, track] * track_m
    off = shared + rng.normal(0, 1, (2, len(track))) * shot_m
    return {"right": right + off[0], "down": down + off[1], "track": track, "rh": rh, "off": off}


def write_map(path, heights, **changes):
    """Write heights [m] of 1 m pixels."""
    profile = {
        "driver": "GTiff", "dtype": "float32", "count": 1, "height": heights.shape[0],
        "width": heights.shape[1], "crs": CRS, "nodata": np.nan,
        "transform": Affine(1, 0, WEST, 0, -1, NORTH),
    } | changes  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(heights.astype(profile["dtype"]), 1)
    return path


def write_shots(path, shots, *, column="rh98", **columns):
    """Write footprints as GeoParquet."""
    places = geopandas.points_from_xy(WEST + shots["right"], NORTH - shots["down"])
    table = {
        "beam": "BEAM0101", "track": shots["track"], "quality_flag": 1, "degrade_flag": 0,
        "sensitivity": 0.97, column: shots["rh"],
    } | columns  # fmt: skip
    geopandas.GeoDataFrame(table, geometry=places, crs=CRS).to_parquet(path)
    return path
