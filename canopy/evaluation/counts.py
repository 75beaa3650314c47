"""What pictures are drawn from, counted piece by piece: heights against heights, and residuals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from canopy.evaluation.area_means import Cells
    from canopy.evaluation.sums import Heights

    Array = NDArray[np.float64]

BIN_M = 0.5
"""Side of a bin of heights against heights [m]."""

BINS = 240
"""Bins along each axis; the last takes all that is taller."""

ERROR_BIN_M = 0.05
"""Width of a bin of differences [m]."""

ERRORS_TO_M = 150.0
"""Largest difference that is told apart [m]."""

PICTURE_PX = 240
"""Longest side of a picture of residuals [px]."""


class HeightCounts:
    """How often which map height meets which reference height, and how often they differ how much.

    Attributes:
        pairs: (BINS, BINS) counts by reference and by map height.
        differences: counts of map minus reference from -ERRORS_TO_M on.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.pairs = np.zeros((BINS, BINS), np.int64)
        self.differences = np.zeros(2 * round(ERRORS_TO_M / ERROR_BIN_M), np.int64)

    def add(self, predicted: Array, true: Array) -> None:
        """Count valid heights [m] (n,)."""
        rows, columns = (
            np.minimum(heights / BIN_M, BINS - 1).astype(np.intp) for heights in (true, predicted)
        )
        counts = np.bincount(rows * BINS + columns, minlength=BINS * BINS)
        self.pairs += counts.reshape(BINS, BINS)
        bins = ((predicted - true + ERRORS_TO_M) / ERROR_BIN_M).astype(np.intp)
        bins = np.clip(bins, 0, len(self.differences) - 1)
        self.differences += np.bincount(bins, minlength=len(self.differences))

    def difference_percentile(self, share: float) -> float | None:
        """Return the difference [m], to 0.05 m, that a share [%] of all do not exceed, or None."""
        total = int(self.differences.sum())
        if not total:
            return None
        rank = max(1, math.ceil(share / 100 * total))
        index = int(np.searchsorted(np.cumsum(self.differences), rank))
        return round((index + 0.5) * ERROR_BIN_M - ERRORS_TO_M, 3)


class Residuals:
    """A picture of map minus reference, each of its pixels the mean of what lies in it.

    Attributes:
        factor: compared pixels along a side of one of the picture.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        """Begin a picture of a grid with some rows and columns."""
        self.factor = math.ceil(max(shape) / PICTURE_PX)
        self.shape = -(-shape[0] // self.factor), -(-shape[1] // self.factor)
        self.sums, self.counts = np.zeros(self.shape), np.zeros(self.shape)

    def add(self, heights: Heights, piece: Cells) -> None:
        """Add the residuals of a piece of the grid."""
        inner = heights.part(piece)
        rows, columns = np.nonzero(inner.valid)
        rows, columns = (rows + piece.row) // self.factor, (columns + piece.column) // self.factor
        place, size = rows * self.shape[1] + columns, self.shape[0] * self.shape[1]
        d = inner.predicted[inner.valid] - inner.true[inner.valid]
        self.sums += np.bincount(place, weights=d, minlength=size).reshape(self.shape)
        self.counts += np.bincount(place, minlength=size).reshape(self.shape)

    @property
    def picture(self) -> Array:
        """Mean residuals [m] (y, x), NaN where nothing was compared."""
        means = self.sums / np.maximum(self.counts, 1)
        return np.where(self.counts > 0, means, np.nan)
