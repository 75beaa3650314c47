"""One point per cell, whatever the order in which points come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from geo.grid import FloatArray
    from geo.raster import Pixels


def lowest_scores(points: FloatArray, scores: FloatArray, side_m: float) -> Pixels:
    """Return the indices of the points with the lowest score of their cell, sorted by cell.

    Equal scores are decided by the coordinates, so that a shuffle of the points changes nothing.

    Args:
        points: (points, 3) x, y and a height [m].
        scores: (points,) what is to be low.
        side_m: side of a cell [m]; cells have their corners on multiples of it.
    """
    if not len(points):
        return np.zeros(0, np.int64)
    columns, rows = np.floor(points[:, :2].T / side_m).astype(np.int64)
    cells = (rows - rows.min()) * (np.ptp(columns) + 1) + columns - columns.min()
    order = np.argsort(cells, kind="stable")
    starts = np.flatnonzero(np.diff(cells[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    lowest = np.repeat(np.minimum.reduceat(scores[order], starts), sizes)
    best = order[scores[order] == lowest]
    ties = np.lexsort((points[best, 2], points[best, 1], points[best, 0], cells[best]))
    chosen: Pixels = best[ties[np.diff(cells[best][ties], prepend=-1) != 0]]
    return chosen


def central_points(points: FloatArray, side_m: float) -> FloatArray:
    """Return the points (points, 3) that lie nearest to the centres of their cells [m]."""
    centres = (np.floor(points[:, :2] / side_m) + 0.5) * side_m
    distances = np.hypot(*(points[:, :2] - centres).T)
    return points[lowest_scores(points, distances, side_m)]


def highest_points(points: FloatArray, side_m: float) -> FloatArray:
    """Return the points (points, 3) that are the highest of their cells [m]."""
    return points[lowest_scores(points, -points[:, 2], side_m)]
