"""Shadows fall where and as far as geometry says."""

from __future__ import annotations

import numpy as np
import pytest
from small_worlds import one_tree, sun_at, window_of

from geo.simulation.crowns import cover_with_crowns
from geo.simulation.light import depth_in_shadow, facing, sky_view, sunlight

PITCH = 0.2


def shadow_of(surface, azimuth, elevation):
    """Distances east and north [m] of shaded ground from the middle."""
    depth = depth_in_shadow(surface, PITCH, azimuth, elevation)
    rows, columns = np.nonzero((depth > 1e-4) & (surface == 0))
    middle = surface.shape[0] // 2
    return (columns - middle) * PITCH, (middle - rows) * PITCH


@pytest.mark.parametrize("elevation", [25.0, 45.0, 63.0])
@pytest.mark.parametrize("azimuth", [0.0, 37.0, 90.0, 141.0, 180.0, 225.0, 290.0, 355.0])
def test_the_shadow_of_a_pole_is_h_over_tan_long_and_points_from_the_sun(azimuth, elevation):
    surface = np.zeros((301, 301), np.float32)
    surface[150, 150] = 10.0
    east, north = shadow_of(surface, azimuth, elevation)
    length = np.hypot(east, north)
    assert length.max() == pytest.approx(10 / np.tan(np.radians(elevation)), abs=1.5 * PITCH)
    away = np.radians(azimuth + 180)
    aside = east * np.cos(away) - north * np.sin(away)
    assert np.abs(aside).max() <= PITCH
    assert (east * np.sin(away) + north * np.cos(away)).min() > 0


def test_the_shadow_of_a_tree_ends_where_its_top_casts_it():
    tree = one_tree(species="fir", place=(30.0, 40.0), height=20, radius=2.5, ground=0.0)
    window = window_of(60)
    top = cover_with_crowns(tree, window).top
    surface = np.where(np.isfinite(top), top, 0).astype(np.float32)
    depth = depth_in_shadow(surface, PITCH, 0.0, 50.0)
    shaded = (depth > 1e-3) & (surface == 0)
    rows, columns = np.nonzero(shaded)
    tip = window.y[rows.max(), 0]
    assert 40 - tip == pytest.approx(20 / np.tan(np.radians(50)), abs=0.5)
    assert abs(window.x[0, columns].mean() - 30) < 0.5


def test_depth_in_shadow_is_the_height_missing_to_the_light():
    surface = np.zeros((5, 60), np.float32)
    surface[:, 50] = 6.0
    depth = depth_in_shadow(surface, 0.5, 90.0, 45.0)
    np.testing.assert_allclose(depth[2, 40:50], 6.0 - 0.5 * np.arange(10, 0, -1), atol=1e-5)
    np.testing.assert_array_equal(depth[:, 51:], 0)


@pytest.mark.parametrize("azimuth", [20.0, 160.0, 250.0])
def test_nothing_shades_a_plain_or_a_slope_gentler_than_the_light(azimuth):
    rows, columns = np.mgrid[:80, :90] * PITCH
    surface = (0.2 * rows - 0.1 * columns).astype(np.float32)
    np.testing.assert_allclose(depth_in_shadow(surface, PITCH, azimuth, 40.0), 0, atol=1e-4)
    np.testing.assert_allclose(sunlight(surface, PITCH, sun_at(azimuth, 40.0)), 1, atol=1e-3)
    assert sky_view(np.zeros((41, 30), np.float32), PITCH) == pytest.approx(1)


def test_a_slope_faces_the_sun_by_the_cosine_of_its_angle():
    columns = (np.arange(40) * PITCH)[None]
    surface = np.tile(-np.tan(np.radians(30)) * columns, (40, 1)).astype(np.float32)  # falls east
    level = np.sin(np.radians(50))
    towards = facing(surface, PITCH, sun_at(90, 50))[20, 20]
    assert towards == pytest.approx(np.cos(np.radians(90 - 50 - 30)) / level, abs=1e-3)
    away = facing(surface, PITCH, sun_at(270, 50))[20, 20]
    assert away == pytest.approx(np.cos(np.radians(90 - 50 + 30)) / level, abs=1e-3)


def test_a_courtyard_sees_less_of_the_sky():
    surface = np.full((100, 100), 10, np.float32)
    surface[40:60, 40:60] = 0
    view = sky_view(surface, PITCH)
    assert view[50, 50] < 0.3
    assert view[10, 10] > 0.9
