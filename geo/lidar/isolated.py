"""Returns that hang in the air: birds, wires and noise that nobody classified."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from geo.grid import FloatArray
    from geo.raster import Mask, Pixels

VOXEL_M = 4.0
"""Side of a voxel, as in LAStools' lasnoise."""

REACH_M = 2 * VOXEL_M
"""Returns further away than this along an axis do not count as neighbours."""

FEWEST = 3
"""Fewer returns than this in 27 voxels, itself included, and a return is isolated."""

LOW_M = 2.0
"""Below this height a return is never isolated: sparse ground is ground [m]."""

AXIS_BITS = 21
"""Of a voxel's number along an axis: two million voxels each way."""


def isolated(points: FloatArray) -> Mask:
    """Return where returns are isolated (True).

    The isolated voxel filter (lasnoise of LAStools; ``ivf`` in Roussel et al. 2020, lidR): space is
    cut into cubes of 4 m with corners on multiples of 4 m, and a return is noise where its cube and
    the 26 around it hold almost nothing else. Those tools take fewer than six returns for almost
    nothing; at one or two returns per square metre that takes the tips of slender conifers too, so
    here it is fewer than three.

    Args:
        points: (points, 3) x, y and height above ground [m].
    """
    if not len(points):
        return np.zeros(0, bool)
    keys = voxel_keys(np.floor(points / VOXEL_M).astype(np.int64))
    places, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    around = np.zeros(len(places), np.int64)
    for steps in product((-1, 0, 1), repeat=3):
        around += counts_at(places + voxel_step(steps), places, counts)
    return (around[inverse] < FEWEST) & (points[:, 2] > LOW_M)


def voxel_keys(voxels: Pixels) -> Pixels:
    """Return one number for each voxel (points, 3), counted from the corner of them all."""
    # The margin of one keeps a step to a neighbour from borrowing from the next axis.
    x, y, z = (voxels - voxels.min(0) + 1).T
    keys: Pixels = (x << 2 * AXIS_BITS) + (y << AXIS_BITS) + z
    return keys


def voxel_step(steps: tuple[int, ...]) -> int:
    """Return what a step along x, y and z adds to a voxel's number."""
    x, y, z = steps
    return (x << 2 * AXIS_BITS) + (y << AXIS_BITS) + z


def counts_at(wanted: Pixels, places: Pixels, counts: Pixels) -> Pixels:
    """Return how many returns the wanted voxels hold; ``places`` are sorted."""
    index = np.minimum(np.searchsorted(places, wanted), len(places) - 1)
    held: Pixels = np.where(places[index] == wanted, counts[index], 0)
    return held
