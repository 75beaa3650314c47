"""Batches hold pairs of overlapping tiles of the same ground."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from canopy.errors import SettingsError
from canopy.supervision.augment import AugmentSettings
from canopy.supervision.categories import CategoryShares, SamplingSettings
from canopy.supervision.examples import ExampleMaker, ExampleSettings, plot_shares
from canopy.supervision.plot_task import shared_windows

SMALL = ExampleSettings(tiles_px=(32,), pixels=4096, shift_px=16)
ALL = CategoryShares()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def maker_of(pairs, settings=SMALL, **changes):
    return ExampleMaker(pairs, settings, AugmentSettings(**changes), ALL)


def test_two_tiles_of_a_canvas_show_the_same_ground_where_they_overlap(pairs, rng):
    maker = maker_of(pairs)
    for _ in range(5):
        batch = maker.batch(rng)
        assert batch.pixels.shape == (4, 3, 32, 32)
        for first in (0, 2):
            ours, theirs = shared_windows(batch.corners[first], batch.corners[first + 1], 32)
            np.testing.assert_array_equal(
                batch.pixels[first][:, *ours], batch.pixels[first + 1][:, *theirs]
            )
            np.testing.assert_array_equal(
                batch.heights[first][ours], batch.heights[first + 1][theirs]
            )


def test_tiles_that_are_no_pairs_show_other_ground(pairs, rng):
    batch = maker_of(pairs).batch(rng, paired=False)
    assert batch.pixels.shape == (4, 3, 32, 32)
    assert batch.corners.shape == (0, 2)
    assert len({tile.tobytes() for tile in batch.pixels}) == 4


def test_what_is_drawn_follows_from_the_generator_alone(pairs):
    maker = maker_of(pairs)
    first, other, again = (maker.batch(np.random.default_rng(seed)) for seed in (4, 5, 4))
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert not np.array_equal(first.pixels, other.pixels)


def test_treeless_canvases_have_known_heights_of_zero(pairs, rng):
    settings = ExampleSettings(tiles_px=(32,), made=0.7, ground=0.3, collages=0)
    maker = maker_of(pairs, settings, holes=0)
    for _ in range(10):
        canvas = maker.canvas(rng, 32)
        assert (canvas.heights == 0).all()
        assert canvas.valid.all()


def test_gaps_in_the_lidar_are_never_learned(pairs, rng):
    settings = ExampleSettings(tiles_px=(32,), made=0, ground=0, collages=1, pasted=0)
    canvas = maker_of(pairs, settings, holes=0).canvas(rng, 64)
    assert 0 < (~canvas.valid).mean() < 0.5
    assert canvas.heights[canvas.valid].max() > 5


def test_plots_are_drawn_by_area_and_a_share_from_low_and_tall_ones(pairs):
    for pair, height in zip(pairs, (0.2, 8, 12, 30), strict=True):
        pair.heights[pair.heights_valid] = height
    np.testing.assert_allclose(plot_shares(pairs, ALL), 0.25)
    shares = plot_shares(pairs, CategoryShares(low=0.2, tall=0.4))
    np.testing.assert_allclose(shares, [0.1 + 0.2, 0.1, 0.1, 0.1 + 0.4])
    # No plot is so tall: its share is everybody's.
    shares = plot_shares(pairs, CategoryShares(low=0.2, tall=0.4, tall_m=50))
    np.testing.assert_allclose(shares, [0.2 + 0.2, 0.2, 0.2, 0.2])


def test_only_tall_plots_are_drawn_where_all_shall_be_tall(pairs, rng):
    pairs[3].heights[:] = 30
    pairs[3].image_heights[:] = 30
    maker = ExampleMaker(pairs, SMALL, AugmentSettings(), CategoryShares(tall=1.0))
    assert all(maker._plot(rng, 32).heights.max() == 30 for _ in range(9))


@pytest.mark.parametrize("kind", [CategoryShares, SamplingSettings])
@pytest.mark.parametrize("shares", [{"low": 0.6, "tall": 0.6}, {"low": -0.1, "tall": 0.3}])
def test_shares_that_leave_nothing_are_refused(kind, shares):
    with pytest.raises(ValueError, match="expected shares"):
        kind(**shares)


def test_shares_must_leave_room_for_plots():
    with pytest.raises(ValueError, match="add up to more than 1"):
        ExampleSettings(made=0.6, ground=0.3, collages=0.2)


def test_no_plots_are_refused():
    with pytest.raises(SettingsError, match="no plots to learn from"):
        maker_of([])


def test_pixels_that_no_scene_can_be_made_of_are_refused_where_scenes_are_asked_for(pairs):
    fine = [replace(pair, gsd_m=0.2) for pair in pairs]
    with pytest.raises(SettingsError, match=r"0\.5 to 1\.5 m, not of 0\.2 m"):
        maker_of(fine)
    maker_of(fine, ExampleSettings(tiles_px=(32,), made=0, ground=0, pasted=0))
