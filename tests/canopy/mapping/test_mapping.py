"""A map is what its model says of the scene: seamless, whole, in its place, and a valid COG."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate
from scipy.ndimage import uniform_filter
from small_models import TOP_M, Constant, FirstBand, LocalMean, model_of, tiny_model
from small_scenes import UPRIGHT, metric, noise, write_scene

from canopy.version import __version__

ROUNDING_M = 0.01


def local_mean(pixels, radius):
    """Brightness of a neighbourhood as height [m], of the whole image at once."""
    grey = pixels.astype(np.float64).mean(0) / 255
    return TOP_M * uniform_filter(grey, 2 * radius + 1, mode="nearest")


# --- seamless -----------------------------------------------------------------


@pytest.mark.parametrize("radius", [0, 1, 3])
@pytest.mark.parametrize("shape", [(130, 170), (64, 64), (65, 200), (40, 300), (33, 31), (3, 250)])
def test_a_map_of_a_local_model_is_the_model_of_the_whole_scene(tmp_path, map_of, radius, shape):
    """Receptive fields below half the overlap (16 px): tiles must leave no trace at all."""
    pixels = noise(*shape)
    path = write_scene(tmp_path / "scene.tif", pixels)
    found = map_of(path, model=model_of(LocalMean(radius))).heights
    expected = local_mean(pixels, radius)
    if min(shape) < 64:  # what lies beyond the lower and right borders is the model's guess
        found, expected = (
            heights[: -radius or None, : -radius or None] for heights in (found, expected)
        )
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING_M)


@pytest.mark.parametrize("overlap", [0, 5, 32])
def test_a_model_without_neighbours_needs_no_overlap(tmp_path, map_of, overlap):
    pixels = noise(150, 140)
    path = write_scene(tmp_path / "scene.tif", pixels)
    found = map_of(path, model=model_of(LocalMean(0)), overlap_px=overlap)
    np.testing.assert_allclose(found.heights, local_mean(pixels, 0), rtol=0, atol=ROUNDING_M)


def test_a_map_does_not_depend_on_the_batch(tmp_path, map_of):
    path = UPRIGHT.write(tmp_path / "scene.tif", noise(130, 170))
    maps = [map_of(path, model=tiny_model(), batch=batch).heights for batch in (1, 3, 64)]
    for other in maps[1:]:
        # One rounding step, where a sum in another order crosses it.
        np.testing.assert_allclose(other, maps[0], rtol=0, atol=1 / 64 + 1e-6)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 300), (300, 1), (2, 65), (64, 64), (65, 65), (100, 300), (129, 63)]
)
@pytest.mark.parametrize("grid", ["model", "scene"])
def test_a_constant_model_gives_a_constant_map_to_the_last_pixel(tmp_path, map_of, shape, grid):
    path = write_scene(tmp_path / "scene.tif", noise(*shape))
    found = map_of(path, model=model_of(Constant(5)), grid=grid)
    assert found.heights.shape == shape
    np.testing.assert_array_equal(found.heights, 5.0)


@pytest.mark.parametrize("pixel", [0.1, 0.25, 0.59, 0.65, 1.0, 1.7])
@pytest.mark.parametrize("choices", [{}, {"grid": "scene"}, {"resolution_m": 1.0}], ids=str)
def test_a_resampled_map_is_constant_to_the_last_pixel_too(tmp_path, map_of, pixel, choices):
    path = write_scene(tmp_path / "scene.tif", noise(77, 101), pixel=pixel)
    found = map_of(path, model=model_of(Constant(5)), **choices)
    np.testing.assert_array_equal(found.heights, 5.0)
    assert found.heights.size


@pytest.mark.parametrize("resolution", [0.3, 0.53, 0.9, 2.5, 10.0])
def test_a_map_has_the_resolution_that_was_asked_for(tmp_path, map_of, resolution):
    path = UPRIGHT.write(tmp_path / "scene.tif")
    found = map_of(path, model=model_of(Constant(5)), resolution_m=resolution)
    assert found.grid.pixel_size == pytest.approx((resolution, resolution))
    west, _, _, north = found.grid.bounds
    assert (west, north) == (UPRIGHT.transform.c, UPRIGHT.transform.f)
    assert found.grid.height == int(np.ceil(round(130 * 0.6 / resolution, 6)))
    np.testing.assert_array_equal(found.heights, 5.0)


def test_a_coarser_map_is_the_mean_of_the_fine_one(tmp_path, map_of):
    path = UPRIGHT.write(tmp_path / "scene.tif", noise(130, 170))
    fine = map_of(path).heights[:128, :168]
    coarse = map_of(path, resolution_m=2.4).heights
    np.testing.assert_allclose(
        coarse[:32, :42], fine.reshape(32, 4, 42, 4).mean((1, 3)), rtol=0, atol=0.02
    )


# --- the file -----------------------------------------------------------------


@pytest.fixture
def large(tmp_path):
    """A scene whose map needs overviews, with a hole and with black ground."""
    pixels = noise(560, 600)
    pixels[:, 100:160, :70] = 0
    pixels[:, 300:400] = 255
    return write_scene(tmp_path / "scene.tif", pixels, nodata=255)


STORED = {
    "float32": ("float32", np.nan, 1.0, 0.01),
    "int16-cm": ("int16", -32768, 0.01, 0.005),
    "uint8-m": ("uint8", 255, 1.0, 0.5),
}
"""Type, nodata value, scale and rounding error [m] of each encoding."""


@pytest.mark.parametrize("encoding", STORED)
def test_the_file_is_a_cog_that_says_what_it_is(large, map_of, encoding):
    dtype, nodata, scale, error = STORED[encoding]
    found = map_of(large, model=model_of(LocalMean(0), tile_px=256), encoding=encoding)
    valid, errors, warnings = cog_validate(found.path, strict=True, quiet=True)
    assert valid, errors + warnings
    with rasterio.open(large) as scene, rasterio.open(found.path) as dataset:
        pixels, mask = scene.read(), scene.dataset_mask() > 0
        assert dataset.dtypes == (dtype,)
        assert dataset.nodata == pytest.approx(nodata, nan_ok=True)
        assert dataset.scales == (scale,)
        assert dataset.units == ("m",)
        assert dataset.descriptions == ("Canopy height",)
        assert dataset.block_shapes == [(512, 512)]
        assert dataset.overviews(1) == [2]
        assert dataset.tags(1).get("STATISTICS_MEAN") is None
        tags = dataset.tags()
    assert tags["MODEL"] == "small"
    assert tags["MODEL_VERSION"] == "1"
    assert tags["SOURCE"].endswith("scene.tif")
    assert __version__ in tags["TIFFTAG_SOFTWARE"]
    np.testing.assert_array_equal(np.isfinite(found.heights), mask)
    expected = local_mean(pixels, 0)
    np.testing.assert_allclose(found.heights[mask], expected[mask], rtol=0, atol=error + 1e-5)
    assert (found.heights[100:160, :70] == 0).all()


@pytest.mark.parametrize("encoding", ["float32", "int16-cm", "uint8-m"])
def test_the_reported_statistics_are_those_of_the_file(large, map_of, encoding):
    found = map_of(large, model=model_of(LocalMean(2), tile_px=256), encoding=encoding)
    valid = found.heights[np.isfinite(found.heights)]
    told = found.report.heights
    assert told.mean_m == pytest.approx(valid.mean(), abs=1e-3)
    assert told.maximum_m == pytest.approx(valid.max(), abs=1e-4)
    assert told.minimum_m == pytest.approx(valid.min(), abs=1e-4)
    assert told.valid_percent == pytest.approx(100 * len(valid) / found.heights.size)
    for share in (5, 50, 95):
        expected = np.percentile(valid, share, method="lower")
        assert told.percentiles_m[share] == pytest.approx(expected, abs=1e-4)


def test_the_map_lies_on_the_scenes_own_pixels_where_they_are_the_models(tmp_path, map_of):
    path = UPRIGHT.write(tmp_path / "scene.tif")
    with rasterio.open(path) as scene, rasterio.open(map_of(path).path) as dataset:
        assert dataset.transform == scene.transform
        assert dataset.crs == scene.crs
        assert dataset.shape == scene.shape


def test_the_report_counts_tiles_and_is_valid_json(tmp_path, map_of):
    path = UPRIGHT.write(tmp_path / "scene.tif")
    calls = []
    found = map_of(path, progress=lambda done, total: calls.append((done, total)))
    told = json.loads(json.dumps(found.report.as_json(), allow_nan=False))
    total = found.report.tiles_run
    assert told["tiles"] == {"run": total, "skipped": 0, "resumed": 0}
    assert total == 12
    assert calls[-1] == (total, total)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert told["paths"]["map"] == str(found.path)
    assert told["height"].keys() >= {"mean", "p5", "p50", "p95", "max"}
    assert told["model"]["name"] == "small"
    assert told["peak_memory_mib"] > 10


def test_the_same_run_gives_the_same_bytes(tmp_path, map_of):
    path = UPRIGHT.write(tmp_path / "scene.tif", noise(130, 170))
    first = map_of(path, output=tmp_path / "first.tif", model=tiny_model())
    second = map_of(path, output=tmp_path / "second.tif", model=tiny_model())
    assert first.path.read_bytes() == second.path.read_bytes()


def test_nothing_but_the_products_is_left_in_the_folder(tmp_path, map_of):
    folder = tmp_path / "out"
    folder.mkdir()
    path = UPRIGHT.write(tmp_path / "scene.tif")
    map_of(path, output=folder / "map.tif", preview=True, stac=True)
    assert {file.name for file in folder.iterdir()} == {
        "map.tif", "map.qml", "map.json", "map.preview.png",
    }  # fmt: skip


@pytest.mark.parametrize("pixel", [0.3, 0.6])
def test_red_is_red(tmp_path, map_of, pixel):
    pixels = noise(70, 70)
    pixels[0] = 102
    place = metric("", pixel, 70, 70)
    found = map_of(place.write(tmp_path / "scene.tif", pixels), model=model_of(FirstBand()))
    np.testing.assert_allclose(found.heights, 20, atol=ROUNDING_M)
