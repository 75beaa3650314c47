"""A surface model less a terrain model."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine

from geo.lidar.errors import LidarError
from geo.lidar.settings import ChmSettings
from geo.lidar.surface_models import surfaces_to_chm

PLANE = (0.05, -0.02, 800.0)


def plane(grid_transform, shape):
    rows, columns = np.indices(shape) + 0.5
    x, y = grid_transform * (columns, rows)
    a, b, c = PLANE
    return c + a * (x - 5e5) + b * (y - 4e6)


def write_raster(path, values, transform, crs="EPSG:32611", unit=None, nodata=-9999.0):
    with rasterio.open(
        path, "w", driver="GTiff", width=values.shape[1], height=values.shape[0], count=1,
        dtype="float32", crs=crs, transform=transform, nodata=nodata,
    ) as file:  # fmt: skip
        file.write(values.astype(np.float32), 1)
        if unit:
            file.units = (unit,)
    return path


@pytest.fixture
def pair(tmp_path):
    """A DSM of 1 m and a coarser, shifted DTM that reaches further."""
    fine, coarse = Affine(1, 0, 5e5, 0, -1, 4e6), Affine(2.5, 0, 5e5 - 11, 0, -2.5, 4e6 + 9)
    canopy = np.zeros((60, 50))
    canopy[10:20, 5:30] = 12
    canopy[30, 30] = 500
    surface = plane(fine, canopy.shape) + canopy
    surface[40:45] -= 3
    surface[50, 2] = -9999
    dsm = write_raster(tmp_path / "dsm.tif", surface, fine)
    dtm = write_raster(tmp_path / "dtm.tif", plane(coarse, (40, 40)), coarse)
    return dsm, dtm, canopy


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1, masked=True).astype(float).filled(np.nan)


def test_the_difference_stands_on_the_pixels_of_the_surface(tmp_path, pair):
    dsm, dtm, canopy = pair
    report = surfaces_to_chm(dsm, dtm, tmp_path / "chm.tif")
    heights = read(tmp_path / "chm.tif")
    canopy[30, 30] = canopy[50, 2] = np.nan
    np.testing.assert_allclose(heights, canopy, atol=0.02)
    assert report.files.item.exists()
    assert report.heights.maximum_m == pytest.approx(12, abs=0.02)


def test_feet_of_a_band_become_metres(tmp_path, pair):
    dsm, dtm, _ = pair
    surfaces_to_chm(dsm, dtm, tmp_path / "metres.tif")
    with rasterio.open(dtm) as file:
        write_raster(tmp_path / "feet.tif", file.read(1) / 0.3048, file.transform, unit="ft")
    surfaces_to_chm(dsm, tmp_path / "feet.tif", tmp_path / "chm.tif")
    np.testing.assert_allclose(read(tmp_path / "chm.tif"), read(tmp_path / "metres.tif"), atol=0.02)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"crs": None}, "has no CRS"),
        ({"unit": "kelvin"}, "has heights in kelvin"),
        ({"transform": Affine(1, 0, 9e5, 0, -1, 4e6)}, "share no pixel"),
    ],
)
def test_rasters_that_do_not_belong_together_are_refused(tmp_path, pair, change, said):
    dsm, _, _ = pair
    choices = {"transform": Affine(1, 0, 5e5, 0, -1, 4e6)} | change
    dtm = write_raster(tmp_path / "other.tif", np.full((60, 50), 700.0), **choices)
    before = set(tmp_path.iterdir())
    with pytest.raises(LidarError, match=said):
        surfaces_to_chm(dsm, dtm, tmp_path / "chm.tif")
    assert set(tmp_path.iterdir()) == before


def sunk(tmp_path, dsm, share, depth_m):
    """The DSM, lowered in the first share of its rows."""
    with rasterio.open(dsm) as file:
        heights, transform = file.read(1), file.transform
    lowered = heights[: round(share * len(heights))]
    lowered[lowered != -9999] -= depth_m
    return write_raster(tmp_path / "sunk.tif", heights, transform)


def on_one_grid(tmp_path):
    """A DSM and a DTM of a forest that covers 60 of 100 pixels."""
    ground, transform = np.full((10, 10), 700.0), Affine(1, 0, 5e5, 0, -1, 4e6)
    surface = ground.copy()
    surface[:6] += 15
    dsm = write_raster(tmp_path / "dsm.tif", surface, transform)
    return dsm, write_raster(tmp_path / "dtm.tif", ground, transform)


def test_swapped_rasters_are_refused_and_leave_nothing(tmp_path):
    dsm, dtm = on_one_grid(tmp_path)
    with pytest.raises(
        LidarError,
        match=r"dtm\.tif lies more than 2 m below .*dsm\.tif on 60 of 100 pixels \(60 %\), .* swap",
    ) as error:
        surfaces_to_chm(dtm, dsm, tmp_path / "chm.tif")
    assert "\n" not in str(error.value)
    assert set(tmp_path.iterdir()) == {dsm, dtm}


def test_swapped_rasters_of_open_ground_are_refused(tmp_path):
    ground, transform = np.full((10, 10), 700.0), Affine(1, 0, 5e5, 0, -1, 4e6)
    surface = ground.copy()
    surface[:2, :2] += 15
    dsm = write_raster(tmp_path / "dsm.tif", surface, transform)
    dtm = write_raster(tmp_path / "dtm.tif", ground, transform)
    with pytest.raises(
        LidarError, match=r"on 4 of 100 pixels \(4 %\), nowhere more than 2 m above"
    ):
        surfaces_to_chm(dtm, dsm, tmp_path / "chm.tif")
    noisy = write_raster(tmp_path / "noisy.tif", ground + 0.2, transform)
    with pytest.raises(LidarError, match="swap --dsm and --dtm"):
        surfaces_to_chm(noisy, dsm, tmp_path / "chm.tif")
    assert not (tmp_path / "chm.tif").exists()


def test_treeless_ground_with_a_pit_is_a_model(tmp_path):
    ground, transform = np.full((20, 20), 700.0), Affine(1, 0, 5e5, 0, -1, 4e6)
    surface = ground + 0.1
    surface[3, 3] -= 5
    dsm = write_raster(tmp_path / "dsm.tif", surface, transform)
    dtm = write_raster(tmp_path / "dtm.tif", ground, transform)
    assert surfaces_to_chm(dsm, dtm, tmp_path / "chm.tif").heights.maximum_m < 0.2


@pytest.mark.parametrize("declared", [None, np.nan])
@pytest.mark.parametrize("value", [-9999.0, -32768.0, -32767.0, np.finfo(np.float32).min])
def test_undeclared_gaps_have_no_height(tmp_path, value, declared, caplog):
    fine, coarse = Affine(1, 0, 5e5, 0, -1, 4e6), Affine(2, 0, 5e5, 0, -2, 4e6)
    surface, ground = np.full((20, 20), 715.0), np.full((10, 10), 700.0)
    surface[4:6, :] = value
    ground[8, 3] = value
    dsm = write_raster(tmp_path / "dsm.tif", surface, fine, nodata=declared)
    dtm = write_raster(tmp_path / "dtm.tif", ground, coarse, nodata=declared)
    surfaces_to_chm(dsm, dtm, tmp_path / "chm.tif")
    heights = read(tmp_path / "chm.tif")
    assert np.isnan(heights[4:6]).all()
    assert np.isnan(heights[16:18, 6:8]).all()
    np.testing.assert_array_equal(heights[np.isfinite(heights)], 15)
    assert np.isfinite(heights).sum() >= 400 - 40 - 16  # a gap of the ground reaches a pixel around
    for name in ("dsm.tif", "dtm.tif"):
        assert f"{name} holds {value:g} without declaring it" in caplog.text
    assert "swapped" not in caplog.text


def test_a_second_value_of_no_data_is_refused(tmp_path, pair):
    dsm, dtm, _ = pair
    with rasterio.open(dsm, "r+") as file:
        heights = file.read(1)
        heights[0, 0] = -32768
        file.write(heights, 1)
    with pytest.raises(LidarError, match="holds -32768 like heights and declares -9999") as error:
        surfaces_to_chm(dsm, dtm, tmp_path / "chm.tif")
    assert "\n" not in str(error.value)
    assert set(tmp_path.iterdir()) == {dsm, dtm}


def test_a_surface_on_another_datum_is_refused(tmp_path, pair):
    with pytest.raises(LidarError, match="one vertical datum"):
        surfaces_to_chm(sunk(tmp_path, pair[0], 1, 30), pair[1], tmp_path / "chm.tif")
    assert not (tmp_path / "chm.tif").exists()


@pytest.mark.parametrize(("share", "warned"), [(1 / 60, True), (0.0, False), (0.45, True)])
def test_a_surface_below_ground_here_and_there_is_counted(tmp_path, pair, share, warned, caplog):
    # 5 of the 60 rows of the pair lie 3 m below the ground already.
    dsm, dtm, _ = pair
    with rasterio.open(dsm) as file:
        heights, transform = file.read(1), file.transform
    heights[40:45] += 3
    heights[55:] += 12  # below the rows that are sunk there are trees, too
    dsm = write_raster(tmp_path / "flat.tif", heights, transform)
    report = surfaces_to_chm(sunk(tmp_path, dsm, share, 30), dtm, tmp_path / "chm.tif")
    details = report.origin.method.details
    below = round(60 * share) * 50
    assert (details["pixels_with_both"], details["pixels_below_ground"]) == (2999, below)
    assert details["pixels_too_high"] == 1
    assert ("see whether --dsm and --dtm are swapped" in caplog.text) == warned


def test_what_is_about_points_is_refused(tmp_path, pair):
    dsm, dtm, _ = pair
    with pytest.raises(LidarError, match=r"--resolution, --density with --dsm"):
        surfaces_to_chm(dsm, dtm, tmp_path / "chm.tif", ChmSettings(resolution_m=2, density=True))


def test_a_file_that_is_no_raster_is_one_line(tmp_path, pair):
    (tmp_path / "x.tif").write_text("no raster")
    with pytest.raises(LidarError, match="cannot be read"):
        surfaces_to_chm(pair[0], tmp_path / "x.tif", tmp_path / "chm.tif")
