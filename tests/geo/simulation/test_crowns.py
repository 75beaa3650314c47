"""The canopy is the highest crown, and a crown is the formula that it is said to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_worlds import one_tree, settings_of, window_of

from geo.simulation import crowns
from geo.simulation.crowns import clump_pattern, cover_with_crowns, crown_of, top_at
from geo.simulation.place import Window
from geo.simulation.scenery import make_site
from geo.simulation.species import SPECIES


def smooth(species):
    """A kind of tree without lobes, clumps, fraying and holes."""
    return replace(species, lobes=0.0, relief_m=0.0, ragged=0.0, open=0.0)


@pytest.mark.parametrize("number", range(len(SPECIES)), ids=[kind.name for kind in SPECIES])
def test_a_smooth_crown_is_the_published_outline(number, monkeypatch):
    kinds = [smooth(kind) for kind in SPECIES]
    monkeypatch.setattr(crowns, "SPECIES", kinds)
    kind, tree = kinds[number], one_tree(species=SPECIES[number].name, mark=0)
    x, y = np.random.default_rng(1).uniform(12, 28, (2, 4000))
    out = np.hypot(x - 20, y - 20) / 4.0
    expected = 118.0 - kind.light_crown * 18.0 * out**kind.shape
    tops = top_at(tree, x, y)
    inside = out < 0.999
    np.testing.assert_allclose(tops[inside], expected[inside], rtol=0, atol=1e-3)
    assert np.isneginf(tops[out > 1.001]).all()


@pytest.mark.parametrize("number", range(len(SPECIES)), ids=[kind.name for kind in SPECIES])
def test_the_top_of_a_rough_crown_is_its_height_above_the_stem(number):
    for mark in (1, 77, 2**31 - 1):
        tree = one_tree(species=SPECIES[number].name, mark=mark)
        assert top_at(tree, np.array([20.0]), np.array([20.0]))[0] == pytest.approx(118, abs=1e-4)
        crown = crown_of(tree, 0)
        x, y = np.random.default_rng(2).uniform(8, 32, (2, 20000))
        tops = top_at(tree, x, y)
        assert tops.max() <= 118 + 1e-4
        far = np.hypot(x - 20, y - 20) > crown.reach_m
        assert np.isneginf(tops[far]).all()
        assert np.isfinite(tops).sum() > 200


def test_pixels_are_the_crowns_at_their_centres_in_any_window():
    site = make_site(settings_of("mixed"), 3)
    whole = window_of(30, pitch=0.3)
    canopy = cover_with_crowns(site.trees, whole)
    part = cover_with_crowns(site.trees, Window(west=20, north=70, rows=30, columns=40, pitch=0.3))
    np.testing.assert_array_equal(part.top, canopy.top[30:60, 20:60])
    rows, columns = np.random.default_rng(4).integers(0, 100, (2, 300))
    tops = top_at(site.trees, whole.x[0, columns], whole.y[rows, 0])
    np.testing.assert_allclose(tops, canopy.top[rows, columns], rtol=0, atol=1e-4)
    assert np.isfinite(tops).mean() > 0.3


def test_the_owner_of_a_pixel_is_the_highest_tree():
    site = make_site(settings_of("broadleaf"), 3)
    window = window_of(12, pitch=0.4)
    canopy = cover_with_crowns(site.trees, window)
    each = [
        cover_with_crowns(site.trees.chosen(np.array([number])), window).top
        for number in np.unique(canopy.owner[canopy.owner >= 0])
    ]
    np.testing.assert_array_equal(np.maximum.reduce(each), canopy.top)


def test_the_pattern_of_clumps_repeats_and_ranks_evenly():
    pattern = clump_pattern()
    rows, columns = pattern.middles.T
    np.testing.assert_allclose(pattern.bulge[rows, columns], 1, atol=1e-6)
    assert pattern.bulge.min() >= 0
    np.testing.assert_allclose(
        np.quantile(pattern.rank, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=1e-3
    )
    steps = np.abs(np.diff(pattern.bulge, axis=0)).mean()
    assert np.abs(pattern.bulge[0] - pattern.bulge[-1]).mean() < 1.5 * steps
