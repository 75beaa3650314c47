"""The ground that chips show, counted once however many windows overlap on it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from canopy.chips.windows import near_pairs
from geo.ground import ground_pixel_m, places_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from canopy.chips.windows import ChipWindow
    from geo.grid import Grid
    from geo.raster import Mask

    Place = tuple[int, int, int]


class KnownGround:
    """Counts known pixels whose middles lie on no ground that was counted for their site before.

    Windows overlap where the last of a row ends with its pair, and where pairs do; of two CRSs too.
    """

    def __init__(self, windows: Sequence[ChipWindow]) -> None:
        """Find which windows of a site overlap; circles around them, where their CRSs differ."""
        self.beside: dict[Place, list[ChipWindow]] = defaultdict(list)
        for first, second in near_pairs(windows, 0.0).tolist():
            one, other = windows[first], windows[second]
            if one.site == other.site:
                self.beside[place_of(one)].append(other)
                self.beside[place_of(other)].append(one)
        self.counted: dict[Place, npt.NDArray[np.uint8]] = {}
        self.pixel_m2: dict[int, float] = {}

    def add(self, window: ChipWindow, known: Mask) -> tuple[float, float]:
        """Return the known area of a window, and how much of it is new ground [m2 on the Earth].

        Args:
            window: one of the windows; each is to be added once.
            known: (rows, columns), True where image and heights are known.
        """
        place, new = place_of(window), known.copy()
        for other in self.beside.get(place, []):
            counted = self.counted.get(place_of(other))
            if counted is not None:
                theirs = np.unpackbits(counted, count=other.height * other.width).astype(bool)
                new &= ~seen_from(window.grid, other.grid, theirs.reshape(other.grid.shape))
        if place in self.beside:  # as bits, since a large set has many
            self.counted[place] = np.packbits(known)
        if window.pair not in self.pixel_m2:
            self.pixel_m2[window.pair] = float(np.prod(ground_pixel_m(window.grid)))
        pixel_m2 = self.pixel_m2[window.pair]
        return float(known.sum()) * pixel_m2, float(new.sum()) * pixel_m2


def place_of(window: ChipWindow) -> Place:
    """Return what tells a window from all others."""
    return window.pair, window.row, window.column


def seen_from(grid: Grid, other: Grid, theirs: Mask) -> Mask:
    """Return where the middles of a grid's pixels lie on what is True of another grid.

    Args:
        grid: rows and columns of what is returned.
        other: rows and columns of ``theirs``.
        theirs: the other's mask.
    """
    down, across = places_on(other, grid, *(np.indices(grid.shape) + 0.5))
    inside = (across >= 0) & (across < other.width) & (down >= 0) & (down < other.height)
    seen = np.zeros(grid.shape, bool)
    seen[inside] = theirs[down[inside].astype(int), across[inside].astype(int)]
    return seen
