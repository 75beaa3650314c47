"""A factor field over a map: heights change as stated, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window
from small_forest import write_map

from canopy.correction.applying import (
    FactorField,
    apply_factor_field,
    coarse_grid,
    corrected,
    factors_of,
)
from canopy.errors import SettingsError
from canopy.evaluation.height_source import open_heights

LOW = st.floats(0, 40)
FACTOR = st.floats(0.34, 10)


def field_over(path, factors, cell_m=10.0):
    grid = coarse_grid(open_heights(path).grid, cell_m)
    return FactorField(grid=grid, factors=np.broadcast_to(np.float32(factors), grid.shape))


def applied(path, field, **options):
    target = path.with_name("out.tif")
    changed = apply_factor_field(path, field, target, **{"keep_below_m": 1.0, "tags": {}} | options)
    with rasterio.open(target) as dataset:
        return dataset.read(), changed


def test_low_heights_stay_and_tall_ones_take_the_whole_factor():
    heights = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 20.0])
    found = corrected(heights, np.float64(1.5), 1.0)
    assert found.tolist() == [0.0, 0.5, 1.0, 2.75, 4.5, 30.0]


@given(LOW, LOW, FACTOR, st.floats(0, 5))
def test_what_was_taller_stays_taller(one, other, factor, kept):
    low, high = sorted((one, other))
    low, high = corrected(np.array([low, high]), factor, kept)
    assert high >= low - 1e-9


def test_factors_are_interpolated_between_the_middles_of_cells(tmp_path):
    path = write_map(tmp_path / "m.tif", np.full((20, 40), 10.0, np.float32))
    field = field_over(path, 1.0)
    factors = np.tile(np.array([1.0, 1.2, 1.4, 1.0], np.float32), (2, 1))
    field = FactorField(grid=field.grid, factors=factors)
    row = factors_of(field, open_heights(path).grid, Window(0, 0, 40, 20))[7]
    middles = np.array([5, 15, 25, 35]) - 0.5
    assert row == pytest.approx(np.interp(np.arange(40), middles, factors[0]), abs=2e-3)


@pytest.mark.parametrize("window", [Window(0, 0, 40, 20), Window(11, 3, 17, 9)])
def test_a_part_of_a_map_gets_the_factors_of_the_whole(tmp_path, window):
    path = write_map(tmp_path / "m.tif", np.zeros((20, 40), np.float32))
    grid = coarse_grid(open_heights(path).grid, 7.0)
    factors = np.random.default_rng(0).uniform(0.5, 2, grid.shape).astype(np.float32)
    field, of = FactorField(grid=grid, factors=factors), open_heights(path).grid
    whole = factors_of(field, of, Window(0, 0, 40, 20))
    part = factors_of(field, of, window)
    assert (part == whole[window.toslices()]).all()


@pytest.mark.parametrize(
    ("profile", "scale"),
    [
        ({}, 1.0),
        ({"dtype": "int16", "nodata": -32768}, 0.01),
        ({"dtype": "uint8", "nodata": 255}, 1),
    ],
)
def test_every_encoding_keeps_type_nodata_and_step(tmp_path, profile, scale):
    stored = np.array([[0, 5, 10, 20, 0]], np.float32) / scale
    stored[0, 4] = profile.get("nodata", np.nan)
    path = write_map(tmp_path / "m.tif", stored, **profile)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.units = (scale,), ("m",)
    pixels, changed = applied(path, field_over(path, 1.3))
    with rasterio.open(path.with_name("out.tif")) as after, rasterio.open(path) as before:
        for name in ("dtypes", "nodata", "scales", "units", "transform", "crs"):
            assert str(getattr(after, name)) == str(getattr(before, name))
        assert after.read_masks(1).tolist() == before.read_masks(1).tolist()
    assert changed == 3
    wanted = np.array([0, 6.5, 13, 26])
    assert pixels[0, 0, :4] * scale == pytest.approx(wanted, abs=max(scale / 2, 1 / 128) + 1e-6)


def test_a_tall_height_never_becomes_nodata(tmp_path):
    path = write_map(tmp_path / "m.tif", np.full((4, 4), 140, np.uint8), dtype="uint8", nodata=255)
    pixels, _ = applied(path, field_over(path, 2.0))
    assert (pixels == 254).all()


def test_intervals_keep_their_height_inside(tmp_path):
    rng = np.random.default_rng(1)
    middle = rng.uniform(0, 30, (40, 40))
    bands = np.stack([middle, middle - rng.uniform(0, 4, middle.shape), middle + 3]).clip(0)
    path = write_map(tmp_path / "m.tif", np.zeros((40, 40), np.float32), count=3)
    with rasterio.open(path, "r+") as dataset:
        dataset.write(bands.astype(np.float32))
        dataset.descriptions = ("Canopy height", "lower 90 %", "upper 90 %")
    for factor in (0.6, 1.7):
        height, lower, upper = applied(path, field_over(path, factor))[0]
        assert (lower <= height).all()
        assert (height <= upper).all()
        assert upper.max() == pytest.approx(bands[2].max() * factor, abs=0.05)


def test_factors_of_one_change_no_bit(tmp_path):
    odd = np.random.default_rng(2).uniform(0, 40, (30, 30)).astype(np.float32)
    path = write_map(tmp_path / "m.tif", odd)
    pixels, changed = applied(path, field_over(path, 1.0))
    assert changed == 0
    assert pixels[0].tobytes() == odd.tobytes()


def test_a_field_on_other_axes_is_refused(tmp_path):
    path = write_map(tmp_path / "m.tif", np.zeros((20, 20), np.float32))
    grid = open_heights(path).grid
    turned = FactorField(
        grid=coarse_grid(grid, 10.0).__class__(
            crs=grid.crs, transform=grid.transform.rotation(30) * grid.transform, height=2, width=2
        ),
        factors=np.ones((2, 2), np.float32),
    )
    with pytest.raises(SettingsError, match="other axes"):
        applied(path, turned)
