"""The colours of a whole scene matched: a stretch for each window, blended from one to the next.

A stretch of its own for each tile would make neighbouring tiles jump. Windows of 256 px cover the
scene instead, and each pixel gets the stretches of the four windows around it, by the distance to
their centres: smooth everywhere, and the same whatever the tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from canopy.colour_matching import WINDOW_PX

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from canopy.colour_matching import ColourMatcher
    from geo.raster import Mask

    Floats = npt.NDArray[np.float32]
    ReadRows = Callable[[int, int], tuple[Floats, Mask]]

ROWS_KEPT = 4
"""Rows of windows that are remembered: a strip of tiles rarely meets more at once."""


@dataclass(frozen=True, kw_only=True)
class WindowAxis:
    """Windows along one axis of a scene.

    Attributes:
        length: pixels of the axis.
    """

    length: int

    @property
    def side(self) -> int:
        """Pixels of a window along this axis."""
        return min(WINDOW_PX, self.length)

    @property
    def starts(self) -> list[int]:
        """First pixel of each window; the last one ends with the axis and may overlap."""
        last = self.length - self.side
        return [min(start, last) for start in range(0, self.length, WINDOW_PX)]

    def neighbours(self, pixels: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Floats]:
        """Return the window before each pixel's centre, and the weight of the next one in [0, 1].

        Before the first centre and after the last one there is that window alone.
        """
        centres = np.array(self.starts) + self.side / 2
        if len(centres) == 1:
            return np.zeros(len(pixels), np.int64), np.zeros(len(pixels), np.float32)
        before = np.clip(np.searchsorted(centres, pixels + 0.5) - 1, 0, len(centres) - 2)
        weight = (pixels + 0.5 - centres[before]) / (centres[before + 1] - centres[before])
        return before, np.clip(weight, 0, 1).astype(np.float32)


class ColourField:
    """How every pixel of a scene is stretched; rows of windows are looked at when first needed.

    A row of windows depends on nothing but the scene, so that a resumed run finds the same.
    """

    def __init__(self, matcher: ColourMatcher, shape: tuple[int, int], read: ReadRows) -> None:
        """Prepare the field of a scene.

        Args:
            matcher: the network.
            shape: rows and columns of the scene as the model sees it.
            read: gives pixels (3, rows, columns) in [0, 1] and validity of rows, over the whole
                width, by the first and their number.
        """
        self.matcher, self.read = matcher, read
        self.down, self.across = (WindowAxis(length=length) for length in shape)
        self.window_row = lru_cache(ROWS_KEPT)(self._window_row)

    def apply(self, pixels: Floats, first: int) -> Floats:
        """Return rows of the scene, from the first on, with matched colours.

        Args:
            pixels: (3, rows, columns) in [0, 1].
            first: row of the scene that is the first of them.
        """
        rows = np.arange(first, first + pixels.shape[1])
        before, weights = self.down.neighbours(rows)
        matched = np.empty(pixels.shape, np.float32)
        for index, (above, weight) in enumerate(zip(before.tolist(), weights, strict=True)):
            gain, offset = self.row_of_stretches(above, weight)
            matched[:, index] = pixels[:, index] * gain + offset
        return matched

    def row_of_stretches(self, above: int, weight: np.float32) -> tuple[Floats, Floats]:
        """Return gain and offset (3, columns) of a row between two rows of windows.

        Windows without data have no say, unless there are no others.
        """
        sums: Floats = self.window_row(above).copy()
        if weight:
            sums += weight * (self.window_row(above + 1) - sums)
        share = sums[6]
        known = share > 0
        gain = np.where(known, sums[:3] / np.where(known, share, 1), np.float32(1))
        offset = np.where(known, sums[3:6] / np.where(known, share, 1), np.float32(0))
        return gain, offset

    def _window_row(self, index: int) -> Floats:
        """Weighted gains, weighted offsets and weights (7, columns) along one row of windows."""
        side = self.down.side
        pixels, valid = self.read(self.down.starts[index], side)
        starts, width = self.across.starts, self.across.side
        windows = np.stack([pixels[:, :, start : start + width] for start in starts])
        masks = np.stack([valid[:, start : start + width] for start in starts])
        found = self.matcher.stretches(windows, masks)
        says = np.array([[mask.any()] for mask in masks], np.float32)
        each = np.concatenate([found.gain * says, found.offset * says, says], axis=1)
        before, weight = self.across.neighbours(np.arange(self.across.length))
        after = np.minimum(before + 1, len(starts) - 1)
        sums: Floats = each[before] + weight[:, None] * (each[after] - each[before])
        return sums.T
