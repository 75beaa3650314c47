"""Crowns as heights: lobed paraboloids of leaf clumps, and the surface that they make together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from geo.simulation.species import SPECIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geo.simulation.place import Coordinates, Plane, Window
    from geo.simulation.species import Species
    from geo.simulation.stands import Trees

CLUMPS, TEXELS = 64, 8
"""Clumps along the side of the pattern of leaf clumps, and its texels along one clump."""
TOPMOST = CLUMPS**2 // 8
"""Clumps that reach the outline of the crown; a stem stands below one of them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClumpPattern:
    """A pattern of rounded leaf clumps that repeats itself.

    It is cellular noise (Worley 1996) made once: 1 in the middle of a clump, 0 in the furrows.

    Attributes:
        bulge: Height of the clumps in [0, 1] (texels, texels).
        rank: Uniform in [0, 1]: the share of texels with a lower bulge, over fine grain.
        middles: Texels of the middles of the topmost clumps (clumps, 2), row and column.
    """

    bulge: Plane
    rank: Plane
    middles: NDArray[np.int64]


@cache
def clump_pattern() -> ClumpPattern:
    """Return the pattern, the same in every process."""
    rng = np.random.default_rng(1996)
    size = CLUMPS * TEXELS
    middles = rng.integers(0, size, (CLUMPS**2, 2))
    # Clumps stand at different heights; one in eight is as high as can be.
    rise = np.where(np.arange(CLUMPS**2) < TOPMOST, 1.0, rng.uniform(0.5, 0.95, CLUMPS**2))
    texels = np.moveaxis(np.mgrid[:size, :size], 0, -1).reshape(-1, 2) / TEXELS
    away, which = cKDTree(middles / TEXELS, boxsize=CLUMPS).query(texels, k=3)
    flat = np.clip((rise[which] - 0.8 * away**2).max(1), 0, 1)
    coarse = ndimage.gaussian_filter(rng.random((size, size)), 1.0, mode="wrap")
    mixed = flat + 4 * (coarse.ravel() - 0.5)
    rank = np.empty(size**2, np.float32)
    rank[np.argsort(mixed)] = (np.arange(size**2) + 0.5) / size**2
    bulge = flat.astype(np.float32).reshape(size, size)
    return ClumpPattern(bulge=bulge, rank=rank.reshape(size, size), middles=middles[:TOPMOST])


@dataclass(frozen=True, kw_only=True)
class Crown:
    """The crown of one tree, as its height about the stem.

    Attributes:
        species: What kind of tree.
        height_m: Height of its top [m].
        radius_m: Its mean radius [m].
        turn: Direction of its first limb [radians].
        stretch: How far it is from round, as a share.
        row: Texel of the clump pattern at the stem.
        column: Texel of the clump pattern at the stem.
    """

    species: Species
    height_m: float
    radius_m: float
    turn: float
    stretch: float
    row: int
    column: int

    @property
    def reach_m(self) -> float:
        """Distance from the stem beyond which there is no leaf [m]."""
        frayed = 1 + 0.5 * self.species.ragged
        return self.radius_m * frayed * (1 + self.species.lobes + self.stretch)

    def top(self, east: Plane, north: Plane) -> tuple[Plane, Plane]:
        """Return heights of the crown's surface, and its clumps.

        Args:
            east: Metres east of the stem, of any shape.
            north: Metres north of it.

        Returns:
            Heights above the ground at the stem [m], minus infinity where one sees past the crown,
            and the bulge of the leaf clumps there in [0, 1].
        """
        kind = self.species
        bulge, rank = self._clumps(east, north)
        away = np.hypot(east, north) / np.float32(self.radius_m)
        # Limbs part only on the way out: round the stem the crown is whole.
        out = away / (1 + self._outline(east, north) * np.minimum(away, 1))
        frayed = out + kind.ragged * (0.5 - bulge) * np.minimum(1, 2 * out)
        small = min(1.0, self.radius_m / 2)
        length = kind.light_crown * self.height_m
        height = self.height_m - length * out**kind.shape + kind.relief_m * small * (bulge - 1)
        seen_through = rank < kind.open * np.clip(2 * out - 0.5, 0, 1)  # never at the stem
        outside = (frayed >= 1) | seen_through | (height <= 0)
        return np.where(outside, np.float32(-np.inf), height.astype(np.float32)), bulge

    def _outline(self, east: Plane, north: Plane) -> Plane:
        """Return how far the crown reaches beyond its mean radius in each direction, as a share."""
        angle = np.arctan2(north, east) - np.float32(self.turn)
        limbs, lobes = self.species.limbs, self.species.lobes
        waves = (2, 3, limbs, limbs + 3)
        depths = (self.stretch, 0.4 * lobes, 0.35 * lobes, 0.25 * lobes)
        outline: Plane = np.zeros(angle.shape, np.float32)
        for wave, depth in zip(waves, depths, strict=True):
            outline += np.float32(depth) * np.cos(
                wave * angle + np.float32(wave * wave * self.turn)
            )
        return outline

    def _clumps(self, east: Plane, north: Plane) -> tuple[Plane, Plane]:
        """Return bulge and rank of the clump pattern, twigs of half the size included."""
        pattern, size = clump_pattern(), CLUMPS * TEXELS
        scale = np.float32(TEXELS / self.species.clump_m)
        row = np.floor(north * scale + np.float32(0.5)).astype(np.int32) + self.row
        column = np.floor(east * scale + np.float32(0.5)).astype(np.int32) + self.column
        whole = pattern.bulge[row % size, column % size]
        twigs = pattern.bulge[(2 * row - self.row) % size, (2 * column - self.column) % size]
        return 0.7 * whole + 0.3 * twigs, pattern.rank[row % size, column % size]


