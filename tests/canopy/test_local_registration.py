"""A smooth distortion that is known is found and taken back; where there is none, none is made."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.warp import Resampling, reproject
from scipy import ndimage
from small_worlds import settings_of

from canopy.registration import RegistrationOutput, register, window_starts
from geo.height_maps.cog import check_cog
from geo.simulation.world import simulate
from geo.simulation.write import CHM, IMAGERY, write_world

SIZE_M, PIXEL_M = 280.0, 1.0
EAST, NORTH, SWING = 1.6, -1.2, 1.4
"""How far heights are put off their place everywhere, and how much more or less in places [m]."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A forest of 280 m, and its heights put off their place: by one shift, and by many."""
    place = tmp_path_factory.mktemp("world")
    write_world(simulate(settings_of("mixed", size_m=SIZE_M, gsd_m=PIXEL_M), 5), place)
    put_off(place, "shifted.tif", 0.0)
    put_off(place, "bent.tif", SWING)
    return place


def put_off_by(rows, columns, swing):
    """By how much heights at pixels are put off, east and north [m]."""
    turn = 2 * np.pi * PIXEL_M / SIZE_M
    return EAST + swing * np.sin(turn * columns), NORTH + swing * np.cos(turn * rows)


def put_off(folder, name, swing):
    """Write heights that lie elsewhere than they should."""
    with rasterio.open(folder / CHM) as dataset:
        heights, profile = dataset.read(1), dataset.profile | {"driver": "GTiff"}
    rows, columns = np.mgrid[: heights.shape[0], : heights.shape[1]].astype(float)
    east, north = put_off_by(rows, columns, swing)
    places = [rows + north / PIXEL_M, columns - east / PIXEL_M]
    moved = ndimage.map_coordinates(heights, places, order=1, mode="nearest")
    with rasterio.open(folder / name, "w", **profile) as target:
        target.write(moved.astype(np.float32), 1)
        target.units = ("m",)


def heights_on(path, like):
    """Heights of a file on the pixels of another."""
    with rasterio.open(path) as source, rasterio.open(like) as wanted:
        found = np.full(wanted.shape, np.nan, np.float32)
        reproject(
            rasterio.band(source, 1), found, dst_transform=wanted.transform,
            dst_crs=wanted.crs, dst_nodata=np.nan, resampling=Resampling.bilinear,
        )  # fmt: skip
        return found, wanted.read(1)


def test_a_smooth_distortion_is_taken_back(folder, tmp_path):
    output = RegistrationOutput(path=tmp_path / "straight.tif")
    pair = register(folder / IMAGERY, folder / "bent.tif", output)
    local = pair.local
    assert pair.applied == "local", local.reason
    assert (local.windows, local.better) == (16, True)
    assert local.score_local > 1.2 * local.score_one
    left, top = pair.grid.bounds[0], pair.grid.bounds[3]
    rows, columns = (part.ravel() for part in np.mgrid[10:270:20, 10:270:20].astype(float))
    found = local.field.at(np.stack([left + columns * PIXEL_M, top - rows * PIXEL_M], axis=1))
    east, north = put_off_by(rows, columns, SWING)
    left_over = np.hypot(found[:, 0] + east, found[:, 1] + north)
    alone = np.hypot(pair.found.east_m + east, pair.found.north_m + north)
    assert np.median(left_over) < 0.35
    assert np.median(left_over) < np.median(alone) / 3
    check_cog(output.path)
    straight, true = heights_on(output.path, folder / CHM)
    bent, _ = heights_on(folder / "bent.tif", folder / CHM)
    inner = (slice(10, -10), slice(10, -10))
    error, before = (np.nanmean(np.abs(part - true)[inner]) for part in (straight, bent))
    assert np.isfinite(straight[inner]).all()
    assert error < 0.5 * before
    with rasterio.open(output.path) as moved:
        assert moved.units == ("m",)
        assert "smoothly by place" in moved.tags()["REGISTRATION"]


def test_one_shift_stays_one_shift(folder, tmp_path):
    output = RegistrationOutput(path=tmp_path / "moved.tif")
    pair = register(folder / IMAGERY, folder / "shifted.tif", output)
    assert pair.found.verdict == "shifted"
    assert pair.applied == "global"
    assert pair.local.strong > 12
    assert not pair.local.better
    with rasterio.open(output.path) as moved, rasterio.open(folder / "shifted.tif") as source:
        np.testing.assert_array_equal(moved.read(), source.read())


def test_windows_stand_apart_only_where_ground_is_large():
    assert window_starts(5, 59, 60) == []
    assert window_starts(5, 130, 60) == [5, 75]
    large = window_starts(0, 60_000, 60)
    assert len(large) == 16
    assert large[-1] == 60_000 - 60
