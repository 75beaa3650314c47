"""Delaunay triangles that do not depend on how far the points around them are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import Delaunay, QhullError

if TYPE_CHECKING:
    from geo.grid import FloatArray
    from geo.raster import Pixels

LEAST_POINTS = 4
JITTER_M = 1e-4
"""Points are moved by less than this, so that no four lie on one circle: a lattice has many equally
good triangulations, and the same one must come out of every block."""

ROW_M = 1.0
"""Height of the rows in which triangles are looked for."""


class Triangulation:
    """A surface over the Delaunay triangles whose circumcircles are small enough.

    A triangle is Delaunay's where its circumcircle holds no point. One of radius r around a place
    reaches no further than 2 r from it: whoever knows all points within 2 r of a place knows the
    triangle there, and blocks with such a margin agree to the last triangle. A limit on the length
    of edges, which is the usual one, has no such reach: long slivers escape it.
    """

    def __init__(self, points: FloatArray, radius_m: float) -> None:
        """Triangulate points (points, 3) x, y and height [m]; no two at one place."""
        self.radius_m, self.heights = radius_m, points[:, 2]
        self.origin = np.floor(points[:, :2].min(0)) if len(points) else np.zeros(2)
        self.places = spread(points[:, :2]) - self.origin
        self.triangles = triangulated(self.places)

    def at(self, places: FloatArray) -> FloatArray:
        """Return heights [m] at places (places, 2) [m]; NaN where no triangle is small enough."""
        heights = np.full(len(places), np.nan)
        if self.triangles is None or not len(places):
            return heights
        here = places - self.origin
        found = np.empty(len(here), np.int64)
        walk = to_and_fro(here)
        found[walk] = self.triangles.find_simplex(here[walk])
        inside = np.flatnonzero(found >= 0)
        corners = self.triangles.simplices[found[inside]]
        small = circumradius(self.places[corners]) <= self.radius_m
        inside, corners = inside[small], corners[small]
        weights = barycentric(self.places[corners], here[inside])
        heights[inside] = (weights * self.heights[corners]).sum(1)
        return heights


def triangulated(places: FloatArray) -> Delaunay | None:
    """Return the triangles of places (places, 2); None where they span none."""
    if len(places) < LEAST_POINTS:
        return None
    try:
        return Delaunay(places)
    except QhullError:
        return None


def to_and_fro(places: FloatArray) -> Pixels:
    """Return an order of places (places, 2) [m] in which each is near the one before.

    The search for a triangle begins at the last one found: in a random order it takes a hundred
    times as long.
    """
    rows = np.floor(places[:, 1] / ROW_M).astype(np.int64)
    order: Pixels = np.lexsort((np.where(rows % 2, -places[:, 0], places[:, 0]), rows))
    return order


def spread(places: FloatArray) -> FloatArray:
    """Return places (places, 2) [m] moved by a hash of their own coordinates, below JITTER_M."""
    ticks = np.rint(places / JITTER_M).astype(np.int64).astype(np.uint64)
    x, y = ticks[:, 0], ticks[:, 1]
    noise = np.column_stack([scrambled(x, y), scrambled(y, ~x)])
    return places + (noise - 0.5) * JITTER_M


def scrambled(one: Pixels, other: Pixels) -> FloatArray:
    """Return numbers in [0, 1) that look random; the finaliser of splitmix64 (Steele 2014)."""
    mixed = one * np.uint64(0x9E3779B97F4A7C15) + other
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    fractions: FloatArray = (mixed >> np.uint64(11)) / np.float64(2**53)
    return fractions


def circumradius(corners: FloatArray) -> FloatArray:
    """Return the radii of the circles through triangles (triangles, 3, 2): abc / 4 area."""
    sides = [np.hypot(*(corners[:, i] - corners[:, i - 1]).T) for i in range(3)]
    doubled = np.abs(cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    with np.errstate(divide="ignore"):
        return np.asarray(np.prod(sides, axis=0) / (2 * doubled))


def barycentric(corners: FloatArray, places: FloatArray) -> FloatArray:
    """Return the weights (places, 3) of the corners (places, 3, 2) of a triangle at places."""
    to_corner = corners - places[:, None]
    parts = [cross(to_corner[:, i - 2], to_corner[:, i - 1]) for i in range(3)]
    weights: FloatArray = np.column_stack(parts)
    weights /= weights.sum(1, keepdims=True)
    return weights


def cross(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the third component of the products of plane vectors (vectors, 2)."""
    return one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
