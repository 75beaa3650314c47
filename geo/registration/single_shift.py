"""How far canopy heights lie beside their image, how sure that is, and whether to move them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from geo.errors import ApartError, GeoError
from geo.registration.shift_evidence import (
    block_counts,
    canopy_template,
    explained,
    image_features,
    moments,
)
from geo.registration.shift_grid import ShiftGrid, reach_px
from geo.registration.sun_search import find_sun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geo.registration.shift_evidence import Array, View
    from geo.simulation.light import SunSettings

RESAMPLES = 100
"""Draws of blocks with replacement, from which the spread is found (Efron 1979)."""

SHARE_OF_PIXEL = 1 / 3
"""Share of the heights' own pixel [m/m] within which a shift is known at best.

In the mean or the highest of a pixel crowns are blunt: their shadows are not those of the image.
Nine of ten shifts of twelve simulated worlds, with pixels of 1 to 3 m, were found as well as this.
"""

LEAST_GROUND_M2 = 60.0
"""Image and heights must share so much ground [m2]."""

Verdict = Literal["shifted", "aligned", "unclear"]


@dataclass(frozen=True, kw_only=True)
class RegistrationSettings:
    """How a shift is looked for and when it is believed.

    The limits were set on real plots of 20 and 40 m: of 228 images that were given the heights of
    another plot, none passed them.

    Attributes:
        max_shift_m: farthest shift that is looked for [m].
        least_score: share of the image's variation that must be explained.
        most_spread_m: nine of ten resamples must agree within so much [m].
        least_lead: times by which the score must exceed that of any shift more than 2 m away.
        least_gain: times by which it must exceed that of no shift for heights to be moved.
        least_wins: share of the resamples in which it must do better than no shift.
        least_shift_m: shorter shifts are within what lidar and imagery are good for [m].
    """

    max_shift_m: float = 6.0
    least_score: float = 0.12
    most_spread_m: float = 0.8
    least_lead: float = 1.3
    least_gain: float = 1.1
    least_wins: float = 0.95
    least_shift_m: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a distance that cannot be searched.

        Raises:
            GeoError: as said.
        """
        if not 1.0 <= self.max_shift_m <= 30.0:  # noqa: PLR2004 - beyond, crowns repeat
            msg = (
                f"max shift {self.max_shift_m} m: expected 1 to 30 m, georeference it better first"
            )
            raise GeoError(msg)


@dataclass(frozen=True, kw_only=True)
class Registration:
    """Where heights fit their image best.

    Attributes:
        east_m: what is added to the heights' x [m].
        north_m: what is added to the heights' y [m].
        score: share of the image's variation that the heights explain there, 0 to 1.
        score_unmoved: the same without a shift.
        score_elsewhere: the best under any sun of shifts that lie more than 2 m from the best.
        spread_m: nine of ten resamples of the ground lie within so much of the shift [m]; no less
            than SHARE_OF_PIXEL of the heights' own pixel.
        sun_azimuth_deg: of the sun that explains the image best, clockwise from north [degrees];
            coarse.
        sun_elevation_deg: of it above the horizon [degrees]; coarse too.
        verdict: whether heights lie elsewhere, where they should, or the evidence does not say.
        reason: why, in words.
    """

    east_m: float
    north_m: float
    score: float
    score_unmoved: float
    score_elsewhere: float
    spread_m: float
    sun_azimuth_deg: float
    sun_elevation_deg: float
    verdict: Verdict
    reason: str

    @property
    def confident(self) -> bool:
        """Whether the shift is known, be it none."""
        return self.verdict != "unclear"

    @property
    def distance_m(self) -> float:
        """Length of the shift [m]."""
        return math.hypot(self.east_m, self.north_m)


def register_views(
    views: Sequence[View], pixel_m: float, settings: RegistrationSettings
) -> Registration:
    """Find how far heights lie beside their image.

    Args:
        views: pieces of ground on one north-up grid, that are all shifted alike; the heights must
            reach at least the farthest shift beyond the image, known there or not.
        pixel_m: side of a pixel [m].
        settings: how far is searched, and what is believed.

    Raises:
        ApartError: the views share no ground with heights.
    """
    grid = ShiftGrid(reach=reach_px(settings.max_shift_m, pixel_m), pixel_m=pixel_m)
    refuse_apart(views, pixel_m)
    features = [image_features(view, pixel_m) for view in views]
    canopies = [canopy_template(view, pixel_m) for view in views]
    sun, lights, rivals = find_sun(views, features, canopies, grid)
    sums = np.concatenate(
        [
            moments(view, ours, np.stack([canopy, light]), grid.shifts,
                    block_counts(view.image_known.shape, pixel_m))
            for view, ours, canopy, light in zip(views, features, canopies, lights, strict=True)
        ],
        axis=1,
    )  # fmt: skip
    coarsest_m = max(view.heights_pixel_m for view in views)
    return judge(sums, grid, (sun, rivals), settings, coarsest_m)


def refuse_apart(views: Sequence[View], pixel_m: float) -> None:
    """Refuse an image and heights that do not share enough ground.

    Raises:
        ApartError: as said.
    """
    shared = 0
    for view in views:
        inner = slice(view.margin, -view.margin or None)
        shared += int((view.image_known & view.heights_known[inner, inner]).sum())
    if shared * pixel_m**2 < LEAST_GROUND_M2:
        msg = (
            f"image and heights share {shared * pixel_m**2:.0f} m2 of known ground: expected "
            f"{LEAST_GROUND_M2:.0f} or more, check their coordinates, and that the heights are "
            "metres above ground"
        )
        raise ApartError(msg)