def crown_of(trees: Trees, number: int) -> Crown:
    """Return the crown of one of the trees."""
    mark = int(trees.mark[number])
    # A mark is 31 bits of chance: nine choose the middle of a clump, others form and direction.
    row, column = clump_pattern().middles[mark % TOPMOST]
    form = mark // TOPMOST
    return Crown(
        species=SPECIES[trees.species[number]],
        height_m=float(trees.height_m[number]),
        radius_m=float(trees.radius_m[number]),
        turn=2 * np.pi * (form % 512) / 512,
        stretch=0.14 * (form // 512 % 64) / 64,
        row=int(row), column=int(column),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Canopy:
    """What the crowns make together in a window.

    Attributes:
        top: Elevation of the highest leaf [m] (rows, columns), minus infinity without one.
        owner: Place of the tree that it belongs to, -1 without one (rows, columns).
        bulge: Leaf clumps there in [0, 1] (rows, columns).
    """

    top: Plane
    owner: NDArray[np.int32]
    bulge: Plane


def cover_with_crowns(trees: Trees, window: Window) -> Canopy:
    """Return the highest leaf over each pixel's centre of a window."""
    shape = (window.rows, window.columns)
    top = np.full(shape, -np.inf, np.float32)
    owner, bulge = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
    x, y = window.x[0], window.y[:, 0]
    for number in range(len(trees)):
        crown = crown_of(trees, number)
        rows, columns = _patch(window, trees.x[number], trees.y[number], crown.reach_m)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        east = (x[columns] - trees.x[number]).astype(np.float32)[None]
        north = (y[rows] - trees.y[number]).astype(np.float32)[:, None]
        height, clumps = crown.top(east, north)
        elevation = height + np.float32(trees.ground_m[number])
        higher = elevation > top[rows, columns]
        np.copyto(top[rows, columns], elevation, where=higher)
        np.copyto(bulge[rows, columns], clumps, where=higher)
        owner[rows, columns][higher] = number
    return Canopy(top=top, owner=owner, bulge=bulge)


def top_at(trees: Trees, x: Coordinates, y: Coordinates) -> Coordinates:
    """Return the elevation [m] of the highest leaf at points, minus infinity where there is none.

    Args:
        trees: All whose crowns may reach the points.
        x: Metres east of the lower left corner of the world (points,).
        y: Metres north of it (points,).
    """
    top = np.full(x.shape, -np.inf)
    for number in range(len(trees)):
        crown = crown_of(trees, number)
        east, north = x - trees.x[number], y - trees.y[number]
        near = np.flatnonzero(np.hypot(east, north) <= crown.reach_m)
        height, _ = crown.top(east[near].astype(np.float32), north[near].astype(np.float32))
        top[near] = np.maximum(top[near], height + trees.ground_m[number])
    return top


def _patch(window: Window, x: float, y: float, reach_m: float) -> tuple[slice, slice]:
    """Return the rows and columns of a window within reach of a place [m]."""
    left = int(np.floor((x - reach_m) / window.pitch)) - window.west
    right = int(np.ceil((x + reach_m) / window.pitch)) - window.west
    upper = window.north - int(np.ceil((y + reach_m) / window.pitch))
    lower = window.north - int(np.floor((y - reach_m) / window.pitch))
    rows = slice(max(upper, 0), max(min(lower, window.rows), 0))
    return rows, slice(max(left, 0), max(min(right, window.columns), 0))
