"""Black around an image that declares no missing pixels: heights would be learned from it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from canopy.chips.reading import Strip
    from canopy.chips.windows import ChipWindow

MOST_SAMPLES = 4096
"""Of a longer side not every pixel is looked at."""
LEAST_SHARE = 0.1
"""A window with less of it black is let pass: deep shadow at the border is black too."""
TOUCHING = np.ones((3, 3), bool)
"""Black pixels are one area where their sides or corners touch."""


class BlackBorder:
    """What of a pair is 0 in all three bands from the border of the image inwards.

    Shadow amid the image is no part of it.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        """Begin with nothing seen of rows and columns."""
        self.step = math.ceil(max(shape) / MOST_SAMPLES)
        samples = tuple(math.ceil(length / self.step) for length in shape)
        self.black, self.known = np.zeros(samples, bool), np.zeros(samples, bool)

    def see(self, row: int, strip: Strip) -> None:
        """Look at the rows of a strip that begins at a row."""
        first = -row % self.step
        image, known = (
            part[..., first :: self.step, :: self.step] for part in (strip.image, strip.known)
        )
        rows = slice((row + first) // self.step, (row + first) // self.step + known.shape[0])
        # Missing pixels are 0 too: black within a border of them is of the border.
        self.black[rows], self.known[rows] = ~image.any(axis=0), known

    def share(self, windows: Sequence[ChipWindow]) -> float:
        """Return the share of the image that is such and has heights, 0 where no window has much.

        To be asked when all strips were seen.
        """
        labels, _ = ndimage.label(self.black, TOUCHING)
        edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        bordering = self.known & np.isin(labels, edges[edges > 0])
        if any(self._within(bordering, window) >= LEAST_SHARE for window in windows):
            return float(bordering.mean())
        return 0.0

    def _within(self, bordering: np.ndarray, window: ChipWindow) -> float:
        """Share of a window."""
        rows, columns = (
            slice(math.ceil(first / self.step), math.ceil((first + length) / self.step))
            for first, length in ((window.row, window.height), (window.column, window.width))
        )
        part = bordering[rows, columns]
        return float(part.mean()) if part.size else 0.0


def words_black(shares: Mapping[Path, float]) -> str:
    """Say which images have such borders, how much of them, and what to do; empty if none has."""
    if not shares:
        return ""
    path, share = next(iter(shares.items()))
    more = f" (and so are {len(shares) - 1} more)" if len(shares) > 1 else ""
    return (
        f"{path} is black (0, 0, 0) from its border inwards on {share:.1%} of it{more}, and "
        "heights are learned from that: if it is missing pixels and no shadow, declare them (rio "
        f"edit-info --nodata 0 {path}, or gdal_edit.py -a_nodata 0) and cut anew"
    )
