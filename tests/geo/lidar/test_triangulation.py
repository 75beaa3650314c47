"""Triangles that do not depend on how far the points around them are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.lidar.isolated import isolated
from geo.lidar.thinning import central_points, highest_points
from geo.lidar.triangulation import Triangulation, circumradius

RADIUS = 3.0


@given(st.integers(0, 999), st.booleans())
def test_points_further_than_two_radii_change_nothing(seed, lattice):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 40, (300, 3))
    if lattice:
        points[:, :2] = np.floor(points[:, :2])
        points = points[np.unique(points[:, :2], axis=0, return_index=True)[1]]
    places = rng.uniform(15, 25, (200, 2))
    near = ((points[:, :2] > 15 - 2 * RADIUS) & (points[:, :2] < 25 + 2 * RADIUS)).all(1)
    whole, part = (Triangulation(some, RADIUS).at(places) for some in (points, points[near]))
    np.testing.assert_allclose(part, whole, atol=1e-9)


def test_a_plane_comes_back_and_large_triangles_do_not():
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 20, (500, 2))
    points = np.column_stack([places, places @ [0.5, -0.25] + 7])
    inside = rng.uniform(3, 17, (100, 2))
    found = Triangulation(points, 5.0).at(inside)
    np.testing.assert_allclose(found, inside @ [0.5, -0.25] + 7, atol=1e-3)
    assert np.isnan(Triangulation(points, 0.01).at(inside)).all()
    assert np.isnan(Triangulation(points[:3], 5.0).at(inside)).all()


def test_the_circle_of_a_right_triangle_has_its_longest_side_for_a_diameter():
    corners = np.array([[[0, 0], [3, 0], [0, 4]], [[0, 0], [1, 0], [2, 0]]], float)
    assert circumradius(corners) == pytest.approx([2.5, np.inf])


@given(st.integers(0, 999))
def test_thinning_does_not_depend_on_the_order(seed):
    rng = np.random.default_rng(seed)
    points = np.round(rng.uniform(-4, 4, (200, 3)), 1)
    shuffled = rng.permutation(points)
    for thinned in (central_points, highest_points):
        np.testing.assert_array_equal(thinned(points, 0.5), thinned(shuffled, 0.5))
    tops = highest_points(points, 0.5)
    assert len(tops) == len(np.unique(np.floor(points[:, :2] / 0.5), axis=0))


def test_a_bird_is_isolated_and_a_tree_top_is_not():
    rng = np.random.default_rng(1)
    ground = np.column_stack([rng.uniform(0, 30, (900, 2)), np.zeros(900)])
    tree = np.column_stack([rng.normal(15, 1, (40, 2)), rng.uniform(3, 25, 40)])
    points = np.concatenate([ground, tree, [[5, 5, 40], [6, 6, 41]]])
    assert np.flatnonzero(isolated(points)).tolist() == [940, 941]
