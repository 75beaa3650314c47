"""A chip: one square of imagery with its heights, from one window or a collage of small plots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from canopy.chips.windows import ChipWindow
    from geo.raster import Mask


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """The pixels of a window.

    Attributes:
        window: where it lies.
        image: red, green, blue (3, rows, columns), uint8.
        heights: canopy heights [m] (rows, columns).
        known: (rows, columns), True where both are known.
    """

    window: ChipWindow
    image: npt.NDArray[np.uint8]
    heights: npt.NDArray[np.float32]
    known: Mask


@dataclass(frozen=True, kw_only=True, eq=False)
class Chip:
    """What a training run reads.

    Attributes:
        windows: what it shows, and at which row and column of it.
        image: (3, side, side), uint8; beyond its pieces their mean colour.
        heights: (side, side) [m]; 0 where not known.
        known: (side, side), True where the height is known.
    """

    windows: tuple[tuple[ChipWindow, int, int], ...]
    image: npt.NDArray[np.uint8]
    heights: npt.NDArray[np.float32]
    known: Mask


def as_chip(pieces: Sequence[tuple[Piece, int, int]], side: int) -> Chip:
    """Return a chip with pieces at rows and columns of it."""
    image = np.zeros((3, side, side), np.uint8)
    heights = np.zeros((side, side), np.float32)
    known, shown = np.zeros((side, side), bool), np.zeros((side, side), bool)
    for piece, row, column in pieces:
        place = (slice(row, row + piece.window.height), slice(column, column + piece.window.width))
        image[:, *place] = piece.image
        heights[place], known[place] = piece.heights, piece.known
        shown[place] = piece.image.any(axis=0) | piece.known
    if not shown.all():
        mean = np.rint(image[:, shown].mean(axis=1)) if shown.any() else np.zeros(3)
        image = np.where(shown, image, mean.astype(np.uint8)[:, None, None])
    windows = tuple((piece.window, row, column) for piece, row, column in pieces)
    return Chip(windows=windows, image=image, heights=heights, known=known)
