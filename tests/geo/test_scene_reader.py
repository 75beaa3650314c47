"""A scene on any grid has the right values in the right places, and says where it has none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from small_scenes import EAST, NORTH, PLACES, UTM, noise, write_scene

from geo.errors import SceneError
from geo.ground import model_grid
from geo.scene import open_scene
from geo.scene_reader import read_on, read_sample

RGBA = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)


def read(scene, grid, height=None):
    """A whole grid, in strips of some rows: pixels (3, rows, columns) and validity."""
    height = height or grid.height
    with read_on(scene, grid) as reader:
        strips = [
            reader.read(row, min(height, grid.height - row))
            for row in range(0, grid.height, height)
        ]
    assert strips[0].grid.transform == grid.transform
    return (
        np.concatenate([strip.pixels for strip in strips], axis=1),
        np.concatenate([strip.valid for strip in strips]),
    )


def at_gsd(path, gsd=0.6, **options):
    scene = open_scene(path, **options)
    return scene, model_grid(scene.grid, gsd, scene.locate)


# --- the same pixels ----------------------------------------------------------


def holes(height=20, width=30):
    """Some pixels, in patches and alone (height, width)."""
    missing = np.zeros((height, width), bool)
    missing[:7, 11:] = missing[12, 3] = missing[-1, -2:] = True
    return missing


def with_holes(dtype, value):
    pixels = noise(20, 30, dtype=dtype)
    pixels[:, holes()] = value
    return pixels


def nodata(dtype, value, fill):
    return lambda path: write_scene(path, with_holes(dtype, fill), nodata=value)


def alpha(path):
    opaque = np.where(holes(), 0, 255).astype(np.uint8)
    pixels = np.concatenate([noise(20, 30), opaque[None]])
    return write_scene(path, pixels, colorinterp=RGBA)


def half_opaque(path):
    pixels = np.concatenate([noise(20, 30), np.where(holes(), 0, 100).astype(np.uint8)[None]])
    return write_scene(path, pixels, colorinterp=RGBA)


def internal_mask(path):
    return write_scene(path, noise(20, 30), mask=np.where(holes(), 0, 255).astype(np.uint8))


def internal_mask_of_reals(path):
    pixels = noise(20, 30, dtype="float32")
    return write_scene(path, pixels, mask=np.where(holes(), 0, 255).astype(np.uint8))


def sidecar_mask(path):
    write_scene(path, noise(20, 30))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as target:
        target.write_mask(~holes())
    assert path.with_name(path.name + ".msk").exists()
    return path


def palette(path):
    colours = {index: (index, 255 - index, index // 2, 255) for index in range(256)}
    indices = np.where(holes(), 0, noise(20, 30, 1)[0])[None]
    return write_scene(path, indices, colormap=colours, nodata=0)


MISSING = {
    "nodata 0": nodata("uint8", 0, 0),
    "nodata 255": nodata("uint8", 255, 255),
    "nodata -9999 in int16": nodata("int16", -9999, -9999),
    "nodata 0 in uint16": nodata("uint16", 0, 0),
    "nodata -9999 in float32": nodata("float32", -9999, -9999),
    "nodata NaN": nodata("float32", np.nan, np.nan),
    "NaN without nodata": nodata("float32", None, np.nan),
    "nodata -9999 and NaN": nodata("float32", -9999, np.nan),
    "alpha": alpha,
    "an internal mask": internal_mask,
    "an internal mask of real numbers": internal_mask_of_reals,
    "a sidecar mask": sidecar_mask,
    "a palette with a nodata index": palette,
}
each_kind_of_missing = pytest.mark.parametrize("write", MISSING.values(), ids=MISSING.keys())


@each_kind_of_missing
def test_on_its_own_grid_a_scene_is_missing_exactly_where_it_says(tmp_path, write):
    path = write(tmp_path / "scene.tif")
    scene = open_scene(path)
    pixels, valid = read(scene, scene.grid, height=6)
    np.testing.assert_array_equal(valid, ~holes())
    with scene.open() as dataset:
        expected = dataset.read((1, 2, 3))
        if not np.issubdtype(expected.dtype, np.floating):
            np.testing.assert_array_equal(valid, dataset.dataset_mask() > 0)
    np.testing.assert_array_equal(pixels[:, valid], expected[:, valid])


@each_kind_of_missing
def test_a_sample_knows_what_is_missing(tmp_path, write):
    sample = read_sample(open_scene(write(tmp_path / "scene.tif")))
    np.testing.assert_array_equal(sample.valid, ~holes())


def test_half_opaque_pixels_are_valid_at_every_size(tmp_path):
    path = half_opaque(tmp_path / "scene.tif")
    scene = open_scene(path)
    np.testing.assert_array_equal(read(scene, scene.grid)[1], ~holes())
    finer = model_grid(scene.grid, 0.3)
    np.testing.assert_array_equal(read(scene, finer)[1][::2, ::2], ~holes())


@each_kind_of_missing
def test_half_sized_pixels_are_missing_where_most_of_them_is(tmp_path, write):
    path = write(tmp_path / "scene.tif")
    scene, grid = at_gsd(path, 1.2)
    pixels, valid = read(scene, grid)
    share = (~holes()).reshape(10, 2, 15, 2).mean((1, 3))
    clear = share != 0.5
    np.testing.assert_array_equal(valid[clear], share[clear] > 0.5)
    # What is missing has no part in a mean.
    with scene.open() as dataset:
        original = dataset.read((1, 2, 3)).astype(float)
    known = np.where(holes(), np.nan, original).reshape(3, 10, 2, 15, 2)
    with np.errstate(invalid="ignore"):
        expected = np.nansum(known, (2, 4)) / np.isfinite(known).sum((2, 4))
    np.testing.assert_allclose(pixels[:, valid], expected[:, valid], atol=1)


# GDAL's warp knows one value that means nothing: NaN beside a nodata value takes a ring with it.
warped_missing = {name: write for name, write in MISSING.items() if "and NaN" not in name}


@pytest.mark.parametrize("write", warped_missing.values(), ids=warped_missing.keys())
def test_a_warped_scene_is_missing_where_it_says(tmp_path, write):
    """South-up and north-up are the same ground: a warp of one must be the rows of the other."""
    path = write(tmp_path / "scene.tif")
    flipped = Affine(0.6, 0, EAST, 0, 0.6, NORTH - 12)
    with rasterio.open(path, "r+") as target:
        target.transform = flipped
    scene, grid = at_gsd(path)
    assert grid.shape == (20, 30)
    pixels, valid = read(scene, grid)
    np.testing.assert_array_equal(valid, ~holes()[::-1])
    with scene.open() as dataset:
        expected = dataset.read((1, 2, 3))[:, ::-1]
    np.testing.assert_allclose(pixels[:, valid], expected[:, valid], atol=1)


@pytest.mark.parametrize("gsd", [1.2, 0.3])
def test_a_zero_in_one_band_is_dark_not_missing(tmp_path, gsd):
    pixels = noise(20, 30)
    pixels[0, :, ::2] = 0
    same = {"transform": Affine(0.6, 0, EAST, 0, -0.6, NORTH)}
    marked = open_scene(write_scene(tmp_path / "marked.tif", pixels, nodata=0, **same))
    plain = open_scene(write_scene(tmp_path / "plain.tif", pixels, **same))
    grid = model_grid(plain.grid, gsd)
    found, valid = read(marked, grid)
    assert valid.all()
    np.testing.assert_allclose(found.astype(int), read(plain, grid)[0], atol=2)


# --- other pixels -------------------------------------------------------------


def area_weights(count, size, gsd):
    """Share of each pixel of a scene (columns) in each pixel of a grid (rows), along one axis."""
    edges = np.arange(int(np.ceil(round(count * size / gsd, 6))) + 1) * gsd
    low, high = edges[:-1, None], np.minimum(edges[1:], count * size)[:, None]
    first = np.arange(count) * size
    overlap = np.clip(np.minimum(high, first + size) - np.maximum(low, first), 0, None)
    return overlap / overlap.sum(1, keepdims=True)


@pytest.mark.parametrize("pixel", [0.1, 0.25, 0.3, 0.35, 0.5, 0.59])
def test_pixels_that_grow_are_means_over_their_area(tmp_path, pixel):
    values = noise(61, 83, dtype="uint16")
    scene, grid = at_gsd(write_scene(tmp_path / "scene.tif", values, pixel=pixel))
    found, valid = read(scene, grid)
    down, across = area_weights(61, pixel, 0.6), area_weights(83, pixel, 0.6)
    assert valid.all()
    expected = down @ values.astype(float) @ across.T
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2)


@pytest.mark.parametrize("pixel", [0.65, 1.0, 1.7])
def test_pixels_that_shrink_are_interpolated_between_centres(tmp_path, pixel):
    # Values that grow evenly: between centres, interpolation must give the plane itself.
    rows, columns = np.indices((40, 50)) * pixel
    values = np.stack([columns, rows, columns + rows]).astype(np.float32)
    scene, grid = at_gsd(write_scene(tmp_path / "scene.tif", values, pixel=pixel))
    found, valid = read(scene, grid)
    assert valid.all()
    y, x = (np.indices(grid.shape) + 0.5) * 0.6 - pixel / 2
    inside = (x > 0) & (y > 0) & (x < 49 * pixel) & (y < 39 * pixel)
    np.testing.assert_allclose(found[0][inside], x[inside], atol=0.02)
    np.testing.assert_allclose(found[1][inside], y[inside], atol=0.02)


@pytest.mark.parametrize("height", [1, 7, 64])
@pytest.mark.parametrize(
    "place", [place for place in PLACES if place.width < 300], ids=lambda place: place.name
)
def test_strips_of_any_height_give_the_same_pixels(tmp_path, place, height):
    if height == 1 and place.map_crs != place.crs:
        height = 19  # single rows of a warp are slow
    values = noise(place.height, place.width)
    path = place.write(tmp_path / "scene.tif", values, nodata=7)
    scene, grid = at_gsd(path, pixel_size_m=place.pixel_size_m)
    whole, strips = read(scene, grid), read(scene, grid, height)
    np.testing.assert_array_equal(strips[1], whole[1])
    np.testing.assert_array_equal(strips[0][:, whole[1]], whole[0][:, whole[1]])


@pytest.mark.parametrize("pixel", [0.5, 0.6, 0.3, 1.0])
def test_a_grid_that_goes_on_beyond_the_scene_has_nothing_there(tmp_path, pixel):
    write_scene(tmp_path / "scene.tif", noise(20, 30), pixel=0.6)
    scene = open_scene(tmp_path / "scene.tif")
    transform = scene.grid.transform * Affine.scale(pixel / 0.6)
    down, across = (2 * round(length * 0.6 / pixel) for length in scene.grid.shape)
    twice = replace(scene.grid, transform=transform, height=down, width=across)
    _, valid = read(scene, twice, height=7)
    rows, columns = np.nonzero(valid)
    assert rows.max() * pixel == pytest.approx(20 * 0.6, abs=1.5 * pixel)
    assert columns.max() * pixel == pytest.approx(30 * 0.6, abs=1.5 * pixel)
    assert valid[: down // 2 - 1, : across // 2 - 1].all()


@pytest.mark.parametrize("pixel", [0.6, 0.3])
def test_a_grid_that_ends_before_the_scene_has_its_first_pixels(tmp_path, pixel):
    pixels = noise(20, 30)
    write_scene(tmp_path / "scene.tif", pixels, pixel=0.6)
    scene = open_scene(tmp_path / "scene.tif")
    transform = scene.grid.transform * Affine.scale(pixel / 0.6)
    part = replace(scene.grid, transform=transform, height=10, width=12)
    with read_on(scene, part, Resampling.nearest) as reader:
        found = reader.read(0, 10).pixels
    step = round(0.6 / pixel)
    expected = pixels.repeat(step, axis=1).repeat(step, axis=2)[:, :10, :12]
    np.testing.assert_array_equal(found, expected)


def test_a_last_pixel_that_the_scene_hardly_reaches_is_read(tmp_path):
    values = noise(100, 100)
    scene, grid = at_gsd(write_scene(tmp_path / "scene.tif", values, pixel=0.30002))
    assert grid.shape == (51, 51)
    found, valid = read(scene, grid)
    assert valid.all()
    assert abs(int(found[0, -1, -1]) - int(values[0, -1, -1])) <= 1


# --- other places -------------------------------------------------------------


def ramp(place, crs):
    """Metres east and north of the scene's corner, as pixels (3, height, width)."""
    rows, columns = np.indices((place.height, place.width)) + 0.5
    x, y = place.transform * (columns, rows)
    if place.crs:
        transformer = pyproj.Transformer.from_crs(place.crs, crs, always_xy=True)
        x, y = transformer.transform(x, y)
    origin = np.floor([x.min(), y.min()])
    x, y = x - origin[0], y - origin[1]
    return np.stack([x, y, x + y]).astype(np.float32), origin


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_every_pixel_comes_from_its_own_place_on_earth(tmp_path, place):
    values, origin = ramp(place, place.map_crs)
    scene, grid = at_gsd(
        place.write(tmp_path / "scene.tif", values), pixel_size_m=place.pixel_size_m
    )
    found, valid = read(scene, grid)
    rows, columns = np.indices(grid.shape) + 0.5
    x, y = grid.locate(rows, columns)
    # Near the edge an area is cut and its mean is elsewhere.
    inner = valid.copy()
    for _ in range(4):
        inner[1:-1, 1:-1] &= inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
    inner[[0, 1, 2, 3, -1, -2, -3, -4]] = inner[:, [0, 1, 2, 3, -1, -2, -3, -4]] = False
    assert inner.mean() > 0.3
    assert np.abs(found[0] - (x - origin[0]))[inner].max() < 0.13
    assert np.abs(found[1] - (y - origin[1]))[inner].max() < 0.13


