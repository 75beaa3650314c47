"""Trees keep apart, in rows where planted, and off roads, roofs and water."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree
from small_worlds import settings_of

from geo.simulation.place import Points
from geo.simulation.scenery import make_site
from geo.simulation.stands import Layer, StandSettings


def test_no_tree_stands_within_the_reach_of_a_higher_one():
    layer = Layer(mix={"oak": 1}, per_ha=900, height_m=18, spacing=0.6)
    settings = settings_of("broadleaf", stands=StandSettings(layers=(layer,)))
    trees = make_site(settings, 1).trees
    places = np.column_stack([trees.x, trees.y])
    reach = 0.6 * trees.radius_m
    near = cKDTree(places).query_pairs(2 * reach.max(), output_type="ndarray")
    apart = np.hypot(*(places[near[:, 0]] - places[near[:, 1]]).T)
    assert len(trees) > 200
    assert (apart >= reach[near[:, 0]] + reach[near[:, 1]] - 1e-9).all()


def test_planted_trees_stand_in_rows():
    layer = Layer(mix={"pine": 1}, per_ha=0, height_m=12, rows_m=3.0)
    settings = settings_of("plantation", stands=StandSettings(layers=(layer,)))
    trees = make_site(replace(settings, ground=replace(settings.ground, roads=0)), 3).trees
    # Some direction has the stems in lines: their distances across it cluster at multiples of 3 m.
    turns = np.radians(np.arange(0, 180, 0.1))
    across = np.outer(np.sin(turns), trees.x) - np.outer(np.cos(turns), trees.y)
    clustered = np.abs(np.exp(2j * np.pi * across / 3.0).mean(1))
    assert clustered.max() > 0.7
    assert np.median(clustered) < 0.1


def test_trees_keep_off_roads_roofs_and_water():
    site = make_site(settings_of("urban-edge", size_m=200), 4)
    trees = site.trees
    assert len(site.layout.buildings) > 5
    assert site.layout.keeps_off(trees.x, trees.y, 0.99).all()
    assert not site.terrain.is_water(Points(x=trees.x, y=trees.y)).any()


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_cover_is_about_what_was_asked_for(share):
    layer = Layer(mix={"oak": 1}, per_ha=400, height_m=15, cover=share, patch_m=20, spacing=0.0)
    full = replace(layer, cover=1.0)
    counts = [
        len(make_site(settings_of("broadleaf", stands=StandSettings(layers=(one,))), 2).trees)
        for one in (layer, full)
    ]
    assert counts[0] / counts[1] == pytest.approx(share, abs=0.1)


def test_buildings_stand_apart_on_dry_ground_above_it():
    site = make_site(settings_of("urban-edge", size_m=200), 6)
    for house in site.layout.buildings:
        here = Points(x=np.array([house.x]), y=np.array([house.y]))
        assert house.floor_m >= site.terrain.elevation(here)[0]
        assert not site.terrain.is_water(here)[0]
        others = [other for other in site.layout.buildings if other is not house]
        apart = [np.hypot(house.x - other.x, house.y - other.y) for other in others]
        assert min(apart) > house.half_wide_m
