"""How far the reported places of a track lie off: a search, believed only on clear evidence.

All shots of a GEDI track share most of their geolocation error, about 10 m. Each piece of a track
is moved over the map; at each shift v the misfit of shot i is

    e_i(v) = ln(RH_i + 1) - ln(F_i P_i(v) + 1),   c_i(v) = huber((e_i(v) - median e(v)) / sigma)

with P_i(v) the map's percentile within the moved footprint [m], F_i the factor field fitted without
shifts, and sigma that of e(0). The median of a piece is free and F follows the place, so that a
biased map does not pull the shift; the metre keeps bare ground, whose edges tell much, finite.

A shift is believed where it also fits shots that had no part in choosing it: each shot is left out
in turn, the shift v is chosen on the others of the piece, and its gain over no shift,
g_i = c_i(0) - c_i(v), is taken on the shot left out. The signed ranks of all g_i (Wilcoxon 1945)
must sum to more than chance gives once in twenty: ranks, because a few shots at the edges of stands
gain ten times what others do. A shift on the edge of the search is not believed: the true one may
lie beyond. Else the piece stays where it was reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from canopy.correction.factor_field import HUBER, spread

if TYPE_CHECKING:
    from canopy.correction.footprint_pairs import Pairs
    from canopy.correction.settings import CorrectionSettings

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

FEWEST_SHOTS = 12
"""A piece with fewer shots is not moved."""
SURE = 1.645
"""Standard errors by which the ranks of gains must exceed chance: one in twenty does by chance."""
OFFSET_M = 1.0


@dataclass(frozen=True, kw_only=True)
class PieceShift:
    """What was found of a piece of a track.

    Attributes:
        track: number of the track.
        shots: shots that took part.
        right_m, up_m: the best shift, added to reported places [true m].
        gain: mean gain of the misfit on shots kept aside, a share of the misfit without shift.
        surety: the signed ranks of the gains, in standard errors above chance.
        believed: whether the piece is moved.
        at_edge: whether the best shift lies on the edge of the search.
    """

    track: int
    shots: int
    right_m: float
    up_m: float
    gain: float
    surety: float
    believed: bool
    at_edge: bool


def pieces_of(pairs: Pairs, piece_m: float) -> NDArray[np.int64]:
    """Return the number of the piece of a track that each shot lies on (n,); -1 where unknown."""
    piece = np.full(len(pairs), -1, np.int64)
    first = 0
    places = np.stack([pairs.right, pairs.down], axis=1)
    for track in np.unique(pairs.track[pairs.track >= 0]):
        on = pairs.track == track
        along = positions_along(places[on])
        count = max(1, round(float(np.ptp(along)) / piece_m))
        edges = np.linspace(along.min(), along.max(), count + 1)[1:-1]
        piece[on] = first + np.digitize(along, edges)
        first += count
    return piece


def positions_along(places: Array) -> Array:
    """Return how far places (n, 2) lie along the line that fits them (n,) [m]."""
    centred = places - places.mean(axis=0)
    if len(places) < 2:  # noqa: PLR2004 - no line
        return np.zeros(len(places))
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    along: Array = centred @ axes[0]
    return along


def find_shifts(
    pairs: Pairs, learn: Mask, log_factor: Array, settings: CorrectionSettings
) -> tuple[NDArray[np.int64], list[PieceShift]]:
    """Search a shift for each piece of a track.

    Args:
        pairs: shots and the map beneath them at each shift.
        learn: shots that may be looked at (n,); the others of a piece move with it.
        log_factor: of the map at each shot (n,).
        settings: how.

    Returns:
        The number of each shot's shift (n,), 0 for none, and what was found by piece.
    """
    chosen = np.zeros(len(pairs), np.int64)
    found: list[PieceShift] = []
    if len(pairs.shifts) == 1:
        return chosen, found
    piece = pieces_of(pairs, settings.piece_m)
    misfit = misfits(pairs, log_factor)
    whole = np.isfinite(misfit).all(axis=1) & learn
    for number in range(int(piece.max(initial=-1)) + 1):
        on = piece == number
        told = np.flatnonzero(on & whole)
        if len(told) < FEWEST_SHOTS:
            continue
        best, gain, surety = best_shift(misfit[told])
        right, up = pairs.shifts[best]
        edge = bool(np.hypot(right, up) > settings.max_shift_m - settings.shift_step_m)
        believed = best != 0 and surety > SURE and not edge
        found.append(
            PieceShift(
                track=int(pairs.track[told[0]]),
                shots=len(told),
                right_m=float(right),
                up_m=float(up),
                gain=gain,
                surety=surety,
                believed=bool(believed),
                at_edge=edge,
            )
        )
        if believed:
            # At the edge of the map a moved footprint may leave it.
            stays = on & np.isfinite(pairs.heights[:, best])
            chosen[stays] = best
    return chosen, found


def misfits(pairs: Pairs, log_factor: Array) -> Array:
    """Return e_i(v) (n, s)."""
    corrected = pairs.heights * np.exp(log_factor)[:, None]
    misfit: Array = np.log(pairs.rh + OFFSET_M)[:, None] - np.log(corrected + OFFSET_M)
    return misfit


def best_shift(misfit: Array) -> tuple[int, float, float]:
    """Return the best shift of a piece, its gain kept aside as a share, and how sure it is.

    Args:
        misfit: (shots, shifts); the first is no shift.
    """
    sigma = spread(misfit[:, 0] - np.median(misfit[:, 0]))
    cost = huber((misfit - np.median(misfit, axis=0)) / sigma)
    best = int(np.argmin(cost.mean(axis=0)))
    chosen = np.argmin(cost.sum(axis=0) - cost, axis=1)
    gains = cost[:, 0] - cost[np.arange(len(cost)), chosen]
    before = float(cost[:, 0].mean())
    return best, float(gains.mean()) / before if before else 0.0, signed_ranks(gains)


def signed_ranks(gains: Array) -> float:
    """Return how far signed ranks of gains lie above chance, in standard errors (Wilcoxon 1945)."""
    told = gains[gains != 0]
    count = len(told)
    if not count:
        return 0.0
    ranks = stats.rankdata(np.abs(told))
    error = np.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    return float((ranks[told > 0].sum() - count * (count + 1) / 4) / error)


def huber(residuals: Array) -> Array:
    """Return Huber's loss of residuals in units of sigma."""
    size = np.abs(residuals)
    loss: Array = np.where(size <= HUBER, 0.5 * size**2, HUBER * (size - 0.5 * HUBER))
    return loss