def test_ground_control_points_may_bend_a_scene(tmp_path):
    """What a camera sees of a slope: no affine grid fits it."""

    def place_of(row, column):
        return (
            EAST + 0.6 * column + 4e-4 * column**2 + 3e-4 * column * row,
            NORTH - 0.6 * row + 3e-4 * row * column,
        )

    rows, columns = np.indices((120, 150)) + 0.5
    x, y = place_of(rows, columns)
    values = np.stack([x - EAST, NORTH - y, x - y]).astype(np.float32)
    points = [
        GroundControlPoint(row=row, col=column, x=x, y=y)
        for row in np.linspace(0, 120, 5)
        for column in np.linspace(0, 150, 5)
        for x, y in [place_of(row, column)]
    ]
    path = write_scene(
        tmp_path / "scene.tif", values, crs=None, transform=Affine.identity(),
        gcps=(points, CRS.from_string(UTM)),
    )  # fmt: skip
    scene, grid = at_gsd(path)
    found, valid = read(scene, grid)
    rows, columns = np.indices(grid.shape) + 0.5
    x, y = grid.locate(rows, columns)
    inner = valid & (found[0] > 5) & (found[0] < 85) & (found[1] > 5) & (found[1] < 60)
    assert inner.mean() > 0.3
    assert np.abs(found[0] - (x - EAST))[inner].max() < 0.2
    assert np.abs(found[1] - (NORTH - y))[inner].max() < 0.2


