"""Windows of imagery around places: read strip by strip, and none without full imagery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geo.raster import Pixels, Raster
    from geo.scene_reader import StripReader

Indices = NDArray[np.int64]

STRIP_PX = 512
"""Rows of corners of windows whose imagery is in memory at once [px]."""
MOST = 256
"""Windows handed on at once."""


def read_windows(
    reader: StripReader, shape: tuple[int, int], middles: Indices, window_px: int
) -> Iterator[tuple[Indices, Pixels]]:
    """Read the windows around places, from north to south.

    Args:
        reader: of imagery on a grid.
        shape: rows and columns of the grid.
        middles: row and column of the pixel corner in the middle of each window (n, 2) [px].
        window_px: side of a window [px].

    Yields:
        Which of the places (k,), and their windows (k, 3, window_px, window_px). Windows that reach
        beyond the grid, or in which a pixel has no imagery, do not come.

    Raises:
        SceneError: the imagery breaks off.
    """
    corners = middles - window_px // 2
    inside = np.flatnonzero(
        (corners >= 0).all(axis=1) & (corners + window_px <= np.array(shape)).all(axis=1)
    )
    strips = corners[inside, 0] // STRIP_PX
    for strip in np.unique(strips):
        wanted = inside[strips == strip]
        top, bottom = corners[wanted, 0].min(), corners[wanted, 0].max() + window_px
        raster = reader.read(int(top), int(bottom - top))
        places = corners[wanted] - np.array([top, 0])
        yield from whole_windows(raster, wanted, places, window_px)


def whole_windows(
    raster: Raster, wanted: Indices, corners: Indices, side: int
) -> Iterator[tuple[Indices, Pixels]]:
    """Yield the windows of a strip in which every pixel has imagery, some at a time."""
    slices = [
        (slice(row, row + side), slice(column, column + side)) for row, column in corners.tolist()
    ]
    whole = [number for number, window in enumerate(slices) if raster.valid[window].all()]
    for first in range(0, len(whole), MOST):
        chosen = whole[first : first + MOST]
        yield wanted[chosen], np.stack([raster.pixels[:, *slices[number]] for number in chosen])
