"""Footprints of a spaceborne laser like GEDI: relative heights from the returns within them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geo.simulation.place import chance_of
from geo.simulation.points import BUILDING, GROUND, NOISE, WATER

if TYPE_CHECKING:
    from geo.simulation.instruments import FootprintSettings
    from geo.simulation.place import Plane
    from geo.simulation.points import PointCloud

Values = NDArray[np.float64]

BEAMS = (
    ("BEAM0000", False), ("BEAM0001", False), ("BEAM0010", False), ("BEAM0011", False),
    ("BEAM0101", True), ("BEAM0110", True), ("BEAM1000", True), ("BEAM1011", True),
)  # fmt: skip
"""GEDI's beams, and whether they have full power (Dubayah et al. 2020)."""

RANKS = np.arange(101)
"""Percent of the returned energy that lies below a relative height."""
BIN_M = 0.15
"""Distance of two samples of a waveform, one nanosecond [m]."""
REACH = 3.0
"""Standard deviations of the footprint beyond which its energy is left out."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Footprints:
    """Footprints, one a place in each array (footprints,).

    Attributes:
        x: Reported metres east of the lower left corner of the world.
        y: Reported metres north of it.
        true_x: Where it was, east.
        true_y: Where it was, north.
        track: Number of the track.
        beam: Name of the beam.
        full_power: Whether the beam has full power.
        sensitivity: Canopy cover through which it finds the ground.
        cover: Share of the energy that does not come from ground, roofs or water.
        ground_m: Elevation of the ground that it found [m].
        true_ground_m: Mean elevation of the ground, by energy [m].
        rh: Relative heights of 0 to 100 percent of the energy (footprints, 101) [m].
        true_rh98: Relative height of 98 percent without pulse and errors [m].
        quality: Whether the ground was found.
    """

    x: Values
    y: Values
    true_x: Values
    true_y: Values
    track: NDArray[np.int64]
    beam: NDArray[np.str_]
    full_power: NDArray[np.bool_]
    sensitivity: Values
    cover: Values
    ground_m: Values
    true_ground_m: Values
    rh: NDArray[np.float32]
    true_rh98: Values
    quality: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of footprints."""
        return self.x.size


def shoot(
    points: PointCloud, ground: Plane, gsd_m: float, settings: FootprintSettings, seed: int
) -> Footprints:
    """Return the footprints of a world, each wholly within it.

    Relative heights are those of the energy that the laser points within a footprint stand for,
    as in the simulator of Hancock et al. 2019; they count from the mean ground below the energy.

    Args:
        points: All points of the world.
        ground: Elevation of the ground [m] (rows, columns), north up.
        gsd_m: Side of a pixel of `ground` [m].
        settings: How it is measured.
        seed: Of the world.
    """
    rng = chance_of(seed, "footprints")
    side_m = ground.shape[0] * gsd_m
    x, y, track = _tracks(rng, side_m, settings)
    order = np.argsort(points.y, kind="stable")
    northing = points.y[order]
    shots = []
    for place in zip(x, y, strict=True):
        near = _points_near(points, order, northing, place, REACH * settings.sigma_m)
        level = _mean_ground(ground, gsd_m, place, settings.sigma_m)
        shots.append(_waveform(points, near, place, level, settings))
    return _measured(rng, x, y, track, shots, settings)


def _points_near(
    points: PointCloud,
    order: NDArray[np.int64],
    northing: Values,
    place: tuple[float, float],
    reach: float,
) -> NDArray[np.int64]:
    """Return the points within reach [m] of a place, by their order from south to north."""
    south, north = np.searchsorted(northing, (place[1] - reach, place[1] + reach))
    band = order[south:north]
    away = np.hypot(points.x[band] - place[0], points.y[band] - place[1])
    near: NDArray[np.int64] = band[(away <= reach) & (points.kind[band] != NOISE)]
    return near


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shot:
    """What came back from one footprint, before errors."""

    ground_m: float
    cover: float
    exact: Values
    smeared: Values


def _tracks(
    rng: np.random.Generator, side_m: float, settings: FootprintSettings
) -> tuple[Values, Values, NDArray[np.int64]]:
    """Return x, y [m] and track of the shots whose energy falls within a world."""
    count = int(1.5 * side_m / min(settings.along_m, settings.across_m)) + 2
    track, shot = (steps.ravel() for steps in np.meshgrid(*[np.arange(-count, count + 1)] * 2))
    turn, start = np.radians(settings.heading_deg), rng.uniform(0, 1, 2)
    u, v = (track + start[0]) * settings.across_m, (shot + start[1]) * settings.along_m
    x = side_m / 2 + u * np.cos(turn) + v * np.sin(turn)
    y = side_m / 2 - u * np.sin(turn) + v * np.cos(turn)
    reach = REACH * settings.sigma_m
    inside = (np.minimum(x, y) >= reach) & (np.maximum(x, y) <= side_m - reach)
    return x[inside], y[inside], track[inside].astype(np.int64)


