"""A written map is a valid COG with everything that was said of it."""

from __future__ import annotations

import shutil
from collections import namedtuple

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rio_cogeo.cogeo import cog_validate

from geo.errors import MapFileError
from geo.grid import Grid
from geo.height_maps.cog import check_cog, refuse_without_room, room_needed, write_cog
from geo.height_maps.encoding import ENCODINGS, find_encoding
from geo.height_maps.raw_raster import BandFacts, RawRaster


def written(folder, height, width, name="float32", transform=None):
    """A COG of random heights with a hole, and the heights [m]."""
    encoding = find_encoding(name)
    transform = transform or Affine(0.6, 0, 5e5, 0, -0.6, 4e6)
    grid = Grid(crs=CRS.from_epsg(32633), transform=transform, height=height, width=width)
    heights = np.random.default_rng(0).uniform(0, 60, grid.shape).astype(np.float32)
    heights[: height // 3, : width // 4] = np.nan
    heights[-1] = 0
    raster = RawRaster(folder / "heights", grid, encoding.dtype)
    raster.write(0, encoding.encode(heights))
    facts = BandFacts(
        nodata=encoding.nodata, scale=encoding.scale, description="Canopy height", unit="m",
        tags={"MODEL": "small"},
    )  # fmt: skip
    path = folder / "map.tif"
    write_cog(raster.describe(facts), path)
    return path, heights


@pytest.mark.parametrize("shape", [(1100, 700), (512, 512), (513, 20), (1, 1), (1, 1300), (900, 2)])
def test_a_map_of_any_shape_passes_the_strict_check(tmp_path, shape):
    path, _ = written(tmp_path, *shape)
    valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
    assert valid, errors + warnings
    check_cog(path)
    with rasterio.open(path) as dataset:
        assert dataset.profile["blockxsize"] == dataset.profile["blockysize"] == 512
        assert dataset.profile["compress"] == "deflate"
        assert bool(dataset.overviews(1)) == (max(shape) > 512)


@pytest.mark.parametrize("name", ENCODINGS)
def test_heights_and_holes_come_back(tmp_path, name):
    path, heights = written(tmp_path, 600, 530, name)
    encoding = find_encoding(name)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), encoding.encode(heights))
        np.testing.assert_array_equal(dataset.dataset_mask() > 0, np.isfinite(heights))
        assert dataset.nodata == pytest.approx(encoding.nodata, nan_ok=True)
        assert (dataset.scales, dataset.units) == ((encoding.scale,), ("m",))
        assert dataset.descriptions == ("Canopy height",)
        assert dataset.tags()["MODEL"] == "small"
        assert dataset.read(1)[-1].max() == 0


def test_overviews_are_means_of_the_valid_pixels(tmp_path):
    path, heights = written(tmp_path, 600, 600)
    with rasterio.open(path, overview_level=0) as overview:
        found = overview.read(1)
    stored = find_encoding("float32").encode(heights).reshape(300, 2, 300, 2)
    known = np.isfinite(stored).all((1, 3))
    np.testing.assert_allclose(found[known], stored.mean((1, 3))[known], atol=1e-3)
    assert np.isnan(found[:100, :75]).all()


def test_a_map_one_pixel_wide_passes_our_check(tmp_path):
    """It has overviews, but none can be half as wide, which rio-cogeo takes for a fault."""
    path, heights = written(tmp_path, 700, 1)
    check_cog(path)
    with rasterio.open(path) as dataset:
        np.testing.assert_allclose(dataset.read(1), heights, atol=0.01)


def test_a_turned_map_stays_turned(tmp_path):
    transform = Affine.translation(5e5, 4e6) * Affine.rotation(30) * Affine.scale(0.6, 0.6)
    path, _ = written(tmp_path, 30, 40, transform=transform)
    check_cog(path)
    with rasterio.open(path) as dataset:
        assert dataset.transform.almost_equals(transform, 1e-9)


def test_a_plain_tiff_fails_the_check(tmp_path):
    path = tmp_path / "plain.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=600, height=600, count=1, dtype="uint8",
        crs="EPSG:32633", transform=Affine(0.6, 0, 5e5, 0, -0.6, 4e6),
    ) as target:  # fmt: skip
        target.write(np.zeros((1, 600, 600), np.uint8))
    with pytest.raises(MapFileError, match="is no valid cloud-optimized GeoTIFF"):
        check_cog(path)


def test_a_map_that_cannot_be_written_says_so_in_one_line(tmp_path):
    path, _ = written(tmp_path, 10, 10)
    with pytest.raises(MapFileError, match=r"missing/map\.tif cannot be written") as error:
        write_cog(path, tmp_path / "missing" / "map.tif")
    assert "\n" not in str(error.value)


def test_a_full_disk_is_refused_before_the_work(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as shutil gives it
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**10, 10**10 - 1000, 1000))
    refuse_without_room(tmp_path, 1000)
    with pytest.raises(MapFileError, match=r"0\.0 GB free, .*make room"):
        refuse_without_room(tmp_path, 1001)


def test_room_is_reckoned_above_what_a_map_takes(tmp_path):
    path, _ = written(tmp_path, 900, 900)
    with rasterio.open(path) as dataset:
        grid = Grid(crs=dataset.crs, transform=dataset.transform, height=900, width=900)
    used = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert used <= room_needed(grid, 4)
