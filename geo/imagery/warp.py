"""A block seen through a change of projection: where its pixels lie in a file, and their means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyproj

from geo.axis_weights import HALF, LEAST_WEIGHT, stored_as
from geo.errors import GridError
from geo.ground import to_pyproj

if TYPE_CHECKING:
    from rasterio.crs import CRS

    from geo.grid import FloatArray, Grid
    from geo.raster import Mask, Pixels

    Places = tuple[np.ndarray, np.ndarray]

NODES = 5
"""Points along a block's side that are projected; between them, 40 m apart, it bends by 1e-5 m."""

TURN_DEG = 360.0
BYTES_IN_16_BITS = 256
"""So many bytes can be summed in 16 bits."""

SAME_SIZE = 1.01
"""A pixel larger by less than this factor is interpolated at one point."""


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """Where a block lies in a file.

    Attributes:
        rows: rows of the file [px from its upper edge] at nodes of the block (NODES, NODES).
        columns: its columns, likewise.
        side_px: pixels along a side of the block.
    """

    rows: FloatArray
    columns: FloatArray
    side_px: int

    @property
    def scale(self) -> float:
        """Pixels of the file along the longer side of one pixel of the block."""
        steps = [
            np.hypot(np.diff(self.rows, axis=i), np.diff(self.columns, axis=i)) for i in (0, 1)
        ]
        return float(max(step.mean() for step in steps)) * (NODES - 1) / self.side_px

    def at(self, samples: int) -> tuple[FloatArray, FloatArray]:
        """Return rows and columns (side_px * samples,) * 2 of samples of each pixel."""
        count = self.side_px * samples
        places = (np.arange(count) + 0.5) * ((NODES - 1) / count)
        node = np.minimum(places.astype(int), NODES - 2)
        share = places - node
        return tuple(  # type: ignore[return-value]
            _between(_between(values, node, share).T, node, share).T
            for values in (self.rows, self.columns)
        )


