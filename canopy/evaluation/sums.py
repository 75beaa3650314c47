"""Sums from which every error follows, so that pieces of ground are added up in any order.

A vector of sums belongs to a piece of ground. Errors of sites, groups and draws of the bootstrap
are those of added vectors; nothing but vectors is kept of a map larger than memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from canopy.height_errors import CLASS_EDGES_M, FLAT_M2, TREE_M, block_means, sobel_gradient

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from canopy.evaluation.area_means import Cells

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

MOMENTS = ("n", "abs", "d", "dd", "r", "rr", "p", "pp", "pr")
"""Count, then sums over pixels: |d|, d, d2, r, r2, p, p2, p r, with d = p - r, map minus
reference."""

BLOCK_PX = 50
"""Side of the blocks of the paper's code [px]."""

BLOCK_M, MEAN_M = 30.0, 3.0
"""Sides of the blocks whose means are compared besides [m]: a Landsat pixel, and more than the
usual misalignment."""

COVER_M = (2.0, 5.0)
"""Heights from which on a pixel counts as tree cover [m]."""

CLASSES = len(CLASS_EDGES_M) - 1

SIZES = {
    "pixel": len(MOMENTS),
    "block_50px": len(MOMENTS),
    "block_30m": len(MOMENTS),
    "mean_3m": len(MOMENTS),
    "normalised": 2,
    "edge": 3,
    "cover_2m": 2,
    "cover_5m": 2,
    "classes": 4 * CLASSES,
}
"""How many sums each part of a vector has."""

STARTS = dict(zip(SIZES, np.cumsum([0, *SIZES.values()])[:-1].tolist(), strict=True))
LENGTH = sum(SIZES.values())


def part_of(sums: Array, name: str) -> Array:
    """Return a part (..., sums of the part) of vectors (..., LENGTH)."""
    start = STARTS[name]
    return sums[..., start : start + SIZES[name]]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How large blocks are in pixels.

    Attributes:
        pixel_m: width and height of a compared pixel [m].
        shape: rows and columns of the compared grid; blocks of 50 px and 30 m lie wholly on it.
    """

    pixel_m: tuple[float, float]
    shape: tuple[int, int]

    def block_px(self, side_m: float) -> tuple[int, int]:
        """Rows and columns of a block of about some metres a side, one at least."""
        return (
            max(1, round(side_m / self.pixel_m[1])),
            max(1, round(side_m / self.pixel_m[0])),
        )

    @property
    def blocks(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of every kind of block."""
        return {
            "block_50px": (BLOCK_PX, BLOCK_PX),
            "block_30m": self.block_px(BLOCK_M),
            "mean_3m": self.block_px(MEAN_M),
        }

    @property
    def halo_px(self) -> tuple[int, int]:
        """Rows and columns that must be known below and right of a piece: a block less a pixel."""
        rows, columns = zip(*self.blocks.values(), strict=True)
        return max(rows) - 1, max(columns) - 1


@dataclass(frozen=True, kw_only=True)
class Heights:
    """Heights of a window of the compared grid.

    Attributes:
        cells: where the window lies.
        predicted: map [m] (y, x).
        true: reference [m] (y, x).
        valid: where both are valid (y, x), True = valid.
    """

    cells: Cells
    predicted: Array
    true: Array
    valid: Mask

    def part(self, cells: Cells) -> Heights:
        """Return the heights of a smaller window."""
        place = cells.within(self.cells)
        return Heights(
            cells=cells,
            predicted=self.predicted[place],
            true=self.true[place],
            valid=self.valid[place],
        )


def sums_of_piece(heights: Heights, piece: Cells, sampling: Sampling) -> Array:
    """Add up a piece of ground.

    Args:
        heights: a window that reaches a pixel beyond the piece on all sides, and ``halo_px`` below
            and right of it.
        piece: the window whose pixels count, and whose blocks do: a block belongs to the piece that
            holds its upper left corner.
        sampling: how large blocks are.

    Returns:
        A vector (LENGTH,).
    """
    inner = heights.part(piece)
    sums = sums_of_heights(inner.predicted[inner.valid], inner.true[inner.valid])
    part_of(sums, "edge")[:] = edge_sums(heights, piece, sampling)
    for name, side in sampling.blocks.items():
        part_of(sums, name)[:] = block_sums(
            heights, piece, side, sampling.shape, whole=name != "mean_3m"
        )
    return sums


def sums_of_heights(predicted: Array, true: Array) -> Array:
    """Add up valid heights [m] (n,) that have no neighbours; edges and blocks stay 0."""
    sums = np.zeros(LENGTH)
    part_of(sums, "pixel")[:] = moments(predicted, true)
    error = np.abs(predicted - true)
    tall = true >= TREE_M
    part_of(sums, "normalised")[:] = tall.sum(), (error[tall] / (1 + true[tall])).sum()
    for name, least in zip(("cover_2m", "cover_5m"), COVER_M, strict=True):
        here, there = predicted >= least, true >= least
        part_of(sums, name)[:] = (here & there).sum(), (here | there).sum()
    part_of(sums, "classes")[:] = class_sums(predicted, true).ravel()
    return sums


