"""Shifts that are known are found, whatever the sun; where there is none, none is invented."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from small_worlds import settings_of, sun_at

from geo.errors import GeoError
from geo.registration.shift_evidence import View, explained, moments
from geo.registration.shift_grid import ShiftGrid, crest
from geo.registration.single_shift import RegistrationSettings, register_views
from geo.simulation.world import simulate

PIXEL_M = 0.6
MARGIN = 10
"""Pixels of the farthest shift, 6 m."""

BEYOND = 10
"""Pixels of heights beyond the margin, so that known heights can be moved in."""

SETTINGS = RegistrationSettings()


@cache
def world(name, azimuth=140, elevation=45, seed=5):
    return simulate(settings_of(name, size_m=68, sun=sun_at(azimuth, elevation)), seed)


def view_of(made, down=0, right=0, heights=None):
    """The middle of a world, its heights moved down and right [px]."""
    heights = made.chm if heights is None else heights
    inner = slice(MARGIN + BEYOND, -MARGIN - BEYOND)
    wide = slice(BEYOND, -BEYOND)
    image = made.imagery[:, inner, inner]
    moved = np.roll(heights, (down, right), (0, 1))[wide, wide]
    return View(
        image=image, image_known=np.ones(image.shape[1:], bool),
        heights=moved, heights_known=np.ones(moved.shape, bool),
    )  # fmt: skip


def error_of(found, down, right):
    """Distance of an estimate from the shift that puts moved heights back [m]."""
    return np.hypot(found.east_m + right * PIXEL_M, found.north_m - down * PIXEL_M)


SHIFTS = {"1.2 m": (0, -2), "3 m": (4, -4), "5 m": (-5, 7)}


@pytest.mark.parametrize("sun", [(140, 45), (300, 30), (40, 65)], ids=str)
@pytest.mark.parametrize("shift", SHIFTS.values(), ids=SHIFTS)
def test_a_known_shift_is_found_under_any_sun(sun, shift):
    found = register_views([view_of(world("mixed", *sun), *shift)], PIXEL_M, SETTINGS)
    assert error_of(found, *shift) < 0.4
    assert found.verdict == "shifted", found.reason
    assert found.score > found.score_unmoved
    assert found.spread_m < 0.5


@pytest.mark.parametrize("name", ["savanna", "conifer", "broadleaf", "plantation"])
def test_a_known_shift_is_found_in_any_forest(name):
    found = register_views([view_of(world(name), -2, 3)], PIXEL_M, SETTINGS)
    assert error_of(found, -2, 3) < 0.6
    assert found.verdict == "shifted", found.reason


@pytest.mark.parametrize("sun", [(140, 45), (300, 30), (40, 65)], ids=str)
@pytest.mark.parametrize("name", ["mixed", "savanna"])
def test_no_shift_is_invented(name, sun):
    found = register_views([view_of(world(name, *sun))], PIXEL_M, SETTINGS)
    assert found.distance_m < 0.5
    assert found.verdict == "aligned", found.reason
    assert found.confident


def test_the_sun_is_found():
    found = register_views([view_of(world("conifer", 300, 30))], PIXEL_M, SETTINGS)
    assert found.sun_azimuth_deg == pytest.approx(300, abs=15)
    assert found.sun_elevation_deg == pytest.approx(30, abs=8)


def test_where_no_tree_stands_nothing_is_said():
    found = register_views([view_of(world("treeless"))], PIXEL_M, SETTINGS)
    assert found.verdict == "unclear"
    assert "too few trees" in found.reason


@pytest.mark.parametrize("seed", [6, 7, 8])
def test_heights_of_another_place_are_not_believed(seed):
    other = world("mixed", seed=seed).chm
    found = register_views([view_of(world("mixed"), heights=other)], PIXEL_M, SETTINGS)
    assert not found.confident, found


def test_noise_is_not_believed():
    rng = np.random.default_rng(3)
    noise = rng.gamma(2, 5, world("mixed").chm.shape).astype(np.float32)
    view = view_of(world("mixed"), heights=noise)
    assert not register_views([view], PIXEL_M, SETTINGS).confident
    grey = rng.integers(0, 255, view.image.shape).astype(np.uint8)
    view = replace(view_of(world("mixed")), image=grey)
    assert not register_views([view], PIXEL_M, SETTINGS).confident


def test_a_pixel_of_movement_is_a_pixel_of_shift():
    here = register_views([view_of(world("mixed"), 1, 1)], PIXEL_M, SETTINGS)
    there = register_views([view_of(world("mixed"), 1, 2)], PIXEL_M, SETTINGS)
    assert there.east_m - here.east_m == pytest.approx(-PIXEL_M, abs=0.05)
    assert there.north_m == pytest.approx(here.north_m, abs=0.05)


def test_what_is_not_known_does_not_matter():
    view = view_of(world("mixed"), 2, -2)
    hidden = np.zeros(view.image_known.shape, bool)
    hidden[10:25, 30:50] = True
    gaps = np.zeros(view.heights_known.shape, bool)
    gaps[50:70, :30] = True
    patched = View(
        image=np.where(hidden, 255, view.image), image_known=~hidden,
        heights=np.where(gaps, 90, view.heights), heights_known=~gaps,
    )  # fmt: skip
    found = register_views([patched], PIXEL_M, SETTINGS)
    assert error_of(found, 2, -2) < 0.4
    wild = replace(
        patched,
        image=np.where(hidden, 3, view.image),
        heights=np.where(gaps, np.nan, view.heights),
    )
    assert register_views([wild], PIXEL_M, SETTINGS) == found


def test_several_views_count_together():
    views = [view_of(world(name), 2, 2) for name in ("mixed", "savanna")]
    found = register_views(views, PIXEL_M, SETTINGS)
    assert error_of(found, 2, 2) < 0.4


def test_a_grey_image_will_do():
    view = view_of(world("conifer"), -3, 2)
    grey = np.repeat(view.image.mean(0, keepdims=True), 3, 0)
    found = register_views([replace(view, image=grey)], PIXEL_M, SETTINGS)
    assert error_of(found, -3, 2) < 0.4


def test_a_shift_beyond_the_reach_is_not_believed():
    near = RegistrationSettings(max_shift_m=3.0)
    found = register_views([view_of(world("mixed"), 0, 9)], PIXEL_M, near)
    assert not found.confident


def test_too_little_common_ground_is_refused():
    view = view_of(world("mixed"))
    bare = replace(view, heights_known=np.zeros_like(view.heights_known))
    with pytest.raises(GeoError, match="share 0 m2"):
        register_views([bare], PIXEL_M, SETTINGS)
    with pytest.raises(GeoError, match="max shift"):
        RegistrationSettings(max_shift_m=100)


def test_the_share_explained_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    features, templates = rng.normal(size=(2, 20, 30)), rng.normal(size=(2, 20, 30))
    features[0] += 2 * templates[0] - templates[1] + 5
    view = View(
        image=np.zeros((3, 20, 30)), image_known=np.ones((20, 30), bool),
        heights=np.zeros((20, 30)), heights_known=np.ones((20, 30), bool),
    )  # fmt: skip
    sums = moments(view, features.astype(np.float32), templates.astype(np.float32), [(0, 0)])
    design = np.stack([np.ones(600), *templates.reshape(2, -1)], 1)
    shares = []
    for feature in features.reshape(2, -1):
        rest = feature - design @ np.linalg.lstsq(design, feature, rcond=None)[0]
        shares.append(1 - (1 - (1 - rest.var() / feature.var())) * 599 / 597)
    # Pixels of the patch's area are one observation each.
    assert explained(sums, np.sqrt(2))[0, 0] == pytest.approx(np.mean(shares), abs=1e-4)


def test_blocks_add_up_to_the_whole():
    view = view_of(world("mixed"))
    rng = np.random.default_rng(1)
    ours = rng.normal(size=(2, *view.image_known.shape)).astype(np.float32)
    theirs = rng.normal(size=(2, *view.heights.shape)).astype(np.float32)
    shifts = [(0, 0), (3, -7)]
    parts = moments(view, ours, theirs, shifts, (3, 4))
    assert parts.shape == (2, 12, 5, 5)
    np.testing.assert_allclose(
        parts.sum(1), moments(view, ours, theirs, shifts)[:, 0], rtol=1e-3, atol=0.05
    )


def test_a_peak_between_pixels_is_found():
    grid = ShiftGrid(reach=4, pixel_m=0.5)
    places = np.array(grid.shifts) * 0.5
    scores = 1 - (places[:, 1] - 0.7) ** 2 - (places[:, 0] + 0.4) ** 2
    assert grid.peak(scores) == pytest.approx((0.7, 0.4))
    assert crest(np.array([1.0, 2.0]), 1) == 0
