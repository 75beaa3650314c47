"""The shift of each of many windows of a scene, under the sun of the whole scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from geo.registration.shift_evidence import (
    block_counts,
    canopy_template,
    explained,
    image_features,
    light_template,
    moments,
)
from geo.registration.shift_grid import OTHER_PEAK_M
from geo.registration.single_shift import judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geo.registration.shift_evidence import Array, View
    from geo.registration.shift_grid import ShiftGrid
    from geo.registration.single_shift import RegistrationSettings
    from geo.simulation.light import SunSettings

NEIGHBOURS = 2.1
"""Windows within so many distances between windows are neighbours, 20 where none is missing."""

LEAST_NEIGHBOURS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowShift:
    """Where the heights of a window fit its image best.

    Attributes:
        row: which row of windows it is in, counted from 0.
        column: which column.
        x_m: its middle, in the CRS of the image's grid [m].
        y_m: likewise.
        east_m: what is added to the heights' x [m].
        north_m: what is added to the heights' y [m].
        spread_m: nine of ten resamples of its ground lie within so much of the shift [m].
        strong: whether the evidence passes what a global shift must.
        scores: share of the image explained under every shift (side, side).
        known_m2: ground that is known to both without a shift [m2].
    """

    row: int
    column: int
    x_m: float
    y_m: float
    east_m: float
    north_m: float
    spread_m: float
    strong: bool
    scores: Array
    known_m2: float

    @property
    def part(self) -> int:
        """Which of four parts it is held aside with: none of its eight neighbours is in it."""
        return 2 * (self.row % 2) + self.column % 2

    def score_at(self, shift: tuple[float, float], grid: ShiftGrid) -> float:
        """Return the share of the image that is explained under a shift east and north [m]."""
        column = grid.reach + shift[0] / grid.pixel_m
        row = grid.reach - shift[1] / grid.pixel_m
        return float(
            ndimage.map_coordinates(self.scores, [[row], [column]], order=1, mode="nearest")[0]
        )


@dataclass(frozen=True, kw_only=True)
class WindowPlace:
    """Which window of a scene a view is.

    Attributes:
        row: row of windows, counted from 0.
        column: column of windows.
        x_m: its middle, in the CRS of the image's grid [m].
        y_m: likewise.
    """

    row: int
    column: int
    x_m: float
    y_m: float


def shift_of_window(
    view: View,
    place: WindowPlace,
    grid: ShiftGrid,
    sun: SunSettings,
    settings: RegistrationSettings,
) -> WindowShift:
    """Find the shift of one window by the evidence that finds a global one.

    Args:
        view: the window.
        place: which one it is.
        grid: the shifts that are tried.
        sun: that of the whole scene.
        settings: what is believed.
    """
    templates = np.stack(
        [canopy_template(view, grid.pixel_m), light_template(view, grid.pixel_m, sun)]
    )
    blocks = block_counts(view.image_known.shape, grid.pixel_m)
    features = image_features(view, grid.pixel_m)
    sums = moments(view, features, templates, grid.shifts, blocks)
    rivals = np.zeros(len(grid.coarse))
    found = judge(sums, grid, (sun, rivals), settings, view.heights_pixel_m)
    middle = len(sums) // 2
    return WindowShift(
        **vars(place), east_m=found.east_m, north_m=found.north_m, spread_m=found.spread_m,
        strong=found.confident,
        scores=explained(sums.sum(1), grid.pixel_m).reshape(grid.side, grid.side),
        known_m2=float(sums[middle, :, 0, 0].sum()) * grid.pixel_m**2,
    )  # fmt: skip


def agreeing(
    windows: Sequence[WindowShift], spacing_m: float, base: tuple[float, float], most_m: float
) -> list[WindowShift]:
    """Return the strong windows that agree with their neighbours.

    A false match lies anywhere, so it lies far from the median of those around; a window with too
    few strong neighbours is not believed either.

    Args:
        windows: all of them.
        spacing_m: distance between neighbouring windows [m].
        base: the global shift, east and north [m].
        most_m: a local shift farther than this from it is not believed [m].
    """
    strong = [
        window
        for window in windows
        if window.strong and np.hypot(window.east_m - base[0], window.north_m - base[1]) <= most_m
    ]
    places = np.array([[window.x_m, window.y_m] for window in strong]).reshape(-1, 2)
    shifts = np.array([[window.east_m, window.north_m] for window in strong]).reshape(-1, 2)
    kept = []
    for number, window in enumerate(strong):
        away = np.hypot(*(places - places[number]).T)
        near = (away > 0) & (away <= NEIGHBOURS * spacing_m)
        if near.sum() < LEAST_NEIGHBOURS:
            continue
        if np.hypot(*(np.median(shifts[near], axis=0) - shifts[number])) <= OTHER_PEAK_M:
            kept.append(window)
    return kept
