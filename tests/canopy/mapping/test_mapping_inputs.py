"""What people really have becomes a map: every CRS, pixel size, type, band order and hole."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp
from rio_cogeo.cogeo import cog_validate
from small_models import TOP_M, Constant, FirstBand, LocalMean, model_of
from small_scenes import BRIGHT, DARK, PLACES, noise, write_scene

from canopy.radiometry import Stretch

RED, GREEN, BLUE = ColorInterp.red, ColorInterp.green, ColorInterp.blue
ALPHA, OTHER = ColorInterp.alpha, ColorInterp.undefined
LOW, HIGH = TOP_M * DARK / 255, TOP_M * BRIGHT / 255
"""Heights of the dark ground and the bright block under the models that read brightness [m]."""

each_place = pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
each_grid_place = pytest.mark.parametrize(
    "place", [place for place in PLACES if not place.gcps], ids=lambda place: place.name
)


def block_in(heights):
    """Row and column of the middle of what is bright, weighted by height [px]."""
    weight = np.where(np.isfinite(heights), heights, LOW) - LOW
    weight[weight < 0.1] = 0
    rows, columns = np.indices(heights.shape) + 0.5
    return (rows * weight).sum() / weight.sum(), (columns * weight).sum() / weight.sum()


# --- places -------------------------------------------------------------------


@each_place
def test_the_map_shows_a_block_where_it_stands_on_earth(tmp_path, map_of, place):
    found = map_of(place.write(tmp_path / "scene.tif"), pixel_size_m=place.pixel_size_m)
    assert np.nanmax(found.heights) == pytest.approx(HIGH, abs=0.02)
    assert np.nanmedian(found.heights) == pytest.approx(LOW, abs=0.02)
    row, column = place.block_centre
    x, y = place.transform * (column, row)
    if place.crs:
        x, y = pyproj.Transformer.from_crs(
            place.crs, found.grid.crs.to_wkt(), always_xy=True
        ).transform(x, y)
        assert found.grid.crs == rasterio.crs.CRS.from_string(place.map_crs)
    assert found.grid.is_north_up
    assert found.grid.locate(*block_in(found.heights)) == pytest.approx((x, y), abs=0.15)


@each_grid_place
def test_the_map_on_the_scenes_grid_has_every_pixel_of_the_scene(tmp_path, map_of, place):
    path = place.write(tmp_path / "scene.tif")
    found = map_of(path, grid="scene", pixel_size_m=place.pixel_size_m)
    with rasterio.open(found.path) as dataset:
        if place.crs:
            with rasterio.open(path) as scene:
                assert dataset.transform == scene.transform
                assert dataset.crs == scene.crs
        assert dataset.shape == (place.height, place.width)
    assert np.isfinite(found.heights).all()
    assert cog_validate(found.path, strict=True, quiet=True) == (True, [], [])
    # In pixels of the scene, whose size on the ground is known.
    shift = 0.2 / (found.report.grid.pixel_size[0] if place.crs == "EPSG:32633" else 0.6)
    assert block_in(found.heights) == pytest.approx(place.block_centre, abs=max(0.25, shift))
    rows, columns = place.block
    blur = {500: 18, 60: 3}.get(place.height, 7)
    inner = (
        slice(rows.start + blur, rows.stop - blur),
        slice(columns.start + blur, columns.stop - blur),
    )
    np.testing.assert_allclose(found.heights[inner], HIGH, atol=0.02)
    outer = found.heights[rows.stop + blur : -blur, blur : columns.start]
    np.testing.assert_allclose(outer, LOW, atol=0.02)


@each_grid_place
def test_the_map_on_the_scenes_grid_is_missing_exactly_where_the_scene_is(tmp_path, map_of, place):
    pixels = noise(place.height, place.width)
    missing = np.zeros((place.height, place.width), bool)
    missing[: place.height // 3, place.width // 2 :] = missing[place.height // 2, 7] = True
    pixels[:, missing] = 0
    path = place.write(tmp_path / "scene.tif", pixels, nodata=0)
    found = map_of(path, grid="scene", pixel_size_m=place.pixel_size_m)
    np.testing.assert_array_equal(np.isfinite(found.heights), ~missing)


@pytest.mark.parametrize("pixel", [0.6, 0.3])
def test_a_scene_on_a_server_is_mapped_like_a_file(tmp_path, map_of, served, pixel):
    pixels = noise(130, 170)
    path = write_scene(tmp_path / "scene.tif", pixels, pixel=pixel, tiled=True, nodata=9)
    far = map_of(f"{served}/scene.tif", output=tmp_path / "far.tif", grid="scene")
    np.testing.assert_array_equal(far.heights, map_of(path, grid="scene").heights)


def test_pixels_of_a_tenth_of_a_metre_become_their_mean(tmp_path, map_of):
    pixels = noise(300, 420)
    found = map_of(
        write_scene(tmp_path / "scene.tif", pixels, pixel=0.1), model=model_of(LocalMean(0))
    )
    mean = np.rint(pixels.reshape(3, 50, 6, 70, 6).mean((2, 4)))
    np.testing.assert_allclose(found.heights, TOP_M * mean.mean(0) / 255, rtol=0, atol=0.21)


# --- types --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64", "int32", "uint32"])
def test_one_stretch_serves_the_whole_scene(tmp_path, map_of, dtype):
    """Left and right differ far more than their own contrast: a stretch per tile would show."""
    pixels = noise(130, 170, dtype=dtype)
    pixels[:, :, 85:] += 20_000
    found = map_of(write_scene(tmp_path / "scene.tif", pixels), model=model_of(FirstBand()))
    low, high = np.percentile(pixels[0].astype(float), [2, 98])
    expected = TOP_M * np.clip((pixels[0].astype(float) - low) / (high - low), 0, 1)
    np.testing.assert_allclose(found.heights, expected, rtol=0, atol=0.02)
    assert found.heights[:, :80].max() < found.heights[:, 90:].min()


def test_the_stretch_leaves_out_what_is_missing(tmp_path, map_of):
    pixels = noise(130, 170, dtype="int16")
    pixels[:, :40] = -9999
    path = write_scene(tmp_path / "scene.tif", pixels, nodata=-9999)
    found = map_of(path, model=model_of(FirstBand()))
    low, high = np.percentile(pixels[0, 40:].astype(float), [2, 98])
    expected = TOP_M * np.clip((pixels[0, 40:] - low) / (high - low), 0, 1)
    np.testing.assert_allclose(found.heights[40:], expected, rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("dtype", "stretch", "low", "high"),
    [
        ("uint8", "auto", 0, 255),
        ("uint8", "none", 0, 255),
        ("uint8", (50.0, 100.0), 50, 100),
        ("uint16", "none", 0, 65535),
        ("uint16", (0.0, 3000.0), 0, 3000),
        ("float32", (-100.0, 3000.0), -100, 3000),
    ],
)
def test_the_user_may_choose_the_stretch(tmp_path, map_of, dtype, stretch, low, high):
    pixels = noise(70, 70, dtype=dtype)
    path = write_scene(tmp_path / "scene.tif", pixels)
    found = map_of(path, model=model_of(FirstBand()), stretch=stretch)
    expected = TOP_M * np.clip((pixels[0].astype(float) - low) / (high - low), 0, 1)
    np.testing.assert_allclose(found.heights, expected, rtol=0, atol=0.02)


def test_reals_between_zero_and_one_are_taken_as_they_are_where_asked(tmp_path, map_of):
    pixels = np.random.default_rng(0).random((3, 70, 70)).astype(np.float32)
    path = write_scene(tmp_path / "scene.tif", pixels)
    found = map_of(path, model=model_of(FirstBand()), stretch="none")
    np.testing.assert_allclose(found.heights, TOP_M * pixels[0], rtol=0, atol=0.02)


# --- bands --------------------------------------------------------------------


def red_of(path, map_of, **choices):
    return map_of(path, model=model_of(FirstBand()), **choices).heights * 255 / TOP_M


@pytest.mark.parametrize(
    ("count", "options", "choices", "red"),
    [
        (4, {"photometric": "RGB", "alpha": "NO"}, {}, 1),
        (3, {"photometric": "MINISBLACK", "colorinterp": (BLUE, GREEN, RED)}, {}, 3),
        (4, {"photometric": "MINISBLACK", "colorinterp": (OTHER, BLUE, GREEN, RED)}, {}, 4),
        (4, {"photometric": "MINISBLACK", "descriptions": ("nir", "Red", "green", "blue")}, {}, 2),
        (5, {"photometric": "MINISBLACK"}, {"bands": (5, 3, 1)}, 5),
        (3, {}, {"bands": (2, 1, 3)}, 2),
    ],
)
def test_the_model_gets_red_first(tmp_path, map_of, count, options, choices, red):
    pixels = noise(70, 70, count)
    path = write_scene(tmp_path / "scene.tif", pixels, **options)
    found = red_of(path, map_of, **choices)
    np.testing.assert_allclose(found, pixels[red - 1], atol=0.1)


def test_a_palette_is_expanded(tmp_path, map_of):
    path = tmp_path / "scene.png"
    Image.fromarray(np.moveaxis(noise(70, 70), 0, -1)).quantize(16).save(path, transparency=5)
    expected = np.asarray(Image.open(path).convert("RGBA")).astype(float)
    found = red_of(path, map_of, pixel_size_m=0.6)
    assert 0 < (expected[..., 3] == 0).sum() < 4000
    expected[expected[..., 3] == 0] = np.nan
    np.testing.assert_allclose(found, expected[..., 0], atol=0.1)


# --- holes --------------------------------------------------------------------


def patch(height=130, width=170):
    missing = np.zeros((height, width), bool)
    missing[40:75, 60:100] = missing[0, 0] = missing[100:, 150:] = True
    return missing


def nodata_scene(path, pixels, dtype, nodata, value):
    pixels = pixels.astype(dtype)
    pixels[:, patch()] = value
    return write_scene(path, pixels, nodata=nodata)


def alpha_scene(path, pixels):
    opaque = np.where(patch(), 0, 255).astype(np.uint8)[None]
    return write_scene(
        path, np.concatenate([pixels, opaque]), colorinterp=(RED, GREEN, BLUE, ALPHA)
    )


def mask_scene(path, pixels):
    return write_scene(path, pixels, mask=np.where(patch(), 0, 255).astype(np.uint8))


def sidecar_scene(path, pixels):
    write_scene(path, pixels)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as target:
        target.write_mask(~patch())
    return path


HOLES = {
    "nodata 0": lambda path, pixels: nodata_scene(path, pixels, "uint8", 0, 0),
    "nodata 255": lambda path, pixels: nodata_scene(path, pixels, "uint8", 255, 255),
    "nodata -9999": lambda path, pixels: nodata_scene(path, pixels, "int16", -9999, -9999),
    "nodata NaN": lambda path, pixels: nodata_scene(path, pixels, "float32", np.nan, np.nan),
    "NaN": lambda path, pixels: nodata_scene(path, pixels, "float32", None, np.nan),
    "alpha": alpha_scene,
    "an internal mask": mask_scene,
    "a sidecar mask": sidecar_scene,
}


@pytest.mark.parametrize("write", HOLES.values(), ids=HOLES.keys())
@pytest.mark.parametrize("grid", ["model", "scene"])
def test_the_map_is_missing_exactly_where_the_scene_is(tmp_path, map_of, write, grid):
    pixels = noise(130, 170)
    path = write(tmp_path / "scene.tif", pixels)
    choices = {"grid": grid, "stretch": (0.0, 255.0)}
    found = map_of(path, **choices)
    np.testing.assert_array_equal(np.isfinite(found.heights), ~patch())
    # A hole changes no height beyond the model's own reach, here one pixel.
    whole = map_of(write_scene(tmp_path / "whole.tif", pixels), **choices).heights
    near = patch()
    for axis in (0, 1):
        near = near | np.roll(near, 1, axis) | np.roll(near, -1, axis)
    np.testing.assert_array_equal(found.heights[~near], whole[~near])


def test_tiles_without_data_are_not_predicted(tmp_path, map_of):
    pixels = noise(260, 300)
    pixels[:, :, 150:] = 0
    network = Constant(7)
    found = map_of(write_scene(tmp_path / "scene.tif", pixels, nodata=0), model=model_of(network))
    report = found.report
    assert network.tiles == report.tiles_run
    assert report.tiles_run + report.tiles_skipped == 6 * 6
    assert report.tiles_skipped >= 10
    np.testing.assert_array_equal(found.heights[:, :150], 7)
    assert np.isnan(found.heights[:, 150:]).all()


@pytest.mark.parametrize("grid", ["model", "scene"])
def test_a_scene_without_a_valid_pixel_becomes_an_empty_map(tmp_path, map_of, grid):
    network = Constant(7)
    path = write_scene(tmp_path / "scene.tif", np.zeros((3, 100, 80), np.uint8), nodata=0)
    found = map_of(path, model=model_of(network), grid=grid)
    assert network.tiles == 0
    assert np.isnan(found.heights).all()
    assert found.report.heights.valid_percent == 0
    assert found.report.as_json()["height"]["mean"] is None


def test_an_island_far_from_all_else_is_mapped(tmp_path, map_of):
    """Three small pixels are less than half of one of the model's."""
    pixels = np.zeros((3, 900, 900), np.uint8)
    pixels[:, 700, 500:503] = 200
    path = write_scene(tmp_path / "scene.tif", pixels, pixel=0.1, nodata=0)
    found = map_of(path, model=model_of(Constant(7)), grid="scene")
    np.testing.assert_array_equal(np.isfinite(found.heights), pixels[0] > 0)


def test_black_and_white_are_colours_where_nothing_says_otherwise(tmp_path, map_of):
    pixels = np.zeros((3, 70, 70), np.uint8)
    pixels[:, :, 35:] = 255
    found = map_of(write_scene(tmp_path / "scene.tif", pixels), model=model_of(LocalMean(0)))
    np.testing.assert_array_equal(found.heights[:, :35], 0)
    np.testing.assert_array_equal(found.heights[:, 35:], TOP_M)


def test_a_flat_scene_of_other_numbers_is_mapped(tmp_path, map_of):
    path = write_scene(tmp_path / "scene.tif", np.full((3, 70, 70), 300, np.uint16))
    found = map_of(path)
    assert np.isfinite(found.heights).all()
    assert found.report.settings.stretch == "auto"
    assert Stretch(low=(300.0,) * 3, high=(301.0,) * 3).apply(np.full((3, 1, 1), 300)).max() == 0
