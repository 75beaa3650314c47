"""The ground under points: a TIN of the returns that are classified as ground."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from geo.lidar.thinning import central_points
from geo.lidar.triangulation import Triangulation

if TYPE_CHECKING:
    from geo.grid import FloatArray
    from geo.lidar.point_store import Bounds, PointStore

RADIUS_M = 20.0
"""Circumradius up to which a triangle of ground returns is trusted: gaps of 40 m are spanned."""

REACH_M = 2 * RADIUS_M
"""Ground returns further from a place than this do not decide about it one by one."""

FINE_M = 1.0
"""Of the ground returns in a cell of this side the most central one counts."""

COARSE_M = 20.0
"""Side of the cells that give one ground return each to the surface under wide gaps."""

COARSE_POINTS = 200_000
"""Points of the coarse surface at most; its cells grow until it has fewer."""


class CoarseGround:
    """The ground in outline, over the whole survey: a TIN of one return in 20 m."""

    def __init__(self, points: FloatArray) -> None:
        """Span ground returns (points, 3) x, y and z [m]; there must be one."""
        self.points = points
        self.surface = Triangulation(points, np.inf)
        self.nearest = cKDTree(points[:, :2])

    def at(self, places: FloatArray) -> FloatArray:
        """Return z [m] at places (places, 2); NaN beyond the outermost returns."""
        return self.surface.at(places)

    def nearest_to(self, places: FloatArray) -> FloatArray:
        """Return z [m] of the returns nearest to places (places, 2)."""
        z: FloatArray = self.points[self.nearest.query(places)[1], 2]
        return z


def outline_ground(store: PointStore) -> CoarseGround:
    """Return the coarse surface over all ground returns of a store, read square by square."""
    parts = []
    for cell in sorted(store.counts):
        kept: FloatArray = np.empty((0, 3))
        for piece in store.pieces(cell):
            kept = central_points(np.concatenate([kept, piece]), COARSE_M)
        parts.append(kept)
    points, side_m = np.concatenate(parts), COARSE_M
    while len(points) > COARSE_POINTS:
        side_m *= 2
        points = central_points(points, side_m)
    return CoarseGround(points)


class GroundSurface:
    """The ground around a tile.

    Where ground returns lie close enough it is their TIN, linear in each triangle. In wider gaps it
    is the coarse surface, moved to meet the nearest return; the move fades to nothing at REACH_M
    from that return. Beyond the outermost returns it is as high as the nearest one.
    """

    def __init__(self, returns: FloatArray, coarse: CoarseGround) -> None:
        """Span ground returns (returns, 3) x, y and z [m], all within REACH_M of the places."""
        self.returns, self.coarse = central_points(returns, FINE_M), coarse
        self.surface = Triangulation(self.returns, RADIUS_M)

    def at(self, places: FloatArray) -> FloatArray:
        """Return z of the ground [m] at places (places, 2) x and y [m]."""
        z = self.surface.at(places)
        gaps = np.flatnonzero(np.isnan(z))
        z[gaps] = self.bridged(places[gaps])
        return z

    def bridged(self, places: FloatArray) -> FloatArray:
        """Return z [m] in gaps and beyond the outermost returns."""
        if not len(places):
            return np.empty(0)
        z: FloatArray = self.coarse.at(places)
        last = self.coarse.nearest_to(places)
        if len(self.returns):
            distances, nearest = cKDTree(self.returns[:, :2]).query(places)
            known, near = self.returns[nearest], distances < REACH_M
            moves = known[:, 2] - self.coarse.at(known[:, :2])
            z = np.where(near, z + (1 - distances / REACH_M) * moves, z)
            last = np.where(near, known[:, 2], last)
        return np.where(np.isnan(z), last, z)


class NoGround:
    """The ground under heights that are above ground already: zero."""

    @staticmethod
    def at(places: FloatArray) -> FloatArray:
        """Return 0 m at places (places, 2)."""
        return np.zeros(len(places))


class Ground:
    """The ground of a whole survey, lent piece by piece."""

    def __init__(self, store: PointStore, *, normalised: bool) -> None:
        """Outline the ground of a store, unless heights are above ground already."""
        self.store = store
        self.coarse = None if normalised else outline_ground(store)

    def around(self, bounds: Bounds) -> GroundSurface | NoGround:
        """Return the surface that is right within bounds [m]."""
        if self.coarse is None:
            return NoGround()
        return GroundSurface(self.store.read(grown(bounds, REACH_M + FINE_M)), self.coarse)


def grown(bounds: Bounds, margin_m: float) -> Bounds:
    """Return bounds with a margin [m] on all sides."""
    west, south, east, north = bounds
    return west - margin_m, south - margin_m, east + margin_m, north + margin_m
