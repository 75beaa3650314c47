"""From scattered log ratios to a smooth field: a robust kernel mean, shrunk towards no change.

At a place s, with shots i at distances d_i and log ratios y_i = ln(RH_i / map_i):

    k_i = exp(-d_i^2 / 2 h^2) within 3 h               kernel, h the bandwidth
    r_i = min(1, 1.345 sigma / |y_i - m|)              Huber's weights (Huber 1964)
    m   = sum(k_i r_i y_i) / sum(k_i r_i)              iterated; Nadaraya and Watson 1964
    n   = sum(k_i r_i)                                 shots, as if all lay at s
    f   = m n / (n + sigma^2 / tau^2)                  posterior mean of the log factor
    F   = exp(f), within limits

sigma is the noise of a shot: 1.4826 times the median magnitude of y_i - m_(-i), where m_(-i) leaves
the shot itself out. tau^2 is the variance of the signal about no change, by moments:
mean(m_(-i)^2) - sigma^2 mean(sum k^2 / (sum k)^2), at least 0. For a normal prior f ~ N(0, tau^2)
and n shots of variance sigma^2, f is the posterior mean; with few shots, or with ratios that are no
more than noise, it goes to 0 and the factor to 1.

Logarithms, because the ratio of two noisy heights is skewed and its logarithm is not: where map and
footprint do not quite cover the same trees, ln RH - ln map errs as often up as down, and an
unbiased map gets factors about 1. A regression of RH on the map would not do: noise in the map's
percentile flattens its slope (regression dilution).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from canopy.correction.settings import CorrectionSettings

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

BANDWIDTHS_M = (100.0, 200.0, 400.0, 800.0, 1600.0)
"""From which one is chosen on folds of ground [m]."""

NEIGHBOURS = 200
"""Shots that count at a place at most, the nearest: their mean is sure to a hundredth."""

REACH = 3.0
"""Bandwidths beyond which a shot does not count."""

HUBER = 1.345
"""95 % as efficient as the mean where noise is normal (Huber 1964)."""

ROUNDS = 4
CHUNK = 8192
"""Places that are in memory with their neighbours at a time."""

MAD_TO_SIGMA = 1.4826
LEAST_WEIGHT = 1e-12
"""Keeps what is divided by from 0."""

LEAST_NOISE = 0.02
"""Noise of a log ratio is taken as that at least: lidar itself is no better."""

OUTLIER_NEIGHBOURS, OUTLIER_SIGMAS, OUTLIER_LEAST_NOISE = 25, 4.0, 0.05


@dataclass(frozen=True, kw_only=True)
class Near:
    """Ratios near places, nearest first.

    Attributes:
        values: log ratios (places, neighbours).
        distance: of them (places, neighbours) [m]; infinite where there is none.
    """

    values: Array
    distance: Array


@dataclass(frozen=True, kw_only=True)
class Ratios:
    """Log ratios at places.

    Attributes:
        places: metres right and down of the map's corner (n, 2) [true m].
        values: ln(RH / map) (n,).
    """

    places: Array
    values: Array

    def __len__(self) -> int:
        """Return how many there are."""
        return self.values.size

    def part(self, kept: Mask) -> Ratios:
        """Return some of them."""
        return Ratios(places=self.places[kept], values=self.values[kept])

    @cached_property
    def others(self) -> Near:
        """The ratios near each one, without itself: searched once, for every bandwidth."""
        return self._search(self.places, min(NEIGHBOURS, len(self) - 1), skipped=1)

    def near(self, places: Array) -> Near:
        """Return the ratios near places (m, 2) [m]."""
        return self._search(places, min(NEIGHBOURS, len(self)), skipped=0)

    def _search(self, places: Array, count: int, *, skipped: int) -> Near:
        """Return the nearest ratios after some that are skipped: the nearest to one is itself."""
        if count < 1:
            none = np.zeros((len(places), 1))
            return Near(values=none, distance=none + np.inf)
        ranks = np.arange(skipped + 1, skipped + count + 1)
        distance, index = cKDTree(self.places).query(places, k=ranks)
        return Near(values=self.values[index], distance=distance)


@dataclass(frozen=True, kw_only=True)
class SmoothField:
    """A smooth log factor everywhere.

    Attributes:
        ratios: what it rests on.
        bandwidth_m: standard deviation of the kernel [m].
        noise: sigma of a log ratio.
        signal: tau, standard deviation of the log factor about 0.
        limits: least and greatest factor.
    """

    ratios: Ratios
    bandwidth_m: float
    noise: float
    signal: float
    limits: tuple[float, float]

    def at(self, places: Array) -> tuple[Array, Array]:
        """Return log factors and the shots n that count, at places (m, 2) [true m]."""
        if not len(self.ratios) or self.signal <= 0:
            return np.zeros(len(places)), np.zeros(len(places))
        parts = np.array_split(places, max(1, len(places) // CHUNK))
        found = [self.from_near(self.ratios.near(part)) for part in parts]
        logs, counts = (np.concatenate(values) for values in zip(*found, strict=True))
        return logs, counts

    def from_near(self, near: Near) -> tuple[Array, Array]:
        """Return log factors and the shots that count, from the ratios near places."""
        if self.signal <= 0:
            return np.zeros(len(near.values)), np.zeros(len(near.values))
        mean, count, _ = local_mean(near, self.bandwidth_m, self.noise)
        shrunk = mean * count / (count + (self.noise / self.signal) ** 2)
        low, high = np.log(self.limits)
        return np.clip(shrunk, low, high), count


def fit_field(ratios: Ratios, bandwidth_m: float, limits: tuple[float, float]) -> SmoothField:
    """Estimate noise and signal of ratios for a bandwidth [m]."""
    field = SmoothField(
        ratios=ratios, bandwidth_m=bandwidth_m, noise=LEAST_NOISE, signal=0.0, limits=limits
    )
    if len(ratios) < 2:  # noqa: PLR2004 - nothing is left to leave out
        return field
    noise = spread(ratios.values - np.median(ratios.values))
    mean, count, share = local_mean(ratios.others, bandwidth_m, noise)
    known = count > 0
    if not known.any():
        return field
    noise = spread((ratios.values - mean)[known])
    signal = float(np.mean(mean[known] ** 2) - noise**2 * np.mean(share[known]))
    return replace(field, noise=noise, signal=float(np.sqrt(max(signal, 0.0))))


def spread(residuals: Array) -> float:
    """Return the standard deviation that the median magnitude of residuals stands for."""
    return max(LEAST_NOISE, MAD_TO_SIGMA * float(np.median(np.abs(residuals))))


def local_mean(near: Near, bandwidth_m: float, noise: float) -> tuple[Array, Array, Array]:
    """Return the robust kernel mean of ratios.

    Args:
        near: ratios near each place.
        bandwidth_m: of the kernel [m].
        noise: sigma of a ratio, for Huber's weights.

    Returns:
        Mean m, weight n and sum k^2 / (sum k)^2 at each place (m,); mean and weight 0 and share 1
        where no shot is within reach.
    """
    away = near.distance / bandwidth_m
    kernel = np.where(away <= REACH, np.exp(-0.5 * np.minimum(away, REACH) ** 2), 0.0)
    weight, mean = kernel, np.zeros(len(kernel))
    for _ in range(ROUNDS):
        total = np.maximum(weight.sum(axis=1), LEAST_WEIGHT)
        mean = (weight * near.values).sum(axis=1) / total
        off = np.maximum(np.abs(near.values - mean[:, None]), LEAST_WEIGHT)
        weight = kernel * np.minimum(1.0, HUBER * noise / off)
    total = kernel.sum(axis=1)
    squares = (kernel**2).sum(axis=1)
    share = np.where(total > 0, squares / np.maximum(total, LEAST_WEIGHT) ** 2, 1.0)
    return mean, weight.sum(axis=1), share


def outliers(ratios: Ratios) -> Mask:
    """Return which ratios their neighbours do not support (n,).

    Beyond four sigma from the median of the 25 nearest others: clouds, power lines, trees felled
    since the image was taken. Sigma is that of all such differences, or that of the neighbours
    among themselves where it is larger: along the border of two regions they differ by right.
    """
    if len(ratios) < OUTLIER_NEIGHBOURS:
        return np.zeros(len(ratios), bool)
    nearest = ratios.others.values[:, :OUTLIER_NEIGHBOURS]
    middle = np.median(nearest, axis=1)
    off = np.abs(ratios.values - middle)
    around = MAD_TO_SIGMA * np.median(np.abs(nearest - middle[:, None]), axis=1)
    far: Mask = off > OUTLIER_SIGMAS * np.maximum(max(OUTLIER_LEAST_NOISE, spread(off)), around)
    return far


def choose_bandwidth(
    ratios: Ratios, folds: NDArray[np.int64], settings: CorrectionSettings
) -> tuple[float, dict[float, float]]:
    """Return the bandwidth [m] that foretells ratios of folds left out best.

    Returns:
        The bandwidth, and the mean magnitude of what it leaves unexplained, by bandwidth.
    """
    if settings.bandwidth_m is not None:
        return settings.bandwidth_m, {}
    missed = np.zeros((len(BANDWIDTHS_M), len(ratios)))
    for fold in np.unique(folds):
        out = folds == fold
        others = ratios.part(~out)
        near = others.near(ratios.places[out]) if len(others) else None
        for number, bandwidth in enumerate(BANDWIDTHS_M):
            missed[number, out] = ratios.values[out]
            if near is not None:
                field = fit_field(others, bandwidth, settings.limits)
                missed[number, out] -= field.from_near(near)[0]
    errors = dict(zip(BANDWIDTHS_M, np.abs(missed).mean(axis=1).tolist(), strict=True))
    return min(errors, key=errors.__getitem__), errors


def candidates(settings: CorrectionSettings) -> Sequence[float]:
    """Return the bandwidths that are tried [m]."""
    return BANDWIDTHS_M if settings.bandwidth_m is None else (settings.bandwidth_m,)
