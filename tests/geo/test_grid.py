"""A grid knows where its pixels lie; rasterio and affine are the oracles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import array_bounds
from rasterio.windows import Window
from rasterio.windows import transform as window_transform
from strategies import grids

from geo.grid import Grid

UPRIGHT = Grid(
    crs=CRS.from_epsg(32633), transform=Affine(0.6, 0, 5e5, 0, -0.6, 4e6), height=7, width=9
)


@given(grids())
def test_bounds_are_those_of_the_four_corners(grid):
    corners = np.array([
        grid.transform * corner
        for corner in ((0, 0), (grid.width, 0), (0, grid.height), (grid.width, grid.height))
    ])  # fmt: skip
    np.testing.assert_allclose(grid.bounds, [*corners.min(0), *corners.max(0)], rtol=1e-12)


def test_bounds_of_an_upright_grid_are_rasterios():
    assert UPRIGHT.bounds == pytest.approx(array_bounds(7, 9, UPRIGHT.transform), rel=1e-15)


@given(grids(), st.integers(0, 20), st.integers(0, 20))
def test_a_part_is_the_window_of_rasterio(grid, row, column):
    part = grid.part(row, column, 3, 4)
    expected = window_transform(Window(column, row, 4, 3), grid.transform)
    assert part.transform.almost_equals(expected, precision=1e-6)
    assert part.shape == (3, 4)
    assert part.crs == grid.crs


@given(grids(), st.integers(1, 50), st.integers(1, 50))
def test_a_scaled_grid_covers_the_same_ground(grid, height, width):
    scaled = grid.scaled_to(height, width)
    assert scaled.shape == (height, width)
    np.testing.assert_allclose(scaled.bounds, grid.bounds, rtol=1e-12)


@given(grids())
def test_pixel_sides_do_not_depend_on_rotation_or_flips(grid):
    turned = replace(grid, transform=grid.transform * Affine.rotation(90))
    area = abs(grid.transform.determinant)
    assert grid.pixel_size[0] * grid.pixel_size[1] == pytest.approx(area, rel=1e-9)
    assert turned.pixel_size == pytest.approx(grid.pixel_size[::-1], rel=1e-9)


@pytest.mark.parametrize(
    ("transform", "upright"),
    [
        (Affine(0.6, 0, 0, 0, -0.6, 0), True),
        (Affine(0.6, 1e-12, 0, 0, -0.6, 0), True),
        (Affine(0.6, 0.01, 0, 0, -0.6, 0), False),
        (Affine(0.6, 0, 0, 0.01, -0.6, 0), False),
        (Affine(0.6, 0, 0, 0, 0.6, 0), False),
        (Affine(-0.6, 0, 0, 0, -0.6, 0), False),
        (Affine(0, 0.6, 0, 0.6, 0, 0), False),
    ],
)
def test_north_up_means_neither_rotated_nor_flipped(transform, upright):
    assert replace(UPRIGHT, transform=transform).is_north_up is upright


@given(grids())
def test_a_grid_matches_itself_but_not_one_that_is_moved_resized_or_elsewhere(grid):
    shift = Affine.translation(0.01, 0)
    assert grid.matches(replace(grid))
    assert not grid.matches(replace(grid, transform=grid.transform * shift))
    assert not grid.matches(replace(grid, height=grid.height + 1))
    assert not grid.matches(replace(grid, crs=CRS.from_epsg(32634)))


def test_a_difference_far_below_a_pixel_is_none():
    tiny = Affine.translation(1e-7, -1e-7)
    assert UPRIGHT.matches(replace(UPRIGHT, transform=tiny * UPRIGHT.transform))


def test_axes_are_shared_by_upright_grids_with_one_corner():
    finer = replace(UPRIGHT, transform=UPRIGHT.transform * Affine.scale(0.3), height=23)
    assert UPRIGHT.shares_axes_with(finer)
    assert not UPRIGHT.shares_axes_with(finer.part(1, 0, 5, 5))
    assert not UPRIGHT.shares_axes_with(replace(finer, crs=None))
    assert not UPRIGHT.shares_axes_with(
        replace(finer, transform=finer.transform * Affine.rotation(1))
    )