def moments(predicted: Array, true: Array) -> Array:
    """Return the sums MOMENTS of valid heights [m] (n,)."""
    d = predicted - true
    return np.array(
        [
            true.size,
            np.abs(d).sum(),
            d.sum(),
            (d * d).sum(),
            true.sum(),
            (true * true).sum(),
            predicted.sum(),
            (predicted * predicted).sum(),
            (predicted * true).sum(),
        ]
    )


def class_sums(predicted: Array, true: Array) -> Array:
    """Return n and sums of |d|, d and d2 by class of reference height (classes, 4)."""
    found = np.digitize(true, CLASS_EDGES_M[1:-1])
    d = predicted - true
    columns = (np.ones_like(d), np.abs(d), d, d * d)
    return np.stack(
        [np.bincount(found, weights=column, minlength=CLASSES) for column in columns], axis=1
    )


def edge_sums(heights: Heights, piece: Cells, sampling: Sampling) -> Array:
    """Return n, the sum of differences of gradients, and of the reference's gradients [m/m]."""
    gradient, whole = sobel_gradient(heights.predicted, heights.valid, sampling.pixel_m)
    true, _ = sobel_gradient(heights.true, heights.valid, sampling.pixel_m)
    place = piece.within(heights.cells)
    counted = whole[place]
    difference = np.abs(gradient - true)[place]
    return np.array([counted.sum(), difference[counted].sum(), true[place][counted].sum()])


def block_sums(
    heights: Heights,
    piece: Cells,
    side: tuple[int, int],
    shape: tuple[int, int],
    *,
    whole: bool,
) -> Array:
    """Return the MOMENTS of the means of blocks that begin in a piece.

    Args:
        heights: a window that holds these blocks.
        piece: where they begin.
        side: their rows and columns [px].
        shape: rows and columns of the compared grid.
        whole: whether blocks cut by the grid's lower or right edge are left out.
    """
    spans = []
    for axis, (start, length) in enumerate(
        ((piece.row, piece.height), (piece.column, piece.width))
    ):
        first = -(-start // side[axis]) * side[axis]
        last = min(start + length, shape[axis] - side[axis] + 1 if whole else shape[axis])
        count = max(0, -(-(last - first) // side[axis]))
        offset = heights.cells.row if axis == 0 else heights.cells.column
        spans.append(slice(first - offset, first - offset + count * side[axis]))
    place = spans[0], spans[1]
    if heights.valid[place].size == 0:
        return np.zeros(len(MOMENTS))
    predicted, kept = block_means(heights.predicted[place], heights.valid[place], size=side)
    true, _ = block_means(heights.true[place], heights.valid[place], size=side)
    return moments(predicted[kept], true[kept])


def errors_of_moments(sums: Array) -> dict[str, Array]:
    """Return errors of sums MOMENTS (..., 9); NaN where there are none.

    R2 is 1 - SSE / SST; slope and intercept are those of the least-squares line of the map on the
    reference. All three are NaN where the reference does not vary.
    """
    n, absolute, d, dd, r, rr, p, _, pr = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        varies = np.where(rr - r * r / n > FLAT_M2 * n, rr - r * r / n, np.nan)
        slope = (pr - p * r / n) / varies
        return {
            "mae_m": absolute / n,
            "rmse_m": np.sqrt(dd / n),
            "bias_m": d / n,
            "r2": 1 - dd / varies,
            "slope": slope,
            "intercept_m": (p - slope * r) / n,
        }


def errors_of(sums: Array) -> dict[str, Array]:
    """Return every error that vectors (..., LENGTH) tell; NaN where it is not defined."""
    errors = errors_of_moments(part_of(sums, "pixel"))
    with np.errstate(divide="ignore", invalid="ignore"):
        errors["nmae"] = part_of(sums, "normalised")[..., 1] / part_of(sums, "normalised")[..., 0]
        for name in ("cover_2m", "cover_5m"):
            both, either = np.moveaxis(part_of(sums, name), -1, 0)
            errors[f"{name}_iou"] = both / either
        count, difference, steepness = np.moveaxis(part_of(sums, "edge"), -1, 0)
        errors["edge_error"] = difference / count
        errors["edge_error_relative"] = difference / np.where(steepness > 0, steepness, np.nan)
    for name in ("block_50px", "block_30m"):
        errors[f"{name}_r2"] = errors_of_moments(part_of(sums, name))["r2"]
    smoothed = errors_of_moments(part_of(sums, "mean_3m"))
    errors |= {f"mean_3m_{name}": smoothed[name] for name in ("mae_m", "rmse_m", "bias_m", "r2")}
    return errors
