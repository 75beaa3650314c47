"""Pixel values mean the same over a whole scene; numpy is the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from canopy.radiometry import Stretch, choose_stretch, normalise, percentile_stretch
from geo.grid import Grid
from geo.raster import Raster


def raster(pixels, valid=None):
    valid = np.ones(pixels.shape[1:], bool) if valid is None else valid
    grid = Grid(crs=None, transform=Affine.identity(), height=valid.shape[0], width=valid.shape[1])
    return Raster(pixels=pixels, valid=valid, grid=grid)


def never():
    pytest.fail("no sample is needed")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalising_follows_the_formula_and_leaves_pixels_alone(dtype):
    pixels = (torch.rand(2, 3, 5, 7) * (255 if dtype == torch.uint8 else 1)).to(dtype)
    before = pixels.clone()
    mean, std = (0.42, 0.411, 0.296), (0.213, 0.156, 0.143)
    share = pixels.double() / (255 if dtype == torch.uint8 else 1)
    expected = (share - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    found = normalise(pixels, mean, std)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(pixels, before, rtol=0, atol=0)


@given(st.integers(0, 10_000))
def test_the_stretch_is_numpys_percentiles_of_each_bands_valid_pixels(seed):
    rng = np.random.default_rng(seed)
    pixels = rng.normal([[[300]], [[500]], [[90]]], 60, (3, 20, 30)).astype(np.float32)
    valid = rng.random((20, 30)) > 0.3
    pixels[:, ~valid] = -9999
    found = percentile_stretch(raster(pixels, valid))
    for band in range(3):
        low, high = np.percentile(pixels[band][valid], [2, 98])
        assert found.low[band] == pytest.approx(low, rel=1e-5)
        assert found.high[band] == pytest.approx(high, rel=1e-5)


def test_a_stretch_maps_its_ends_to_black_and_white_and_clips():
    stretch = Stretch(low=(0, 100, -50), high=(10, 300, 50))
    pixels = np.array([[-5, 0, 5, 10, 99], [0, 100, 200, 300, 999], [-99, -50, 0, 50, 99]])
    found = stretch.apply(pixels.reshape(3, 1, 5).astype(np.int16))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, 0], np.tile([0, 0, 0.5, 1, 1], (3, 1)))


def test_a_flat_or_empty_scene_divides_by_no_zero():
    flat = percentile_stretch(raster(np.full((3, 4, 4), 7, np.uint16)))
    assert np.isfinite(flat.apply(np.full((3, 4, 4), 7, np.uint16))).all()
    empty = percentile_stretch(raster(np.zeros((3, 4, 4)), np.zeros((4, 4), bool)))
    assert np.isfinite(empty.apply(np.zeros((3, 4, 4)))).all()


def test_bytes_are_taken_as_they_are():
    assert choose_stretch("auto", "uint8", never) is None
    assert choose_stretch("none", "uint8", never) is None


@pytest.mark.parametrize(
    ("dtype", "white"), [("uint16", 65535), ("int16", 32767), ("float32", 1), ("float64", 1)]
)
def test_no_stretch_takes_the_range_of_the_type(dtype, white):
    assert choose_stretch("none", dtype, never) == Stretch(low=(0.0,) * 3, high=(white,) * 3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_users_values_win(dtype):
    expected = Stretch(low=(5.0,) * 3, high=(3000.0,) * 3)
    assert choose_stretch((5.0, 3000.0), dtype, never) == expected


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_other_types_are_stretched_by_a_sample(dtype):
    sample = raster(np.random.default_rng(0).integers(0, 4000, (3, 30, 30)).astype(dtype))
    assert choose_stretch("auto", dtype, lambda: sample) == percentile_stretch(sample)