def _mean_ground(ground: Plane, gsd_m: float, place: tuple[float, float], sigma_m: float) -> float:
    """Return the mean elevation of the ground [m] under the energy of a footprint."""
    rows = (ground.shape[0] - np.arange(ground.shape[0]) - 0.5) * gsd_m - place[1]
    columns = (np.arange(ground.shape[1]) + 0.5) * gsd_m - place[0]
    near = [np.flatnonzero(np.abs(axis) <= REACH * sigma_m) for axis in (rows, columns)]
    down, across = (
        np.exp(-0.5 * (axis[part] / sigma_m) ** 2)
        for axis, part in zip((rows, columns), near, strict=True)
    )
    patch = ground[np.ix_(*near)].astype(np.float64)
    return float(down @ patch @ across / (down.sum() * across.sum()))


def _waveform(
    points: PointCloud,
    near: NDArray[np.int64],
    place: tuple[float, float],
    level: float,
    settings: FootprintSettings,
) -> _Shot:
    """Return the relative heights of the energy of points about a place."""
    away = np.hypot(points.x[near] - place[0], points.y[near] - place[1])
    energy = np.exp(-0.5 * (away / settings.sigma_m) ** 2) / points.of[near]
    height = points.z[near] - level
    bare = np.isin(points.kind[near], (GROUND, BUILDING, WATER))
    return _Shot(
        ground_m=level, cover=float(1 - energy[bare].sum() / energy.sum()),
        exact=relative_heights(height, energy),
        smeared=_smeared_heights(height, energy, settings.pulse_m),
    )  # fmt: skip


def relative_heights(height: Values, energy: Values) -> Values:
    """Return the heights below which 0 to 100 percent of the energy lies (101,)."""
    order = np.argsort(height)
    total = np.cumsum(energy[order])
    share = 100 * (total - 0.5 * energy[order]) / total[-1]
    return np.interp(RANKS, share, height[order])


def _smeared_heights(height: Values, energy: Values, pulse_m: float) -> Values:
    """Return the relative heights (101,) of a waveform that a pulse of some length drew out."""
    if pulse_m <= 0:
        return relative_heights(height, energy)
    low, high = height.min() - 4 * pulse_m, height.max() + 4 * pulse_m
    count = int((high - low) / BIN_M) + 1
    wave, edges = np.histogram(height, count, (low, low + count * BIN_M), weights=energy)
    wave = ndimage.gaussian_filter1d(wave, pulse_m / BIN_M, mode="constant", truncate=4)
    total = np.concatenate([[0.0], np.cumsum(wave)])
    # The ends lie where a waveform leaves its noise, not where the bell of the pulse does.
    ranks = np.clip(RANKS, 0.4, 99.6)
    heights: Values = np.interp(ranks, 100 * total / total[-1], edges)
    return heights


def _measured(
    rng: np.random.Generator,
    x: Values,
    y: Values,
    track: NDArray[np.int64],
    shots: list[_Shot],
    settings: FootprintSettings,
) -> Footprints:
    """Return the footprints as an instrument reports them, the truth beside."""
    beams = [BEAMS[number % len(BEAMS)] for number in track]
    full = np.array([power for _, power in beams], bool)
    sensitivity = settings.sensitivity - np.where(full, 0.0, 0.03) + rng.normal(0, 0.004, x.size)
    shift = _geolocation(rng, track, settings.geolocation_m)
    error = rng.normal(0, 1, x.size) * settings.error_m * np.where(full, 1.0, 1.5)
    cover = np.array([shot.cover for shot in shots])
    rh = np.array([shot.smeared for shot in shots]).reshape(x.size, RANKS.size)
    found = cover <= sensitivity
    # Where the ground drowns in the noise, the lowest leaves are taken for it.
    error = np.where(found, error, error + np.maximum(rh[:, 5], 0))
    level = np.array([shot.ground_m for shot in shots])
    return Footprints(
        x=x + shift[0], y=y + shift[1], true_x=x, true_y=y, track=track,
        beam=np.array([name for name, _ in beams], np.str_), full_power=full,
        sensitivity=np.clip(sensitivity, 0, 1), cover=cover,
        ground_m=level + error, true_ground_m=level, rh=(rh - error[:, None]).astype(np.float32),
        true_rh98=np.array([shot.exact[98] for shot in shots]), quality=found,
    )  # fmt: skip


def _geolocation(
    rng: np.random.Generator, track: NDArray[np.int64], sigma_m: float
) -> NDArray[np.float64]:
    """Return how far reported positions lie off (2, footprints) [m], mostly alike along a track."""
    numbers, which = np.unique(track, return_inverse=True)
    shared = rng.normal(0, 0.97, (2, numbers.size))[:, which]
    own = rng.normal(0, 0.24, (2, track.size))
    off: NDArray[np.float64] = (shared + own) * sigma_m / np.sqrt(2)
    return off
