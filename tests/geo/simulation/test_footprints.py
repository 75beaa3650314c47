"""Footprints tell the heights that are under them, and what is wrong with them is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_worlds import EXACT, settings_of, world_of

from geo.simulation.footprints import BEAMS, relative_heights, shoot
from geo.simulation.instruments import FootprintSettings
from geo.simulation.terrain import TerrainSettings
from geo.simulation.world import simulate


@pytest.fixture(scope="module")
def closed():
    return world_of("broadleaf", size_m=90.0)


def weighted_percentile(world, x, y, rank, sigma=5.5):
    """A percentile of the canopy height, weighted as the energy of a footprint is."""
    side, gsd = world.settings.pixels, world.settings.gsd_m
    middles = (np.arange(side) + 0.5) * gsd
    grid_x, grid_y = np.meshgrid(middles, middles[::-1])
    weight = np.exp(-0.5 * ((grid_x - x) ** 2 + (grid_y - y) ** 2) / sigma**2).ravel()
    order = np.argsort(world.chm.ravel())
    total = np.cumsum(weight[order])
    return np.interp(rank / 100, total / total[-1], world.chm.ravel()[order])


def test_rh98_of_closed_canopy_is_the_percentile_of_its_height(closed):
    shots = closed.footprints
    expected = [
        weighted_percentile(closed, x, y, 98) for x, y in zip(shots.x, shots.y, strict=True)
    ]
    error = shots.rh[:, 98] - expected
    assert len(shots) >= 6
    # Ground on a slope and leaves that let the light in: half a metre up or down.
    assert abs(error.mean()) < 0.6
    assert np.abs(error).max() < 1.5
    np.testing.assert_allclose(shots.true_rh98, shots.rh[:, 98], atol=1e-4)
    np.testing.assert_array_equal(shots.true_x, shots.x)


def test_relative_heights_rise_and_span_the_returns(closed):
    shots = closed.footprints
    assert shots.rh.shape == (len(shots), 101)
    assert (np.diff(shots.rh, axis=1) >= 0).all()
    assert (shots.rh[:, 100] <= closed.chm.max() + 4).all()
    assert ((shots.cover > 0.5) & (shots.cover < 1)).all()


def test_relative_heights_of_known_returns():
    heights, energy = np.array([10.0, 0.0]), np.array([3.0, 1.0])
    ranks = relative_heights(heights, energy)
    assert ranks[0] == 0
    assert ranks[100] == 10
    np.testing.assert_allclose(relative_heights(np.linspace(0, 20, 5001), np.ones(5001)),
                               np.linspace(0, 20, 101), atol=0.01)  # fmt: skip


def test_on_bare_ground_all_energy_comes_from_the_ground():
    shots = world_of("treeless", size_m=90.0).footprints
    np.testing.assert_allclose(shots.cover, 0, atol=1e-9)
    assert np.abs(shots.rh[:, 50]).max() < 1.5  # what slope there is within a footprint


def test_the_pulse_alone_lifts_rh98_by_two_standard_deviations_on_level_ground():
    level = TerrainSettings(relief_m=0.0, slope=0.0)
    settings = settings_of("treeless", size_m=60, terrain=level, footprints=EXACT)
    world = simulate(settings, 1)
    np.testing.assert_allclose(world.footprints.rh, 0, atol=1e-4)
    drawn_out = shoot(world.points, world.dtm, 0.6, replace(EXACT, pulse_m=0.99), 1)
    np.testing.assert_allclose(drawn_out.rh[:, 98], 2.05 * 0.99, atol=0.2)
    np.testing.assert_allclose(drawn_out.rh[:, 50], 0, atol=0.1)


def test_positions_err_by_what_was_asked_for_and_tracks_share_it():
    world = world_of("treeless", size_m=90.0)
    off = []
    for seed in range(60):
        chosen = replace(EXACT, geolocation_m=10.0)
        shots = shoot(world.points, world.dtm, 0.6, chosen, seed)
        error = np.stack([shots.x - shots.true_x, shots.y - shots.true_y])
        off.append(error)
        for track in np.unique(shots.track):
            assert error[:, shots.track == track].std(1).max() < 6
    off = np.concatenate(off, 1)
    assert np.sqrt((off**2).sum(0).mean()) == pytest.approx(10, rel=0.2)


def test_tracks_are_straight_and_evenly_spaced(closed):
    chosen = replace(EXACT, along_m=15.0, across_m=30.0, heading_deg=0.0)
    shots = shoot(closed.points, closed.dtm, 0.6, chosen, 2)
    for track in np.unique(shots.track):
        ours = shots.track == track
        assert np.ptp(shots.x[ours]) < 1e-6
        np.testing.assert_allclose(np.diff(np.sort(shots.y[ours])), 15)
        assert set(shots.beam[ours]) <= {name for name, _ in BEAMS}
    inside = np.minimum(shots.true_x, shots.true_y).min() >= 16.5
    assert inside


def test_where_the_ground_is_not_found_the_heights_are_too_low(closed):
    usual = shoot(closed.points, closed.dtm, 0.6, EXACT, 3)
    blind = shoot(closed.points, closed.dtm, 0.6, replace(EXACT, sensitivity=0.5), 3)
    assert usual.quality.all()
    assert not blind.quality.any()
    assert (blind.rh[:, 98] <= usual.rh[:, 98] + 1e-4).all()


def test_a_world_too_small_for_a_footprint_has_none():
    settings = settings_of("treeless", size_m=20, footprints=FootprintSettings())
    shots = simulate(settings, 1).footprints
    assert len(shots) == 0
    assert shots.rh.shape == (0, 101)
