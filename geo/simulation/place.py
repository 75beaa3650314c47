"""Where something is evaluated, a window of fine pixels or loose points, and the noise there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

if TYPE_CHECKING:
    from collections.abc import Iterator

Plane = NDArray[np.float32]
"""One value a pixel (rows, columns) or a point (points,)."""
Coordinates = NDArray[np.float64]
"""Metres east or north of the lower left corner of a world."""

UNIT_SPREAD = 0.479
"""What the cubic B-spline in both directions leaves of the spread of noise."""


def seed_of(seed: int, part: str) -> int:
    """Return the seed of a named part of a world: no part disturbs the chance of another."""
    return (seed * 0x9E3779B1 + crc32(part.encode())) & 0xFFFFFFFF


def chance_of(seed: int, part: str) -> np.random.Generator:
    """Return the source of chance of a named part of a world."""
    return np.random.default_rng([seed, crc32(part.encode())])


def scatter(rows: NDArray[np.int64], columns: NDArray[np.int64], seed: int) -> Plane:
    """Uniform noise in [0, 1), the same for the same whole numbers whatever else is asked for.

    Args:
        rows: Whole numbers, of a shape that goes with that of `columns`.
        columns: Whole numbers.
        seed: Of the noise.

    Returns:
        One value for each pair. The mixing is that of MurmurHash3 (Appleby 2011, public domain).
    """
    mixed = rows.astype(np.uint32) * np.uint32(0x85EBCA6B) ^ np.uint32(seed)
    mixed = mixed + columns.astype(np.uint32) * np.uint32(0xC2B2AE35)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        mixed ^= mixed >> np.uint32(shift)
        mixed *= np.uint32(factor)
    mixed ^= mixed >> np.uint32(16)
    scattered: Plane = (mixed >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)
    return scattered


@dataclass(frozen=True, kw_only=True)
class Window:
    """A north-up window of fine pixels, whose corners lie on whole multiples of the pitch.

    Attributes:
        west: Column of its left side, counted from the left side of the world [fine px].
        north: Row of its upper side, counted northwards from the lower side of the world [fine px].
        rows: Number of rows.
        columns: Number of columns.
        pitch: Side of a fine pixel [m].
    """

    west: int
    north: int
    rows: int
    columns: int
    pitch: float

    @property
    def x(self) -> Coordinates:
        """Centres of columns (1, columns) [m]."""
        x: Coordinates = (self.west + np.arange(self.columns, dtype=np.float64) + 0.5) * self.pitch
        return x[None, :]

    @property
    def y(self) -> Coordinates:
        """Centres of rows (rows, 1) [m], falling."""
        y: Coordinates = (self.north - np.arange(self.rows, dtype=np.float64) - 0.5) * self.pitch
        return y[:, None]

    def grown(self, west: int, north: int, east: int, south: int) -> Window:
        """Return the window that reaches so many pixels farther to each side."""
        return Window(
            west=self.west - west, north=self.north + north, rows=self.rows + north + south,
            columns=self.columns + west + east, pitch=self.pitch,
        )  # fmt: skip

    def noise(self, cell_m: float, seed: int) -> Plane:
        """Smooth noise (rows, columns) of mean 0 and spread 1 whose bumps are `cell_m` wide [m]."""
        row_weights, row_knots = spline_weights(self.y[:, 0] / cell_m)
        column_weights, column_knots = spline_weights(self.x[0] / cell_m)
        knots = scatter(row_knots[:, None], column_knots[None], seed) - np.float32(0.5)
        smooth: Plane = row_weights @ (column_weights @ knots.T).T
        smooth *= np.float32(np.sqrt(12) / UNIT_SPREAD)
        return smooth

    def grain(self, seed: int) -> Plane:
        """White noise (rows, columns), uniform in [0, 1)."""
        rows = self.north - np.arange(self.rows)
        return scatter(rows[:, None], self.west + np.arange(self.columns)[None], seed)

    def speckle(self, size_m: float, seed: int) -> Plane:
        """White noise blurred to a size (rows, columns), of mean 0 and spread 1.

        Unlike smooth noise it has no lattice that could beat with the pixels; unlike it, it is not
        the same in the outermost pixels of overlapping windows, and depends on the pitch.

        Args:
            size_m: Standard deviation of the blur [m], at least 0.6 pixels.
            seed: Of the noise.
        """
        sigma = size_m / self.pitch
        blurred: Plane = ndimage.gaussian_filter(self.grain(seed) - np.float32(0.5), sigma)
        # What a bell of unit sum leaves of the spread of white noise.
        blurred *= np.float32(np.sqrt(12) * 2 * np.sqrt(np.pi) * sigma)
        return blurred


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Loose points.

    Attributes:
        x: Metres east of the lower left corner (points,).
        y: Metres north of it (points,).
    """

    x: Coordinates
    y: Coordinates

    def noise(self, cell_m: float, seed: int) -> Plane:
        """Smooth noise (points,), the values that a window has there."""
        (rows, row_parts), (columns, column_parts) = (
            spline_parts(self.y / cell_m),
            spline_parts(self.x / cell_m),
        )
        total = np.zeros(self.x.shape)
        for row, row_part in zip(rows, row_parts, strict=True):
            for column, column_part in zip(columns, column_parts, strict=True):
                total += row_part * column_part * (scatter(row, column, seed) - 0.5)
        smooth: Plane = (total * (np.sqrt(12) / UNIT_SPREAD)).astype(np.float32)
        return smooth


Place = Window | Points
"""Where a field is evaluated."""


def spline_parts(
    position: Coordinates,
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float64]]]:
    """Return the four knots that a cubic B-spline joins at a position, and their weights."""
    knot = np.floor(position).astype(np.int64)
    part = position - knot
    rest = 1 - part
    weights = [
        rest**3 / 6,
        2 / 3 - part**2 * (2 - part) / 2,
        2 / 3 - rest**2 * (2 - rest) / 2,
        part**3 / 6,
    ]
    return [knot + step for step in (-1, 0, 1, 2)], weights


def spline_weights(
    position: Coordinates,
) -> tuple[sparse.csr_matrix, NDArray[np.int64]]:
    """Return the weights (positions, knots) of knots, and the numbers of the knots (knots,)."""
    knots, weights = spline_parts(position)
    first, last = int(knots[0].min()), int(knots[3].max())
    lines = np.tile(np.arange(position.size), 4)
    columns = np.concatenate(knots) - first
    shape = (position.size, last - first + 1)
    values = np.concatenate(weights).astype(np.float32)
    return sparse.csr_matrix((values, (lines, columns)), shape), np.arange(first, last + 1)


def fractal(place: Place, sizes_m: tuple[float, float], roughness: float, seed: int) -> Plane:
    """Noise of mean 0 and spread 1 that has bumps of all sizes of a range.

    Args:
        place: Where.
        sizes_m: Widths of the largest and the smallest bumps [m].
        roughness: Amplitude of bumps half as wide, over those of the former; 1 is rough.
        seed: Of the noise.
    """
    total: Plane | np.float32 = np.float32(0)
    power = 0.0
    for octave, cell in enumerate(_halved(*sizes_m)):
        amplitude = roughness**octave
        total = total + np.float32(amplitude) * place.noise(cell, seed + octave)
        power += amplitude**2
    return np.asarray(total / np.float32(np.sqrt(power)), np.float32)


def _halved(largest: float, smallest: float) -> Iterator[float]:
    """Yield a width and its halves down to the smallest."""
    width = largest
    while width >= smallest * 0.999:
        yield width
        width /= 2