class Projection:
    """From a plane to the rows and columns of a file."""

    def __init__(self, crs: CRS, grid: Grid) -> None:
        """Set up the way from a CRS to the pixels of a grid.

        Raises:
            GridError: the grid has no CRS.
        """
        source = grid.crs
        if source is None:
            msg = "a file without a CRS lies nowhere on Earth: assign its CRS"
            raise GridError(msg)
        theirs = to_pyproj(source)
        self._to_file = pyproj.Transformer.from_crs(to_pyproj(crs), theirs, always_xy=True)
        self._to_pixels = ~grid.transform
        middle = grid.transform * (grid.width / 2, grid.height / 2)
        self._middle = middle[0] if theirs.is_geographic else None

    def lattice(self, block: Grid) -> Lattice | None:
        """Return where a block lies in the file; None where the projection does not reach."""
        along = np.linspace(0, block.height, NODES)
        x, y = self._to_file.transform(
            *block.locate(along[:, None], along[None, :] + 0 * along[:, None])
        )
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            return None
        if self._middle is not None:
            x = x + TURN_DEG * np.round((self._middle - x) / TURN_DEG)
        turn = self._to_pixels
        return Lattice(
            rows=turn.d * x + turn.e * y + turn.f,
            columns=turn.a * x + turn.b * y + turn.c,
            side_px=block.height,
        )


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What of a file a block is made from.

    Attributes:
        factor: pixels of the file are taken together by so many along each side, from its corner.
        samples: points along each side of a pixel of the block.
        rows: pixels of the file that are read, whole groups of `factor`.
        columns: likewise.
    """

    factor: int
    samples: int
    rows: range
    columns: range


def seen_by(lattice: Lattice, shape: tuple[int, int]) -> Seen | None:
    """Return what of a file (rows, columns) a block is made from; None where it misses the file.

    Where the block's pixels are much larger, the file's are averaged to about half their size
    first; the groups are counted from the file's corner, so that they are the same for all blocks.
    """
    scale = lattice.scale
    factor = max(1, math.floor(scale / 2 + 1e-6))
    left = scale / factor
    spans = []
    for values, length in zip((lattice.rows, lattice.columns), shape, strict=True):
        first = max(0, math.floor(values.min() / factor) - 2)
        last = min(-(-length // factor), math.ceil(values.max() / factor) + 2)
        if first >= last or values.min() > length or values.max() < 0:
            return None
        spans.append(range(first * factor, min(last * factor, length)))
    samples = 1 if left <= SAME_SIZE else math.ceil(left - 0.01)
    return Seen(factor=factor, samples=samples, rows=spans[0], columns=spans[1])


def grouped(pixels: Pixels, valid: Mask, factor: int) -> tuple[Pixels, Pixels | None]:
    """Return means of groups of pixels, and how much of each group is valid (None for all).

    Args:
        pixels: (bands, rows, columns).
        valid: (rows, columns).
        factor: pixels along a side of a group; the last groups may lack some.

    Returns:
        Means (bands, rows, columns) and shares (rows, columns), float32; float64 for pixels of
        more than 16 bits.
    """
    exact = np.float32 if pixels.dtype.itemsize <= 2 or pixels.dtype == np.float32 else np.float64  # noqa: PLR2004 - bytes
    whole = bool(valid.all())
    values = pixels if whole else np.where(valid, pixels, 0)
    if factor == 1:
        return values.astype(exact), None if whole else valid.astype(exact)
    sums = _summed(values, factor, exact)
    counts = _summed(np.broadcast_to(valid, (1, *valid.shape)), factor, exact)[0]
    sizes = _summed(np.ones((1, *valid.shape), bool), factor, exact)[0]
    return sums / np.maximum(counts, 1), None if whole else counts / sizes


def sampled(
    pixels: Pixels, valid: Mask, lattice: Lattice, seen: Seen, shape: tuple[int, int]
) -> tuple[Pixels, Mask]:
    """Return a block: the mean of some points of each pixel, each interpolated between pixels.

    Args:
        pixels: (bands, rows, columns) of the file, of `seen`.
        valid: (rows, columns), True where they mean something.
        lattice: where the block lies.
        seen: how it is made.
        shape: rows and columns of the file.

    Returns:
        Pixels (bands, side, side) of the same type; valid where the centre of a pixel lies in the
        file and at least half of what it sees is valid.
    """
    means, shares = grouped(pixels, valid, seen.factor)
    weights = np.ones((1, *means.shape[1:]), means.dtype) if shares is None else shares[None]
    layers = means if shares is None else np.concatenate([means * shares, weights])
    down, across = (
        _axis(places / seen.factor - span.start // seen.factor, length)
        for places, span, length in zip(
            lattice.at(seen.samples), (seen.rows, seen.columns), means.shape[1:], strict=True
        )
    )
    block = _pooled(_interpolated(layers, down, across), seen.samples)
    inside = _inside(lattice, shape)
    if shares is None:
        return stored_as(block, pixels.dtype), inside
    share = block[-1]
    return (
        stored_as(block[:-1] / np.maximum(share, LEAST_WEIGHT), pixels.dtype),
        inside & (share >= HALF),
    )


def _between(values: FloatArray, node: np.ndarray, share: FloatArray) -> FloatArray:
    """Return rows between rows."""
    between: FloatArray = values[node] * (1 - share)[:, None] + values[node + 1] * share[:, None]
    return between


def _inside(lattice: Lattice, shape: tuple[int, int]) -> Mask:
    """Return which pixels of a block have their centres in a file."""
    rows, columns = lattice.at(1)
    return (rows >= 0) & (rows <= shape[0]) & (columns >= 0) & (columns <= shape[1])


def _summed(values: Pixels, factor: int, exact: type[np.floating]) -> Pixels:
    """Return sums (bands, rows, columns) of groups; those at the end may lack pixels."""
    missing = [-length % factor for length in values.shape[1:]]
    if any(missing):
        values = np.pad(values, ((0, 0), (0, missing[0]), (0, missing[1])))
    # Whole numbers are summed as such: exactly, and in any order.
    small = np.uint16 if values.dtype in (np.uint8, bool) and factor < BYTES_IN_16_BITS else None
    large = {"b": np.uint32, "u": np.uint32, "i": np.int32}.get(values.dtype.kind, exact)
    large = large if values.dtype.itemsize <= 2 else exact  # noqa: PLR2004 - bytes
    rows = sum(
        (values[:, first::factor].astype(small or large) for first in range(1, factor)),
        start=values[:, ::factor].astype(small or large),
    )
    total = rows[:, :, ::factor].astype(large)
    for first in range(1, factor):
        total += rows[:, :, first::factor]
    return total.astype(exact)


def _axis(places: FloatArray, length: int) -> Places:
    """Return the pixel before each place, and how far beyond its centre the place is."""
    centres = np.clip(places - 0.5, 0, length - 1)
    first = np.minimum(centres.astype(np.int32), max(length - 2, 0))
    return first, (centres - first).astype(np.float32)


def _interpolated(layers: Pixels, down: Places, across: Places) -> Pixels:
    """Return layers (layers, rows, columns) at places between pixels."""
    (row, low), (column, right) = down, across
    height, width = layers.shape[1:]
    flat = np.ascontiguousarray(layers.reshape(len(layers), -1).T)
    first = row * width + column
    below = width if height > 1 else 0
    beside = 1 if width > 1 else 0
    result = np.zeros((*first.shape, len(layers)), layers.dtype)
    for step, weight in (
        (0, (1 - low) * (1 - right)), (beside, (1 - low) * right),
        (below, low * (1 - right)), (below + beside, low * right),
    ):  # fmt: skip
        result += np.take(flat, first + step, axis=0) * weight[..., None]
    return np.moveaxis(result, -1, 0)


def _pooled(layers: Pixels, samples: int) -> Pixels:
    """Return the means of samples of each pixel."""
    rows = [layers[:, first::samples] for first in range(samples)]
    down = sum(rows[1:], start=rows[0])
    columns = [down[:, :, first::samples] for first in range(samples)]
    pooled: Pixels = sum(columns[1:], start=columns[0])
    return pooled if samples == 1 else pooled / pooled.dtype.type(samples**2)
