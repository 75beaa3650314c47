"""Whether heights lie beside their image by another shift in every place, and by which.

A smooth field is drawn through the windows whose own evidence is strong. It is believed only if it
does better than one shift for all where it was not drawn from: a quarter of the windows, every
second one down and across, is held aside in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geo.registration.shift_field import MOST_LOCAL_M, ShiftField, draw_field
from geo.registration.window_shifts import WindowShift, agreeing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geo.registration.shift_evidence import Array
    from geo.registration.shift_grid import ShiftGrid
    from geo.registration.single_shift import Registration, RegistrationSettings

WINDOW_M = 60.0
"""Side of a window [m]: as many crowns as a global shift needs, as little ground as that takes."""

LEAST_WINDOWS = 9
"""Smaller scenes have one shift."""

LEAST_AGREEING = 6
"""From fewer windows no field is drawn."""

LEAST_LOCAL_GAIN = 1.03
"""Times by which held-aside windows must be explained better than by one shift for all."""

RESAMPLES = 200

Pair = tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalRegistration:
    """What came of looking for a shift in every window of a scene.

    Attributes:
        windows: windows with enough ground in common.
        strong: those whose own evidence is strong.
        agreeing: those of them that agree with their neighbours; the field is drawn from them.
        east_m: least and greatest shift east of these [m].
        north_m: likewise north [m].
        largest_m: nine of ten windows lie nearer than this to the one shift for all [m].
        score_one: share of the image that the one shift for all explains, over all windows.
        score_local: the same by fields that were drawn without the window in question.
        wins: share of resamples of the windows in which the fields do better.
        better: whether the field is believed.
        reason: why, in words.
        field: the field.
    """

    windows: int
    strong: int
    agreeing: int
    east_m: Pair
    north_m: Pair
    largest_m: float
    score_one: float
    score_local: float
    wins: float
    better: bool
    reason: str
    field: ShiftField


def register_locally(
    windows: Sequence[WindowShift],
    grid: ShiftGrid,
    found: Registration,
    spacing_m: float,
    settings: RegistrationSettings,
) -> LocalRegistration:
    """Draw a field of shifts through windows, and say whether it is better than one for all.

    Args:
        windows: all windows of a scene with enough ground in common, none overlapping another.
        grid: the shifts that were tried in each.
        found: the one shift for all.
        spacing_m: distance between neighbouring windows [m].
        settings: what is believed.
    """
    one = applied_shift(found)
    base = base_of(windows, found)
    drawn_from = agreeing(windows, spacing_m, base, MOST_LOCAL_M)
    field = draw_field(drawn_from, base, spacing_m)
    held_aside = held_aside_shifts(windows, found, spacing_m)
    scores = np.array(
        [
            [window.score_at(shift, grid) for shift in (one, (float(east), float(north)))]
            for window, (east, north) in zip(windows, held_aside, strict=True)
        ]
    ).reshape(-1, 2)
    weights = np.array([window.known_m2 for window in windows])
    largest = ninth(field, windows, one)
    means = weights @ scores / max(weights.sum(), 1.0)
    facts = {
        "largest_m": largest,
        "score_one": float(means[0]) if windows else 0.0,
        "score_local": float(means[1]) if windows else 0.0,
        "wins": win_share(scores, weights),
    }
    doubt = local_doubts(len(windows), len(drawn_from), facts, settings)
    return LocalRegistration(
        windows=len(windows), strong=sum(window.strong for window in windows),
        agreeing=len(drawn_from),
        east_m=ends([window.east_m for window in drawn_from]),
        north_m=ends([window.north_m for window in drawn_from]),
        **facts, better=not doubt, reason=doubt or gain_words(facts), field=field,
    )  # fmt: skip


def applied_shift(found: Registration) -> Pair:
    """Return the one shift that is applied: none where the best is not surely better."""
    return (found.east_m, found.north_m) if found.verdict == "shifted" else (0.0, 0.0)


def base_of(windows: Sequence[WindowShift], found: Registration) -> Pair:
    """Return the shift that local ones differ from: the global one, or what most windows say.

    Where parts of the ground disagree, the global shift is unclear although each part is sure.
    """
    strong = [(window.east_m, window.north_m) for window in windows if window.strong]
    if found.confident or not strong:
        return applied_shift(found)
    east, north = np.median(strong, axis=0).tolist()
    return east, north


def held_aside_shifts(
    windows: Sequence[WindowShift], found: Registration, spacing_m: float
) -> Array:
    """Return for each window the shift (n, 2) [m] of a field that was drawn without it."""
    shifts = np.zeros((len(windows), 2))
    parts = np.array([window.part for window in windows], int)
    places = np.array([[window.x_m, window.y_m] for window in windows]).reshape(-1, 2)
    for part in np.unique(parts):
        others = [window for window in windows if window.part != part]
        base = base_of(others, found)
        field = draw_field(agreeing(others, spacing_m, base, MOST_LOCAL_M), base, spacing_m)
        shifts[parts == part] = field.at(places[parts == part])
    return shifts


def ninth(field: ShiftField, windows: Sequence[WindowShift], one: Pair) -> float:
    """Return how far [m] from the one shift nine of ten windows lie at most."""
    if not windows:
        return 0.0
    shifts = field.at(np.array([[window.x_m, window.y_m] for window in windows]))
    return float(np.quantile(np.hypot(*(shifts - np.array(one)).T), 0.9))


def win_share(scores: Array, weights: Array, seed: int = 0) -> float:
    """Return in which share of resamples of the windows fields do better than one shift.

    Args:
        scores: of one shift and of fields (n, 2).
        weights: of the windows (n,).
        seed: of the resamples.
    """
    if not len(scores):
        return 0.0
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(scores), np.full(len(scores), 1 / len(scores)), RESAMPLES)
    gains = draws @ (weights * (scores[:, 1] - scores[:, 0]))
    return float(np.mean(gains > 0))


def local_doubts(
    windows: int, drawn_from: int, facts: dict[str, float], settings: RegistrationSettings
) -> str:
    """Return why one shift for all is kept, or nothing."""
    if drawn_from < max(LEAST_AGREEING, windows / 5):
        return f"{drawn_from} of {windows} windows are sure and like their neighbours: too few"
    if facts["largest_m"] < settings.least_shift_m:
        return (
            f"local shifts differ from it by {facts['largest_m']:.1f} m, within what imagery and "
            "lidar are good for"
        )
    if (
        facts["score_local"] < LEAST_LOCAL_GAIN * facts["score_one"]
        or facts["wins"] < settings.least_wins
    ):
        return (
            f"windows held aside are explained to {facts['score_local']:.1%} by local shifts, to "
            f"{facts['score_one']:.1%} by one for all: not better by enough"
        )
    return ""


def gain_words(facts: dict[str, float]) -> str:
    """Return what a field gains."""
    return (
        f"windows held aside are explained to {facts['score_local']:.1%} by local shifts, to "
        f"{facts['score_one']:.1%} by one for all"
    )


def ends(values: Sequence[float]) -> Pair:
    """Return the least and the greatest value; 0 and 0 of none."""
    return (min(values), max(values)) if values else (0.0, 0.0)
