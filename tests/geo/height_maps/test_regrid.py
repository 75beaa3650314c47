"""Heights on another grid: right values in right places; numpy and pyproj are the oracles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyproj
import pytest
from affine import Affine
from rasterio.crs import CRS
from small_scenes import PLACES

from geo.grid import Grid
from geo.ground import model_grid
from geo.height_maps.encoding import find_encoding
from geo.height_maps.raw_raster import BandFacts, RawRaster
from geo.height_maps.regrid import regrid

FLOAT = find_encoding("float32")
FACTS = BandFacts(nodata=np.nan, scale=1.0, description="", unit="m", tags={})
UPRIGHT = Grid(
    crs=CRS.from_epsg(32633), transform=Affine(0.6, 0, 5e5, 0, -0.6, 4e6), height=60, width=80
)


def moved(folder, heights, grid, target_grid, *, encoding=FLOAT, **options):
    source = RawRaster(folder / "source", grid, "float32")
    source.write(0, heights)
    target = RawRaster(folder / "target", target_grid, encoding.dtype)
    regrid(source.describe(FACTS), target, encoding, **options)
    return target.read(0, target_grid.height)


def coarser(grid, factor):
    transform = grid.transform * Affine.scale(factor)
    height, width = grid.height // factor, grid.width // factor
    return Grid(crs=grid.crs, transform=transform, height=height, width=width)


def test_larger_pixels_are_means(tmp_path):
    heights = np.random.default_rng(0).uniform(0, 50, UPRIGHT.shape).astype(np.float32)
    found = moved(tmp_path, heights, UPRIGHT, coarser(UPRIGHT, 4), pixels_shrink=True)
    np.testing.assert_allclose(found, heights.reshape(15, 4, 20, 4).mean((1, 3)), atol=0.01)


@pytest.mark.parametrize("pixel", [1.2, 1.5, 0.3])
def test_a_part_of_a_map_is_resampled_to_the_last_bit_as_the_whole_is(tmp_path, pixel):
    corner = Affine(0.6, 0, 427_006 * 0.6, 0, -0.6, 4_624_737 * 0.6)
    grid = replace(UPRIGHT, transform=corner, height=1000, width=1000)
    steps = np.random.default_rng(0).integers(1200, 2000, grid.shape)
    heights = (steps / 64 + 1e-6).astype(np.float32)  # many means lie between two steps
    scale = pixel / 0.6
    side = int(1000 / scale)
    transform = grid.transform * Affine.scale(scale)
    wide = replace(grid, transform=transform, height=side, width=side)
    whole = moved(tmp_path, heights, grid, wide, pixels_shrink=scale > 1)
    row, column = round(20 * 0.6 / pixel), round(15 * 0.6 / pixel)
    window = wide.part(row, column, int(900 / scale), int(900 / scale))
    part = moved(tmp_path, heights, grid, window, pixels_shrink=scale > 1)
    expected = whole[row : row + window.height, column : column + window.width]
    np.testing.assert_array_equal(part, expected)


def test_means_leave_out_what_is_missing(tmp_path):
    heights = np.full(UPRIGHT.shape, 8, np.float32)
    heights[:6, :7] = np.nan
    found = moved(tmp_path, heights, UPRIGHT, coarser(UPRIGHT, 4), pixels_shrink=True)
    expected = np.full((15, 20), 8.0)
    expected[0, :2] = np.nan  # all of the first is missing, three quarters of the second
    np.testing.assert_array_equal(found, expected)


def test_the_mask_of_the_target_decides_where_it_is_given(tmp_path):
    heights = np.random.default_rng(0).uniform(1, 50, UPRIGHT.shape).astype(np.float32)
    mask = np.random.default_rng(1).random(UPRIGHT.shape) > 0.5
    found = moved(
        tmp_path, heights, UPRIGHT, UPRIGHT, pixels_shrink=False,
        valid=lambda row, count: mask[row : row + count],
    )  # fmt: skip
    np.testing.assert_array_equal(np.isfinite(found), mask)
    np.testing.assert_allclose(found[mask], heights[mask], atol=0.01)


def test_the_target_is_stored_in_its_encoding(tmp_path):
    heights = np.full(UPRIGHT.shape, 12.344, np.float32)
    heights[0] = np.nan
    centimetres = find_encoding("int16-cm")
    found = moved(tmp_path, heights, UPRIGHT, UPRIGHT, encoding=centimetres, pixels_shrink=False)
    assert found.dtype == np.int16
    assert (found[0] == -32768).all()
    assert (found[2:] == 1234).all()


@pytest.mark.parametrize(
    "place", [place for place in PLACES if place.crs and not place.gcps], ids=lambda p: p.name
)
def test_a_height_goes_to_its_own_place_on_any_grid(tmp_path, place):
    scene = Grid(
        crs=CRS.from_string(place.crs), transform=place.transform,
        height=place.height, width=place.width,
    )  # fmt: skip
    grid = model_grid(scene, 0.6)
    rows, columns = np.indices(grid.shape) + 0.5
    x, y = grid.locate(rows, columns)
    # Metres east and north, as heights: a plane, that interpolation and means keep.
    heights = ((x - x.min()) + 0.1 * (y - y.min())).astype(np.float32)
    shrink = scene.pixel_size[0] > grid.pixel_size[0] and scene.crs == grid.crs
    found = moved(tmp_path, heights, grid, scene, pixels_shrink=shrink)
    to_map = pyproj.Transformer.from_crs(scene.crs.to_wkt(), grid.crs.to_wkt(), always_xy=True)
    rows, columns = np.indices(scene.shape) + 0.5
    there = to_map.transform(*scene.locate(rows, columns))
    expected = (there[0] - x.min()) + 0.1 * (there[1] - y.min())
    inner = (slice(3, -3), slice(3, -3))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[inner], expected[inner], atol=0.13)
