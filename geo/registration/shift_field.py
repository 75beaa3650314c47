"""A shift that varies smoothly over the ground, drawn through shifts found in places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geo.registration.window_shifts import WindowShift

    Array = NDArray[np.float64]

SMOOTH = 1.5
"""Distance at which shifts still resemble each other, in distances between windows."""

LEAST_ERROR_M = 0.15
"""No window is trusted further than this [m]: heights and crowns are no finer."""

SPREAD_TO_SIGMA = 2.146
"""Nine of ten draws of a plane normal distribution lie within so many standard deviations."""

MOST_LOCAL_M = 4.0
"""A local shift differs from the global one by this at most [m]."""

STRIP = 4096
"""Places computed at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ShiftField:
    """Shifts everywhere: one for all, and what is added to it near places.

    Attributes:
        base: the shift for all, east and north [m].
        places: x and y of the places (n, 2) [m].
        weights: what each place adds, east and north (n, 2) [m].
        length_m: how far it reaches [m].
    """

    base: tuple[float, float]
    places: Array
    weights: Array
    length_m: float

    def at(self, points: Array) -> Array:
        """Return the shifts east and north [m] at points (n, 2) [m]; far from all places the base.

        The difference from the base is bounded, its direction kept.
        """
        added = np.empty((len(points), 2))
        for start in range(0, len(points), STRIP):
            part = points[start : start + STRIP]
            added[start : start + STRIP] = likeness(part, self.places, self.length_m) @ self.weights
        length = np.hypot(*added.T)
        added *= np.minimum(1, MOST_LOCAL_M / np.maximum(length, MOST_LOCAL_M))[:, None]
        shifts: Array = np.array(self.base) + added
        return shifts


def likeness(points: Array, places: Array, length_m: float) -> Array:
    """Return how much points (n, 2) resemble places (m, 2): 1 where they meet, 0 far apart."""
    found: Array = np.exp(-0.5 * (cdist(points, places) / length_m) ** 2)
    return found


def draw_field(
    windows: Sequence[WindowShift], base: tuple[float, float], spacing_m: float
) -> ShiftField:
    """Draw the most likely smooth field through shifts that are known with some error.

    It is simple kriging (Matheron 1963) of the differences from the base: where windows are few,
    far, or unsure, the field goes back to the base, and where they differ from it by no more than
    their errors, it is the base everywhere.

    Args:
        windows: shifts that are believed.
        base: the shift for all, east and north [m].
        spacing_m: distance between neighbouring windows [m].
    """
    places = np.array([[window.x_m, window.y_m] for window in windows], float).reshape(-1, 2)
    found = np.array([[window.east_m, window.north_m] for window in windows], float).reshape(-1, 2)
    spread = np.array([window.spread_m for window in windows], float)
    errors = (spread / SPREAD_TO_SIGMA) ** 2 + LEAST_ERROR_M**2
    added = found - np.array(base)
    varies = float(np.mean(added**2 - errors[:, None])) if windows else 0.0
    weights, length_m = np.zeros_like(added), SMOOTH * spacing_m
    if varies > 0:
        alike = varies * likeness(places, places, length_m)
        weights = varies * np.linalg.solve(alike + np.diag(errors), added)
    return ShiftField(base=base, places=places, weights=weights, length_m=length_m)
