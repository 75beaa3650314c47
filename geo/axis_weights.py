"""Resampling along the axes of a raster: exact area means and linear interpolation, row by row.

Each output pixel depends on its own weights alone, so that a raster resampled in strips is the
raster resampled at once, to the last bit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from geo.raster import Mask, Pixels

LEAST_WEIGHT = 1e-6
"""A smaller share of a pixel is the noise of dividing lengths."""

HALF = 0.5 - 1e-4
"""A resampled pixel is valid if at least half of its weight is."""


def axis_weights(count: int, scale: float, length: int, start: float = 0.0) -> sparse.csr_array:
    """Return how much of each pixel of an axis is in each pixel of a resampled axis.

    Args:
        count: pixels of the resampled axis.
        scale: pixels of the axis in one pixel of the resampled axis. Above one, means over the
            area are taken; else pixels are interpolated between centres.
        length: pixels of the axis; what a resampled pixel reaches beyond it does not count.
        start: where on the axis the resampled one begins [pixels of the axis], 0 or more.

    Returns:
        (count, length), float32; each row sums to one.
    """
    pixels = np.arange(count)[:, None]
    if scale > 1:
        low = start + pixels * scale
        high = np.minimum(start + (pixels + 1) * scale, length)
        taps = np.floor(low).astype(int) + np.arange(math.ceil(scale) + 1)
        weights = np.clip(np.minimum(high, taps + 1) - np.maximum(low, taps), 0, None)
    else:
        centre = np.clip(start + (pixels + 0.5) * scale - 0.5, 0, length - 1)
        taps = np.floor(centre).astype(int) + np.arange(2)
        weights = 1 - np.abs(centre - taps)
    weights = np.where(
        (taps < length) & (weights > LEAST_WEIGHT * weights.max(1)[:, None]), weights, 0
    )
    weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    rows, columns = np.nonzero(weights)
    entries = weights[rows, columns], (rows, taps[rows, columns])
    return sparse.csr_array(entries, shape=(count, length))


def resample(
    pixels: Pixels,
    valid: Mask,
    down: sparse.csr_array,
    across: sparse.csr_array,
    *,
    least: float = HALF,
) -> tuple[Pixels, Mask]:
    """Resample pixels; what is not valid has no part in it.

    Args:
        pixels: (bands, rows, columns).
        valid: (rows, columns), True where the pixels mean something.
        down: weights (new rows, rows).
        across: weights (new columns, columns).
        least: share of its weight from which on a new pixel is valid.

    Returns:
        Pixels (bands, new rows, new columns) of the same type, and where they are valid (new rows,
        new columns).
    """
    exact = np.float32 if pixels.dtype.itemsize <= 2 or pixels.dtype == np.float32 else np.float64  # noqa: PLR2004 - bytes
    if valid.all():
        means = weighted(pixels.astype(exact), down, across)
        return stored_as(means, pixels.dtype), np.ones(means.shape[1:], bool)
    means = weighted(np.where(valid, pixels, 0).astype(exact), down, across)
    share = weighted(valid[None].astype(np.float32), down, across)
    # What lacks nothing is not divided: it stays, to the last bit, what it is without holes near.
    means /= np.where(share > 1 - LEAST_WEIGHT, 1, np.maximum(share, LEAST_WEIGHT))
    return stored_as(means, pixels.dtype), share[0] >= least


def weighted(values: Pixels, down: sparse.csr_array, across: sparse.csr_array) -> Pixels:
    """(bands, rows, columns) -> (bands, new rows, new columns)."""
    bands, rows, columns = values.shape
    fewer = down @ values.swapaxes(0, 1).reshape(rows, bands * columns)
    turned = np.ascontiguousarray(fewer.reshape(-1, columns).T)
    result: Pixels = (across @ turned).T.reshape(-1, bands, across.shape[0]).swapaxes(0, 1)
    return result


def stored_as(values: Pixels, dtype: np.dtype[np.generic]) -> Pixels:
    """Return values in a type, rounded to whole numbers where it has no others."""
    if np.issubdtype(dtype, np.integer):
        values = np.rint(values)
    return values.astype(dtype)