def test_a_palette_may_have_ground_control_points(tmp_path):
    place = next(place for place in PLACES if place.gcps and place.crs == UTM)
    values, _ = ramp(place, UTM)
    index = np.floor(values[:1]).astype(np.uint8)
    colours = {number: (number, number, number, 255) for number in range(256)}
    plain = open_scene(place.write(tmp_path / "plain.tif", np.repeat(index, 3, axis=0)))
    scene = open_scene(place.write(tmp_path / "palette.tif", index, colormap=colours))
    grid = model_grid(plain.grid, 0.6, plain.locate)
    (found, valid), (expected, expected_valid) = read(scene, grid), read(plain, grid)
    np.testing.assert_array_equal(valid, expected_valid)
    np.testing.assert_allclose(found.astype(int)[:, valid], expected[:, valid], atol=1)


# --- samples ------------------------------------------------------------------


def test_a_sample_of_a_small_scene_is_the_scene(tmp_path):
    values = noise(50, 70, dtype="uint16")
    sample = read_sample(open_scene(write_scene(tmp_path / "scene.tif", values)))
    np.testing.assert_array_equal(sample.pixels, values)


def test_a_sample_of_a_large_scene_covers_it_all(tmp_path):
    values = noise(90, 600)
    scene = open_scene(write_scene(tmp_path / "scene.tif", values))
    sample = read_sample(scene, side=60)
    assert sample.pixels.shape == (3, 9, 60)
    np.testing.assert_allclose(sample.grid.bounds, scene.grid.bounds)
    assert np.isin(sample.pixels[:, -1, -1], values[:, -10:, -10:]).all()


@pytest.mark.parametrize("gsd", [0.6, 1.2, 0.45])
@pytest.mark.parametrize("crs", [UTM, "EPSG:3857"])
def test_a_file_that_breaks_off_is_an_error_wherever_it_is_read(tmp_path, gsd, crs):
    path = write_scene(tmp_path / "scene.tif", noise(200, 200), crs=crs, compress="deflate")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    scene, grid = at_gsd(path, gsd)
    with pytest.raises(SceneError, match=r"scene\.tif cannot be read"):
        read(scene, grid)
