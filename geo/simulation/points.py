"""Airborne laser scanning: pulses straight down, several returns, classes as surveyed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geo.simulation.place import chance_of, scatter, seed_of
from geo.simulation.species import SPECIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geo.simulation.instruments import LidarSettings
    from geo.simulation.scenery import Relief
    from geo.simulation.stands import Trees

Values = NDArray[np.float64]

GROUND, LOW, MEDIUM, HIGH, BUILDING, NOISE, WATER = 2, 3, 4, 5, 6, 7, 9
"""Classes of points of the ASPRS LAS specification 1.4."""
MEDIUM_M, HIGH_M = 2.0, 5.0
"""Heights from which vegetation is medium and high [m]."""

CANOPY_RETURNS = 3
"""Most returns that leaves give to one pulse; the ground may give one more."""
GOES_ON = (1.0, 0.5, 0.35)
"""Chance that a pulse has energy left for its first, second and third return from leaves."""
REACHES_GROUND = 0.25
"""Chance that a pulse whose last leaf return is weak still finds the ground through a gap."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PointCloud:
    """Returns of laser pulses, one a place in each array (points,).

    Attributes:
        x: Metres east of the lower left corner of the world.
        y: Metres north of it.
        z: Elevation [m].
        number: Number of the return in its pulse, from 1.
        of: Number of returns of its pulse.
        kind: Class of the LAS specification.
    """

    x: Values
    y: Values
    z: Values
    number: NDArray[np.uint8]
    of: NDArray[np.uint8]
    kind: NDArray[np.uint8]

    def __len__(self) -> int:
        """Return the number of points."""
        return self.x.size


def join_points(parts: Sequence[PointCloud]) -> PointCloud:
    """Return the points of several clouds as one."""
    return PointCloud(
        **{
            part.name: np.concatenate([getattr(cloud, part.name) for cloud in parts])
            for part in fields(PointCloud)
        }
    )


def scan(relief: Relief, trees: Trees, settings: LidarSettings, seed: int) -> PointCloud:
    """Return what a scanner measures of a window.

    A pulse falls on one fine pixel. In a crown its first return lies below the surface by an
    exponential depth, as the law of Beer and Lambert has it for evenly strewn leaves; ground,
    roofs and water return all of it at once.

    Args:
        relief: What stands in the window.
        trees: Those that `relief.canopy.owner` counts.
        settings: How it is measured.
        seed: Of the world.
    """
    window = relief.window
    x, y = pulses(relief, settings, seed)
    rng = chance_of(seed, f"pulses {window.west} {window.north}")
    rows = np.minimum((window.north - y / window.pitch).astype(np.int64), window.rows - 1)
    columns = np.minimum((x / window.pitch - window.west).astype(np.int64), window.columns - 1)
    ground = _ground_below(relief, x, y)
    owner = relief.canopy.owner[rows, columns]
    surface = relief.surface[rows, columns].astype(np.float64)
    depths, found = _leaf_depths(rng, trees, owner, surface - ground, settings.apart_m)
    leaf = np.where(found, surface[:, None] - depths, np.nan)
    last = np.where(relief.roofs[rows, columns], surface, ground)
    through = (owner < 0) | ~found[:, 0] | (rng.random(x.size) < REACHES_GROUND)
    # A return from the ground right below a leaf is not told from the leaf's.
    through &= ~(found.any(1) & (np.nanmin(leaf, 1, initial=np.inf) - ground < settings.apart_m))
    elevations = np.column_stack([leaf, np.where(through, last, np.nan)])
    kinds = np.full(elevations.shape, GROUND, np.uint8)
    above = leaf - ground[:, None]
    kinds[:, :-1] = np.select([above >= HIGH_M, above >= MEDIUM_M], [HIGH, MEDIUM], LOW)
    kinds[relief.roofs[rows, columns], -1] = BUILDING
    kinds[relief.water[rows, columns], -1] = WATER
    return _blurred(_returns(x, y, elevations, kinds), settings, rng)


