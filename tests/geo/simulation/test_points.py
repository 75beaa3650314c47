"""Laser points agree with the world that they were measured in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_worlds import pixels_of, settings_of, window_of, world_of

from geo.simulation.instruments import LidarSettings
from geo.simulation.place import Points
from geo.simulation.points import BUILDING, GROUND, NOISE, WATER
from geo.simulation.scenery import make_site, relief_of
from geo.simulation.world import simulate


@pytest.fixture(scope="module")
def forest():
    return world_of("mixed")


def test_ground_points_lie_on_the_ground(forest):
    points, terrain = forest.points, make_site(forest.settings, forest.seed).terrain
    ground = points.kind == GROUND
    exact = terrain.elevation(Points(x=points.x[ground], y=points.y[ground]))
    assert ground.sum() > 2000
    np.testing.assert_allclose(points.z[ground], exact, rtol=0, atol=0.01)


def test_no_return_is_above_the_surface_or_below_the_ground(forest):
    points, pitch = forest.points, forest.settings.pitch_m
    site = make_site(forest.settings, forest.seed)
    side = forest.settings.pixels * forest.settings.fine_per_pixel
    window = window_of(side * pitch, pitch)
    relief = relief_of(site, window)
    rows = np.clip(side - 1 - np.floor(points.y / pitch).astype(int), 0, side - 1)
    columns = np.floor(points.x / pitch).astype(int)
    surface = relief.surface[rows, columns]
    leaves = np.isin(points.kind, (3, 4, 5))
    assert (points.z[leaves] <= surface[leaves] + 1e-4).all()
    assert (points.z[leaves] > relief.ground[rows, columns][leaves] - 0.2).all()
    assert leaves.mean() > 0.3


def test_returns_of_a_pulse_are_numbered_from_the_top(forest):
    points = forest.points
    first = np.flatnonzero(points.number == 1)
    assert (points.of[first] >= 1).all()
    for start in first[:3000]:
        pulse = slice(start, start + points.of[start])
        np.testing.assert_array_equal(points.number[pulse], np.arange(points.of[start]) + 1)
        assert (np.diff(points.z[pulse]) < 0).all()
        assert np.ptp(points.x[pulse]) == 0
    assert points.of.max() >= 3


def test_pulses_are_as_dense_as_asked_for_and_even(forest):
    first = forest.points.number == 1
    density = first.sum() / forest.settings.side_m**2
    assert density == pytest.approx(forest.settings.lidar.per_m2, rel=0.02)
    counts, _, _ = np.histogram2d(forest.points.x[first], forest.points.y[first], 30)
    assert counts.min() > 0.4 * counts.mean()


def test_gridded_points_give_the_canopy_height(forest):
    points, shape = forest.points, forest.chm.shape
    rows, columns = pixels_of(forest, points.x, points.y)
    highest = np.full(shape, -np.inf)
    np.maximum.at(highest, (rows, columns), points.z)
    hit = np.isfinite(highest) & (forest.chm > 2)
    error = (highest - forest.dtm)[hit] - forest.chm[hit]
    # Two pulses a pixel, and leaves that let them in by a third of a metre.
    assert abs(np.median(error)) < 0.25
    assert np.median(np.abs(error)) < 0.9
    assert hit.sum() > 3000


def test_roofs_and_water_have_classes_of_their_own():
    settings = settings_of("urban-edge", size_m=150)
    ground = replace(settings.ground, buildings_per_ha=10)
    world = simulate(
        replace(settings, ground=ground, terrain=replace(settings.terrain, water=0.1)), 5
    )
    points = world.points
    rows, columns = pixels_of(world, points.x, points.y)
    above = points.z - world.dtm[rows, columns]
    assert (points.kind == BUILDING).sum() > 200
    assert (above[points.kind == BUILDING] > 2).all()
    assert (points.kind == WATER).sum() > 500
    assert np.ptp(points.z[points.kind == WATER]) < 0.01


def test_errors_come_only_when_asked_for():
    settings = settings_of("treeless", size_m=40, lidar=LidarSettings(error_m=0.1, outliers=0.02))
    noisy = simulate(settings, 1).points
    clean = simulate(replace(settings, lidar=LidarSettings()), 1).points
    false = noisy.kind == NOISE
    assert false.mean() == pytest.approx(0.02, abs=0.01)
    assert (noisy.z - clean.z)[~false].std() == pytest.approx(0.1, rel=0.1)
    assert (clean.kind != NOISE).all()