def judge(
    sums: Array,
    grid: ShiftGrid,
    light: tuple[SunSettings, Array],
    settings: RegistrationSettings,
    heights_pixel_m: float,
) -> Registration:
    """Return the best shift, and what is to be thought of it.

    Args:
        sums: (shifts, blocks, n, n) of :func:`geo.registration.shift_evidence.moments`.
        grid: the shifts.
        light: the sun that lights the heights, and for each coarse shift the score under its own
            best sun: where only slopes are seen, another shift under another sun looks the same.
        settings: what is believed.
        heights_pixel_m: side of the heights' own pixel [m].
    """
    scores = explained(sums.sum(1), grid.pixel_m)
    east, north = grid.peak(scores)
    sun, rivals = light
    elsewhere = max(grid.best_beyond(table, east, north) for table in (scores, rivals))
    spread, wins = resample(sums, grid, (east, north))
    at_best = SHARE_OF_PIXEL * heights_pixel_m
    facts = {
        "score": float(scores.max()),
        "score_unmoved": float(scores[len(scores) // 2]),
        "score_elsewhere": elsewhere,
        "spread_m": spread,
    }
    doubt = coarse_words(heights_pixel_m, settings) or doubts(
        facts, settings, at_edge=grid.at_edge(east, north)
    )
    verdict: Verdict = "unclear"
    reason = doubt
    if not doubt:
        told = replace(settings, least_shift_m=max(settings.least_shift_m, at_best))
        verdict, reason = decide(facts, math.hypot(east, north), wins, told)
    return Registration(
        east_m=east, north_m=north, **facts | {"spread_m": max(spread, at_best)},
        sun_azimuth_deg=sun.azimuth_deg, sun_elevation_deg=sun.elevation_deg,
        verdict=verdict, reason=reason,
    )  # fmt: skip


def resample(
    sums: Array, grid: ShiftGrid, found: tuple[float, float], seed: int = 0
) -> tuple[float, float]:
    """Return how far shifts from other draws of the blocks lie from one, and how often they win.

    Returns:
        Distance [m] that nine of ten keep; share in which the found shift beats none.
    """
    rng, blocks = np.random.default_rng(seed), sums.shape[1]
    # The centre of the table is no shift; the winner is the pixel nearest to the found shift.
    middle = (grid.side**2) // 2
    winner = middle + round(found[0] / grid.pixel_m) - round(found[1] / grid.pixel_m) * grid.side
    away, wins = [], []
    for _ in range(RESAMPLES):
        weights = rng.multinomial(blocks, np.full(blocks, 1 / blocks))
        scores = explained(np.tensordot(sums, weights, (1, 0)), grid.pixel_m)
        east, north = grid.peak(scores)
        away.append(math.hypot(east - found[0], north - found[1]))
        wins.append(bool(scores[winner] > scores[middle]))
    return float(np.quantile(away, 0.9)), float(np.mean(wins))


def coarse_words(heights_pixel_m: float, settings: RegistrationSettings) -> str:
    """Return why heights are too coarse for a shift to be believed, or nothing."""
    # Rounded, so that pixels of just the limit pass however they are measured on the ground.
    at_best = round(SHARE_OF_PIXEL * heights_pixel_m, 2)
    if at_best <= settings.most_spread_m:
        return ""
    return (
        f"heights with pixels of {heights_pixel_m:.2f} m tell a shift within {at_best:.2f} m at "
        f"best, {settings.most_spread_m:g} m are expected: give heights of "
        f"{settings.most_spread_m / SHARE_OF_PIXEL:.1f} m or finer"
    )


def doubts(facts: dict[str, float], settings: RegistrationSettings, *, at_edge: bool) -> str:
    """Return why a shift is not to be believed, or nothing."""
    score, elsewhere, spread = facts["score"], facts["score_elsewhere"], facts["spread_m"]
    if score < settings.least_score:
        return (
            f"the heights explain {score:.0%} of the image at best, {settings.least_score:.0%} "
            "are expected: too few trees, or those of another place or year"
        )
    if at_edge:
        return (
            f"the best shift is one of the farthest that were tried, {settings.max_shift_m:g} m: "
            "it may lie beyond, or be chance"
        )
    if score < settings.least_lead * elsewhere:
        return f"another shift explains nearly as much: {elsewhere:.0%} beside {score:.0%}"
    if spread > settings.most_spread_m:
        return (
            f"parts of the ground disagree by {spread:.1f} m, at most "
            f"{settings.most_spread_m:g} m are expected"
        )
    return ""


def decide(
    facts: dict[str, float], distance_m: float, wins: float, settings: RegistrationSettings
) -> tuple[Literal["shifted", "aligned"], str]:
    """Return whether a shift that is believed is worth moving heights, and why."""
    score, unmoved = facts["score"], facts["score_unmoved"]
    if distance_m < settings.least_shift_m:
        return "aligned", f"{distance_m:.1f} m is within what imagery and lidar are good for"
    if score < settings.least_gain * unmoved or wins < settings.least_wins:
        return "aligned", (
            f"moving would explain {score:.1%} of the image, not moving {unmoved:.1%}: not better "
            "by enough"
        )
    return "shifted", (
        f"the heights explain {score:.0%} of the image when moved and {unmoved:.0%} when not"
    )
