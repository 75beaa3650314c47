"""Batches hold pairs of overlapping tiles of the same ground."""

from __future__ import annotations

import numpy as np
import pytest

from canopy.supervision.augment import AugmentSettings
from canopy.supervision.examples import ExampleMaker, ExampleSettings
from canopy.supervision.fit_decoder import shared_windows

SMALL = ExampleSettings(tiles_px=(32,), pixels=4096, shift_px=16)


def test_two_tiles_of_a_canvas_show_the_same_ground_where_they_overlap(pairs):
    maker = ExampleMaker(pairs, SMALL, AugmentSettings(), seed=0)
    for _ in range(5):
        batch = maker.batch()
        assert batch.pixels.shape == (4, 3, 32, 32)
        for first in (0, 2):
            ours, theirs = shared_windows(batch.corners[first], batch.corners[first + 1], 32)
            np.testing.assert_array_equal(
                batch.pixels[first][:, *ours], batch.pixels[first + 1][:, *theirs]
            )
            np.testing.assert_array_equal(
                batch.heights[first][ours], batch.heights[first + 1][theirs]
            )


def test_tiles_that_are_no_pairs_show_other_ground(pairs):
    batch = ExampleMaker(pairs, SMALL, AugmentSettings(), seed=0).batch(paired=False)
    assert batch.pixels.shape == (4, 3, 32, 32)
    assert batch.corners.shape == (0, 2)
    assert len({tile.tobytes() for tile in batch.pixels}) == 4


def test_the_same_seed_draws_the_same_batches(pairs):
    makers = [ExampleMaker(pairs, SMALL, AugmentSettings(), seed=seed) for seed in (4, 4, 5)]
    first, again, other = (maker.batch() for maker in makers)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert not np.array_equal(first.pixels, other.pixels)


def test_treeless_canvases_have_known_heights_of_zero(pairs):
    settings = ExampleSettings(tiles_px=(32,), made=0.7, ground=0.3, collages=0)
    maker = ExampleMaker(pairs, settings, AugmentSettings(holes=0), seed=0)
    for _ in range(10):
        canvas = maker.canvas(32)
        assert (canvas.heights == 0).all()
        assert canvas.valid.all()


def test_gaps_in_the_lidar_are_never_learned(pairs):
    settings = ExampleSettings(tiles_px=(32,), made=0, ground=0, collages=1, pasted=0)
    canvas = ExampleMaker(pairs, settings, AugmentSettings(holes=0), seed=0).canvas(64)
    assert 0 < (~canvas.valid).mean() < 0.5
    assert canvas.heights[canvas.valid].max() > 5


def test_shares_must_leave_room_for_plots():
    with pytest.raises(ValueError, match="add up to more than 1"):
        ExampleSettings(made=0.6, ground=0.3, collages=0.2)


def test_tiles_must_fit_the_network():
    with pytest.raises(ValueError, match="multiples of 32"):
        ExampleSettings(tiles_px=(40,))


def test_no_plots_are_refused():
    with pytest.raises(ValueError, match="no plots to learn from"):
        ExampleMaker([], SMALL, AugmentSettings(), seed=0)
