"""The shifts that are tried, and where between them the best one is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from geo.registration.shift_evidence import Array, Shift

COARSE_M = 1.2
"""Step of the shifts under which suns are tried [m]."""

OTHER_PEAK_M = 2.0
"""What lies farther from the best shift is another one [m]."""


def reach_px(distance_m: float, pixel_m: float) -> int:
    """Return how many pixels are needed to shift by a distance [m]."""
    return math.ceil(distance_m / pixel_m - 1e-6)


@dataclass(frozen=True, kw_only=True)
class ShiftGrid:
    """All whole-pixel shifts within a distance.

    Attributes:
        reach: farthest shift down, up, right or left [px].
        pixel_m: side of a pixel [m].
    """

    reach: int
    pixel_m: float

    @property
    def side(self) -> int:
        """Shifts along each axis."""
        return 2 * self.reach + 1

    @property
    def shifts(self) -> list[Shift]:
        """Shifts down and right [px], row by row."""
        steps = range(-self.reach, self.reach + 1)
        return [(down, right) for down in steps for right in steps]

    @property
    def coarse(self) -> list[Shift]:
        """Every so many of them, none included."""
        step = max(1, round(COARSE_M / self.pixel_m))
        most = self.reach // step * step
        steps = range(-most, most + 1, step)
        return [(down, right) for down in steps for right in steps]

    def peak(self, scores: Array) -> tuple[float, float]:
        """Return the shift with the best score east and north [m], between the pixels."""
        table = scores.reshape(self.side, self.side)
        row, column = np.unravel_index(int(np.argmax(table)), table.shape)
        down = row + crest(table[:, column], int(row)) - self.reach
        right = column + crest(table[row], int(column)) - self.reach
        return float(right * self.pixel_m), float(-down * self.pixel_m)

    def at_edge(self, east_m: float, north_m: float) -> bool:
        """Whether a shift [m] is one of the farthest, so that a better one may lie beyond."""
        return math.hypot(east_m, north_m) > (self.reach - 1) * self.pixel_m

    def best_beyond(self, scores: Array, east_m: float, north_m: float) -> float:
        """Return the best score of all shifts that are another one than a given shift.

        Args:
            scores: of all shifts, or of the coarse ones.
            east_m: the given shift [m].
            north_m: likewise.
        """
        shifts = self.shifts if len(scores) == self.side**2 else self.coarse
        places = np.array(shifts, float) * self.pixel_m
        distance = np.hypot(places[:, 1] - east_m, -places[:, 0] - north_m)
        return float(scores[distance > OTHER_PEAK_M].max(initial=0.0))


def crest(values: Array, index: int) -> float:
    """Return where a parabola through a greatest value and its neighbours is highest, from it."""
    if not 0 < index < len(values) - 1:
        return 0.0
    before, here, after = values[index - 1 : index + 2].tolist()
    bend = before - 2 * here + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0