def pulses(relief: Relief, settings: LidarSettings, seed: int) -> tuple[Values, Values]:
    """Return x and y [m] of the pulses that fall on a window: lines across the flight, jittered."""
    window, step = relief.window, settings.per_m2**-0.5
    west, east = window.west * window.pitch, (window.west + window.columns) * window.pitch
    south, north = (window.north - window.rows) * window.pitch, window.north * window.pitch
    turn = np.radians(settings.heading_deg)
    corners = np.array([[west, south], [west, north], [east, south], [east, north]])
    across = corners @ [np.cos(turn), -np.sin(turn)] / step
    along = corners @ [np.sin(turn), np.cos(turn)] / step
    lines, shots = np.meshgrid(
        np.arange(int(along.min()) - 2, int(along.max()) + 3),
        np.arange(int(across.min()) - 2, int(across.max()) + 3),
    )
    line, shot = lines.ravel(), shots.ravel()
    jitter = [scatter(line, shot, seed_of(seed, f"jitter {axis}")) - 0.5 for axis in "uv"]
    u = (shot + 0.5 * (line % 2) + 0.7 * jitter[0]) * step
    v = (line + 0.3 * jitter[1]) * step
    x, y = u * np.cos(turn) + v * np.sin(turn), v * np.cos(turn) - u * np.sin(turn)
    inside = (x >= west) & (x < east) & (y > south) & (y <= north)
    return x[inside], y[inside]


def _ground_below(relief: Relief, x: Values, y: Values) -> Values:
    """Return the elevation of the ground [m] at points, between the centres of fine pixels."""
    window = relief.window
    rows, columns = window.north - y / window.pitch - 0.5, x / window.pitch - window.west - 0.5
    below: Values = ndimage.map_coordinates(
        relief.ground.astype(np.float64), [rows, columns], order=1, mode="nearest"
    )
    return below


def _leaf_depths(
    rng: np.random.Generator, trees: Trees, owner: NDArray[np.int32], above: Values, apart_m: float
) -> tuple[Values, NDArray[np.bool_]]:
    """Return depths of returns below the surface [m] and which there are (pulses, returns)."""
    count = owner.size
    leafy = owner >= 0
    mean, thick = np.ones(count), np.zeros(count)
    if leafy.any():
        ours = owner[leafy]
        kinds = trees.species[ours]
        mean[leafy] = np.array([species.leaf_depth_m for species in SPECIES])[kinds]
        crown = np.array([species.crown for species in SPECIES])[kinds]
        # What hangs below the surface here: the crown to its base, or to the ground.
        bare = (1 - crown) * trees.height_m[ours]
        thick[leafy] = np.maximum(above[leafy] - bare, 0.1)
    steps = rng.exponential(1.0, (count, CANOPY_RETURNS)) * mean[:, None]
    steps[:, 1:] = apart_m + 4 * steps[:, 1:]
    depths = np.cumsum(steps, 1)
    goes_on = np.cumprod(rng.random((count, CANOPY_RETURNS)) < GOES_ON, 1).astype(bool)
    found = leafy[:, None] & goes_on & (depths < np.minimum(thick, above)[:, None])
    return depths, np.logical_and.accumulate(found, 1)


def _returns(x: Values, y: Values, elevations: Values, kinds: NDArray[np.uint8]) -> PointCloud:
    """Return the points of pulses; elevations (pulses, returns) are NaN where there is none."""
    there = ~np.isnan(elevations)
    number, of = np.cumsum(there, 1), there.sum(1)
    pulse = np.nonzero(there)[0]
    return PointCloud(
        x=x[pulse], y=y[pulse], z=elevations[there], kind=kinds[there],
        number=number[there].astype(np.uint8), of=of[pulse].astype(np.uint8),
    )  # fmt: skip


def _blurred(points: PointCloud, settings: LidarSettings, rng: np.random.Generator) -> PointCloud:
    """Return points with the errors that were asked for; the same points where none were."""
    if settings.error_m == 0 and settings.outliers == 0:
        return points
    false = rng.random(len(points)) < settings.outliers
    shift = rng.normal(0, 1, len(points)) * settings.error_m
    shift[false] += rng.uniform(-20, 60, int(false.sum()))
    changed = {"z": points.z + shift, "kind": np.where(false, np.uint8(NOISE), points.kind)}
    return PointCloud(**(points.__dict__ | changed))
