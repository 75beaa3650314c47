"""The mosaic is a function of the ground: the same whoever asks, and right where that is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp
from shapely.geometry import box
from small_mosaics import (
    CELL,
    CHOICES,
    PIXEL,
    ZONE,
    image,
    other_crs,
    read,
    read_bytes,
    scene,
    smooth,
    window,
)
from small_scenes import noise

from geo.errors import GridError, SceneError
from geo.imagery.image import ColourSource
from geo.imagery.mosaic import BLOCK_PX, MosaicReader
from geo.imagery.ranking import Preference
from geo.scene import open_scene
from geo.scene_reader import read_on

# --- one image ----------------------------------------------------------------


def test_on_the_same_pixels_a_mosaic_is_the_image(tmp_path):
    pixels = noise(300, 400)
    path = scene(tmp_path / "a.tif", pixels, 60.0, 30.0)
    got, shown = read_bytes([image(path)])
    np.testing.assert_array_equal(got[:, 50:350, 100:500], pixels)
    assert (shown[50:350, 100:500] == 0).all()
    assert (shown == 0).sum() == 300 * 400
    assert not got[:, shown < 0].any()


@pytest.mark.parametrize("pixel", [0.1, 0.15, 0.25, 0.5, 1.0, 1.7])
@pytest.mark.parametrize("missing", [False, True])
def test_other_pixels_on_the_same_axes_are_those_of_a_single_scene(tmp_path, pixel, missing):
    height, width = round(240 / pixel), round(200 / pixel)
    pixels = noise(height, width)
    if missing:
        pixels[:, height // 4 : height // 2, width // 3 :] = 0
    path = scene(tmp_path / "a.tif", pixels, 36.0, 12.0, pixel, nodata=0)
    opened = open_scene(path)
    grid = CELL.grid.part(20, 60, 400, 333)
    with read_on(opened, grid) as reader:
        expected = reader.read(0, 400)
    got, shown = read_bytes([image(path)])
    got, shown = got[:, 20:419, 60:392], shown[20:419, 60:392]
    np.testing.assert_array_equal(shown == 0, expected.valid[:399, :332])
    apart = np.abs(got.astype(int) - expected.pixels[:, :399, :332])[:, shown == 0]
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.02


def test_pixels_shrink_to_exact_means_of_their_area(tmp_path):
    pixels = noise(600, 600)
    path = scene(tmp_path / "a.tif", pixels, 6.0, 6.0, 0.1)
    got, shown = read_bytes([image(path)])
    means = pixels.reshape(3, 100, 6, 100, 6).mean((2, 4))
    assert (shown[10:110, 10:110] == 0).all()
    assert np.abs(got[:, 10:110, 10:110] - means).max() <= 0.5 + 1e-4


RGBA = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
HOLES = np.zeros((300, 300), bool)
HOLES[40:90, 100:] = HOLES[200, 17] = True


def with_alpha(path, pixels):
    opaque = np.where(HOLES, 0, 255).astype(np.uint8)
    return scene(path, np.concatenate([pixels, opaque[None]]), 60, 60, colorinterp=RGBA)


def with_nodata(path, pixels):
    return scene(path, np.where(HOLES, 0, pixels), 60, 60, nodata=0)


def with_mask(path, pixels):
    return scene(path, pixels, 60, 60, mask=np.where(HOLES, 0, 255).astype(np.uint8))


def with_sidecar(path, pixels):
    scene(path, pixels, 60, 60)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as target:
        target.write_mask(~HOLES)
    return path


@pytest.mark.parametrize("write", [with_alpha, with_nodata, with_mask, with_sidecar])
def test_what_an_image_lacks_is_shown_by_the_next(tmp_path, write):
    new, old = noise(300, 300, seed=1), noise(512, 512, seed=2)
    images = [
        image(scene(tmp_path / "old.tif", old), day=1),
        image(write(tmp_path / "new.tif", new), day=2, footprint=CELL.footprint),
    ]
    got, shown = read_bytes(images)
    expected, number = old.copy(), np.zeros((512, 512), int)
    part = slice(100, 400)
    expected[:, part, part] = np.where(HOLES, expected[:, part, part], new)
    number[part, part] = np.where(HOLES, 0, 1)
    np.testing.assert_array_equal(shown, number)
    np.testing.assert_array_equal(got, expected)


def test_a_palette_is_expanded(tmp_path):
    indices = noise(300, 300, 1)
    colours = {index: (index, 255 - index, index // 2, 255) for index in range(256)}
    path = scene(tmp_path / "a.tif", indices, colormap=colours)
    got, shown = read_bytes([image(path)])
    expected = np.concatenate([indices, 255 - indices, indices // 2])
    np.testing.assert_array_equal(got[:, :300, :300], expected)
    assert (shown[:300, :300] == 0).all()


def test_three_files_are_one_image(tmp_path):
    pixels = noise(300, 300)
    for name, band in zip(("red", "green", "blue"), pixels, strict=True):
        lack = np.where(HOLES, 0, band) if name == "green" else band
        scene(tmp_path / f"{name}.tif", lack[None], nodata=0)
    sources = tuple(ColourSource(str(tmp_path / f"{c}.tif"), 1) for c in ("red", "green", "blue"))
    got, shown = read_bytes([image(tmp_path, sources=sources, footprint=CELL.footprint)])
    valid = shown[:300, :300] == 0
    np.testing.assert_array_equal(valid, ~HOLES)
    np.testing.assert_array_equal(got[:, :300, :300][:, valid], pixels[:, valid])


def test_bands_are_taken_as_the_item_tells_them(tmp_path):
    pixels = noise(300, 300, 5)
    path = scene(tmp_path / "a.tif", pixels)
    sources = tuple(ColourSource(str(path), band) for band in (5, 3, 2))
    got, _ = read_bytes([image(path, sources=sources)])
    np.testing.assert_array_equal(got[:, :300, :300], pixels[[4, 2, 1]])


# --- many images ----------------------------------------------------------------


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    """Overlapping images in two CRSs, of two types, of several dates, with holes."""
    folder = tmp_path_factory.mktemp("region")
    shift = {"west_m": -100.0, "north_m": -100.0}
    a = scene(folder / "a.tif", smooth(900, 700, 1), **shift)
    pixels = smooth(1400, 1400, 2)
    pixels[:, 300:420, 100:900] = 0
    b = scene(folder / "b.tif", pixels, 40.13, 10.2, 0.25, nodata=0)
    c, _, _ = other_crs(folder / "c.tif", 32632, 0.3)
    d = scene(folder / "d.tif", smooth(800, 800, 4).astype(np.uint16) * 9, 150.0, 120.0, 0.59)
    return [
        image(path, day=day) for path, day in ((a, 5), (b, 9), (c, 2), (d, 7))
    ]  # fmt: skip


def stretched(scene_):
    if scene_.dtype == "uint8":
        return None
    return lambda pixels: np.clip(pixels.astype(np.float32) / 2295, 0, 1)


MIXED = replace(CHOICES, stretch_of=stretched)
FAR = ((-2, 5), (-2, 5))


@pytest.fixture(scope="module")
def whole(region):
    """The mosaic of a wide window, read at once."""
    return read(region, window(*FAR), MIXED)


@settings(max_examples=15)
@given(
    down=st.tuples(st.integers(-2, 4), st.integers(1, 4)),
    across=st.tuples(st.integers(-2, 4), st.integers(1, 4)),
    height=st.integers(30, 700),
    seed=st.integers(0, 10**6),
)
def test_a_pixel_does_not_depend_on_the_window_the_strips_or_the_order_of_images(
    region, whole, down, across, height, seed
):
    spans = [(first, min(first + count, 5)) for first, count in (down, across)]
    order = np.random.default_rng(seed).permutation(len(region))
    got, shown = read([region[index] for index in order], window(*spans), MIXED, height)
    part = tuple(slice((first + 2) * BLOCK_PX, (last + 2) * BLOCK_PX) for first, last in spans)
    np.testing.assert_array_equal(got, whole[0][:, *part])
    number = np.append(order, -1)
    np.testing.assert_array_equal(number[shown], whole[1][part])


def test_the_region_shows_all_of_its_images(whole):
    assert set(np.unique(whole[1])) == {-1, 0, 1, 2, 3}


def test_the_winner_changes_at_the_border_of_a_cell_and_nowhere_else(tmp_path):
    covers_both = scene(tmp_path / "old.tif", np.full((3, 700, 1300), 50, np.uint8), -50, -50)
    covers_one = scene(tmp_path / "new.tif", np.full((3, 700, 800), 200, np.uint8), -50, -50)
    images = [image(covers_both, day=1), image(covers_one, day=9)]
    got, shown = read_bytes(images, window((0, 2), (0, 4)))
    # The newer one covers all of the left cell, and a part of the right one.
    assert (shown[:, :512] == 1).all()
    assert (shown[:, 512:] == 0).all()
    assert (got[:, :, :512] == 200).all()
    oldest = replace(
        CHOICES, preference=Preference(by="nearest", date=datetime(2020, 1, 1, tzinfo=UTC))
    )
    assert (read(images, window((0, 2), (0, 4)), oldest)[1] == 0).all()


@pytest.mark.parametrize("pixel", [0.1, 0.6, 0.25, 1.3])
def test_images_side_by_side_leave_no_gap(tmp_path, pixel):
    step = 90 * pixel + 0.07
    images = [
        image(
            scene(
                tmp_path / f"{row}{column}.tif", np.full((3, 90, 90), 9, np.uint8),
                150 + column * 90 * pixel + 0.07, 150 + row * 90 * pixel + 0.05, pixel,
            )
        )
        for row in (0, 1)
        for column in (0, 1)
    ]  # fmt: skip
    _, shown = read(images)
    first, last = int(151 / PIXEL) + 1, int((149 + 2 * step) / PIXEL) - 1
    assert (shown[first:last, first:last] >= 0).all()
    assert set(np.unique(shown)) == {-1, 0, 1, 2, 3}


def test_images_that_are_not_needed_are_not_opened(tmp_path):
    whole_ = image(scene(tmp_path / "a.tif", noise(600, 600), -10, -10), day=9)
    sources = (ColourSource(str(tmp_path / "missing.tif"), None),)
    hidden = image(tmp_path, sources=sources, footprint=whole_.footprint, day=1)
    elsewhere = image(tmp_path, sources=sources, footprint=box(11.5, 45, 11.6, 45.1), day=20)
    _, shown = read([elsewhere, hidden, whole_])
    assert (shown == 2).all()
    with pytest.raises(SceneError, match=r"missing.tif does not exist"):
        read([replace(hidden, acquired=datetime(2022, 1, 1, tzinfo=UTC)), whole_])


def test_nothing_is_read_twice_as_strips_follow_one_another(region, monkeypatch):
    asked = []
    from geo.imagery.opened import OpenImages  # noqa: PLC0415

    plain = OpenImages.read

    def counting(self, index, row, column):
        asked.append((index, row, column))
        return plain(self, index, row, column)

    monkeypatch.setattr(OpenImages, "read", counting)
    with MosaicReader(region, window(*FAR), MIXED) as reader:
        for row in range(0, 1792 - 300, 100):
            reader.read(row, 300)
            reader.shown(row, 300)
    assert len(asked) == len(set(asked))


def test_more_images_than_may_be_open_are_read_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("geo.imagery.opened.MOST_OPEN", 2)
    images, expected = [], np.zeros((3, 512, 512), np.uint8)
    for row in range(4):
        for column in range(4):
            tile = noise(128, 128, seed=row * 4 + column)
            path = tmp_path / f"{row}{column}.tif"
            images.append(image(scene(path, tile, column * 76.8, row * 76.8)))
            expected[:, row * 128 : row * 128 + 128, column * 128 : column * 128 + 128] = tile
    got, _ = read_bytes(images)
    np.testing.assert_array_equal(got, expected)


# --- types ----------------------------------------------------------------------


def test_reals_are_bytes_over_255_and_stretched_values(tmp_path):
    bytes_, wide = noise(512, 256), noise(512, 256, dtype="uint16")
    images = [
        image(scene(tmp_path / "a.tif", bytes_)),
        image(scene(tmp_path / "b.tif", wide, 256 * PIXEL)),
    ]
    asked = []

    def stretch_of(scene_):
        asked.append(scene_.source)
        return None if scene_.dtype == "uint8" else lambda p: p.astype(np.float32) / 4000

    got, _ = read(images, choices=replace(CHOICES, stretch_of=stretch_of), height=100)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[:, :, :256], bytes_ / 255, rtol=1e-6)
    np.testing.assert_allclose(got[:, :, 256:], wide / 4000, rtol=1e-6)
    assert len(asked) == 2


def test_a_stretch_of_three_colours_serves_one_file_for_each(tmp_path):
    pixels = noise(512, 512, dtype="uint16")
    for name, band in zip("rgb", pixels, strict=True):
        scene(tmp_path / f"{name}.tif", band[None])
    sources = tuple(ColourSource(str(tmp_path / f"{name}.tif"), 1) for name in "rgb")
    one = image(tmp_path, sources=sources, footprint=CELL.footprint)

    def stretch(pixels):
        low, high = np.float32([0, 0, 0]), np.float32([4000, 4000, 4000])
        return (pixels - low[:, None, None]) / (high - low)[:, None, None]

    got, _ = read([one], choices=replace(CHOICES, stretch_of=lambda _: stretch))
    np.testing.assert_allclose(got, pixels / 4000, rtol=1e-6)


# --- what goes wrong ---------------------------------------------------------------


def test_a_window_is_of_whole_blocks():
    where = window()
    where = replace(where, rows=range(where.rows.start + 1, where.rows.stop))
    with pytest.raises(GridError, match="expected whole blocks of 256 px"):
        MosaicReader([], where, CHOICES)


def test_no_images_show_nothing():
    got, shown = read([])
    assert (shown == -1).all()
    assert not got.any()


@pytest.mark.parametrize("epsg", [ZONE, 32632])
def test_a_file_that_breaks_off_is_an_error_and_no_hole(tmp_path, epsg):
    path, _, _ = other_crs(tmp_path / "a.tif", epsg, 0.6, noise)
    one = image(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SceneError, match=r"a\.tif cannot be read as a raster"):
        read([one])


def test_rows_beyond_the_window_are_refused():
    with (
        MosaicReader([], window(), CHOICES) as reader,
        pytest.raises(GridError, match="has 512 rows"),
    ):
        reader.read(500, 13)
