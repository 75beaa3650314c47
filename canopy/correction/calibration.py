"""From pairs to a field, and what the field is worth on ground it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from canopy.correction.applying import corrected
from canopy.correction.factor_field import (
    Ratios,
    SmoothField,
    candidates,
    choose_bandwidth,
    fit_field,
    outliers,
)
from canopy.correction.folds import blocks_of_ground, deal, far_from, fitting_block
from canopy.correction.footprint_pairs import log_ratio, usable
from canopy.correction.track_shifts import PieceShift, find_shifts
from canopy.height_errors import HeightErrors, height_errors

if TYPE_CHECKING:
    from canopy.correction.footprint_pairs import Pairs
    from canopy.correction.settings import CorrectionSettings

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

FEWEST_TO_LEARN = 10
ALIKE_M = 300.0
"""Side of pieces of ground within which shots may err alike [m]."""
SURE = 2.0
"""Standard errors by which the errors must fall on the folds before a map is touched."""


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """What shots say of a map.

    Attributes:
        chosen: number of each shot's shift (n,).
        shifts: what was found of the pieces of tracks.
        heights: the map's percentile at the shifted places (n,) [m].
        tall: shots that say something of the ratio (n,).
        broken: those of them that their neighbours do not support (n,).
        used: shots that the field rests on (n,).
        field: the field; None where there are too few.
        bandwidths: mean log error on inner folds by bandwidth that was tried.
    """

    chosen: NDArray[np.int64]
    shifts: list[PieceShift]
    heights: Array
    tall: Mask
    broken: Mask
    used: Mask
    field: SmoothField | None
    bandwidths: dict[float, float]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Errors on shots kept aside fold by fold; each was judged by a field it had no part in.

    Attributes:
        rh: relative heights (n,) [m].
        before, after: the map's percentile, uncorrected and corrected, at places that shots of
            other folds chose (n,) [m].
        counted: shots whose errors count: tall enough and not broken (n,).
        tall: the broken ones too (n,).
        blocks: piece of ground of each shot within which others may err alike (n,).
        block_m: side of the blocks that were dealt [true m].
        folds: how many folds there were.
    """

    rh: Array
    before: Array
    after: Array
    counted: Mask
    tall: Mask
    blocks: NDArray[np.int64]
    block_m: float
    folds: int

    def errors(self, heights: Array, which: Mask) -> HeightErrors | None:
        """Return errors of the map minus footprints over some shots; None over none."""
        return height_errors(heights[which], self.rh[which]) if which.any() else None

    @property
    def gain(self) -> tuple[float, float]:
        """By how much the mean absolute error falls, and the standard error of that [m].

        Shots of one piece of ground may err alike: the error is that of a sum over pieces.
        """
        off_before, off_after = np.abs(self.before - self.rh), np.abs(self.after - self.rh)
        gains = (off_before - off_after)[self.counted]
        if not gains.size:
            return 0.0, 0.0
        mean = float(gains.mean())
        sums = np.bincount(self.blocks[self.counted], gains - mean)
        return mean, float(np.sqrt(np.square(sums).sum())) / gains.size

    @property
    def is_better(self) -> bool:
        """Whether the errors fall, surely."""
        gain, error = self.gain
        return gain > 0 and gain > SURE * error


def places_of(pairs: Pairs) -> Array:
    """Return where shots were reported (n, 2) [true m]."""
    return np.stack([pairs.right, pairs.down], axis=1)


def calibrate(
    pairs: Pairs, learn: Mask, folds: NDArray[np.int64], settings: CorrectionSettings
) -> Calibrated:
    """Learn a field from some shots: places, then outliers, then bandwidth, then the field.

    Args:
        pairs: shots and the map beneath them.
        learn: shots that may be looked at (n,).
        folds: fold of each shot, from which a bandwidth is chosen (n,).
        settings: how.
    """
    trend = trend_of(pairs, learn, settings)
    chosen, shifts = find_shifts(pairs, learn, trend, settings)
    heights = pairs.heights[np.arange(len(pairs)), chosen].astype(np.float64)
    tall = usable(pairs.rh, heights, settings.least_height_m)
    every = ratios_at(pairs, heights)
    broken = np.zeros(len(pairs), bool)
    learned = tall & learn
    broken[learned] = outliers(every.part(learned))
    used = learned & ~broken
    field: SmoothField | None = None
    tried: dict[float, float] = {}
    if int(used.sum()) >= FEWEST_TO_LEARN:
        bandwidth, tried = choose_bandwidth(every.part(used), folds[used], settings)
        field = fit_field(every.part(used), bandwidth, settings.limits)
    return Calibrated(
        chosen=chosen, shifts=shifts, heights=heights, tall=tall, broken=broken, used=used,
        field=field, bandwidths=tried,
    )  # fmt: skip


def ratios_at(pairs: Pairs, heights: Array) -> Ratios:
    """Return log ratios of shots over a map at heights (n,) [m]."""
    return Ratios(places=places_of(pairs), values=log_ratio(pairs.rh, heights))


def trend_of(pairs: Pairs, learn: Mask, settings: CorrectionSettings) -> Array:
    """Return the log factor at each shot as unshifted places tell it (n,)."""
    heights = pairs.heights[:, 0].astype(np.float64)
    tall = learn & usable(pairs.rh, heights, settings.least_height_m)
    ratios = ratios_at(pairs, heights).part(tall)
    ratios = ratios.part(~outliers(ratios))
    if len(ratios) < FEWEST_TO_LEARN:
        return np.zeros(len(pairs))
    tried = candidates(settings)
    return fit_field(ratios, tried[len(tried) // 2], settings.limits).at(places_of(pairs))[0]


def judge(pairs: Pairs, settings: CorrectionSettings) -> tuple[Judged, NDArray[np.int64]]:
    """Judge shots fold by fold, each fold by a field from the others.

    Shifts of tracks, outliers and the bandwidth are found anew without the fold, and without shots
    within 50 m of it.

    Returns:
        The errors, and the fold of each shot (n,).
    """
    places = places_of(pairs)
    heights = pairs.heights[:, 0].astype(np.float64)
    folds, side = dealt(places, usable(pairs.rh, heights, settings.least_height_m), settings)
    before, after = heights.copy(), heights.copy()
    for fold in range(settings.folds):
        aside = folds == fold
        if not aside.any():
            continue
        found = calibrate(pairs, far_from(places, aside), folds, settings)
        before[aside] = after[aside] = found.heights[aside]
        if found.field is not None:
            factors = np.exp(found.field.at(places[aside])[0])
            after[aside] = corrected(before[aside], factors, settings.keep_below_m)
    tall = usable(pairs.rh, before, settings.least_height_m)
    broken = np.zeros(len(pairs), bool)
    broken[tall] = outliers(ratios_at(pairs, before).part(tall))
    judged = Judged(
        rh=pairs.rh, before=before, after=after, counted=tall & ~broken, tall=tall,
        blocks=blocks_of_ground(places, ALIKE_M, settings.folds)[0], block_m=side,
        folds=settings.folds,
    )  # fmt: skip
    return judged, folds


def dealt(
    places: Array, tall: Mask, settings: CorrectionSettings
) -> tuple[NDArray[np.int64], float]:
    """Return the fold of each shot (n,), and the side of the blocks of ground in them [m]."""
    # Blocks are measured and counted where there are trees: others tell nothing of the ratio.
    told = places[tall] if tall.any() else places
    side = settings.block_m or fitting_block(told)
    _, side = blocks_of_ground(told, side, settings.folds)
    return deal(blocks_of_ground(places, side, 0)[0], settings.folds, settings.seed), side
