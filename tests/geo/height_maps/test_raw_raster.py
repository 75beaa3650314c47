"""Rows in a flat file are a raster to GDAL, whatever their type, place and words."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from strategies import grids

from geo.errors import MapFileError
from geo.grid import Grid
from geo.height_maps.raw_raster import BandFacts, RawRaster

GRID = Grid(
    crs=CRS.from_epsg(32633), transform=Affine(0.6, 0, 5e5 + 1 / 3, 0, -0.6, 4e6), height=5, width=7
)
FACTS = BandFacts(
    nodata=np.nan, scale=1.0, description="Canopy height", unit="m",
    tags={"SOURCE": "a & b <c> \"d\" 'e'.tif", "MODEL": "Bäume"},
)  # fmt: skip


def values(dtype, grid=GRID):
    return np.random.default_rng(0).integers(0, 200, grid.shape).astype(dtype)


def test_a_file_that_was_taken_away_is_not_made_anew_with_zeros_in_it(tmp_path):
    raster = RawRaster(tmp_path / "heights", GRID, "float32")
    raster.write(0, values("float32")[:2])
    raster.data.unlink()
    with pytest.raises(MapFileError, match="was taken away"):
        raster.write(2, values("float32")[2:])
    assert not raster.data.exists()


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint8"])
def test_gdal_reads_the_rows_that_were_written(tmp_path, dtype):
    raster = RawRaster(tmp_path / "heights", GRID, dtype)
    expected = values(dtype)
    raster.write(0, expected[:2])
    raster.write(2, expected[2:])
    np.testing.assert_array_equal(raster.read(0, 5), expected)
    np.testing.assert_array_equal(raster.read(1, 3), expected[1:4])
    with rasterio.open(raster.describe(FACTS)) as dataset:
        np.testing.assert_array_equal(dataset.read(1), expected)
        assert dataset.dtypes == (dtype,)


def test_what_is_said_of_the_band_arrives(tmp_path):
    raster = RawRaster(tmp_path / "heights", GRID, "int16")
    raster.write(0, values("int16"))
    facts = BandFacts(nodata=-32768, scale=0.01, description="a < b", unit="m", tags=FACTS.tags)
    with rasterio.open(raster.describe(facts)) as dataset:
        assert dataset.nodata == -32768
        assert dataset.scales == (0.01,)
        assert dataset.offsets == (0.0,)
        assert dataset.descriptions == ("a < b",)
        assert dataset.units == ("m",)
        assert FACTS.tags.items() <= dataset.tags().items()


@given(grids())
def test_georeference_arrives_exactly(tmp_path_factory, grid):
    raster = RawRaster(tmp_path_factory.mktemp("raw") / "heights", grid, "uint8")
    raster.write(0, values("uint8", grid))
    with rasterio.open(raster.describe(FACTS)) as dataset:
        assert dataset.transform == grid.transform
        assert dataset.crs == grid.crs
        assert dataset.shape == grid.shape


def test_a_plane_without_a_crs_has_none(tmp_path):
    grid = Grid(crs=None, transform=Affine(0.1, 0, 0, 0, -0.1, 0), height=5, width=7)
    raster = RawRaster(tmp_path / "heights", grid, "uint8")
    raster.write(0, values("uint8"))
    with rasterio.open(raster.describe(FACTS)) as dataset:
        assert dataset.crs is None
        assert dataset.transform == grid.transform


@given(st.lists(st.integers(1, 3), min_size=1, max_size=5))
def test_rows_written_again_replace_the_old_ones(tmp_path_factory, parts):
    grid = Grid(crs=None, transform=GRID.transform, height=sum(parts), width=7)
    raster = RawRaster(tmp_path_factory.mktemp("raw") / "heights", grid, "float32")
    expected = values("float32", grid)
    for _ in range(2):
        row = 0
        for height in parts:
            raster.write(row, expected[row : row + height])
            row += height
    np.testing.assert_array_equal(raster.read(0, grid.height), expected)
    assert raster.data.stat().st_size == expected.nbytes
