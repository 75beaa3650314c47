"""Small plots put together on chips, as tightly as rectangles that are not cut can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from canopy.chips.chip import as_chip

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from canopy.chips.chip import Chip, Piece


class Box(NamedTuple):
    """A rectangle of a chip [px]."""

    row: int
    column: int
    height: int
    width: int

    @property
    def last_row(self) -> int:
        """One past its last row."""
        return self.row + self.height

    @property
    def last_column(self) -> int:
        """One past its last column."""
        return self.column + self.width

    def meets(self, other: Box) -> bool:
        """Whether the two share a pixel."""
        rows = self.row < other.last_row and other.row < self.last_row
        return rows and self.column < other.last_column and other.column < self.last_column

    def holds(self, other: Box) -> bool:
        """Whether the other lies inside."""
        rows = self.row <= other.row and other.last_row <= self.last_row
        columns = self.column <= other.column and other.last_column <= self.last_column
        return rows and columns

    def without(self, taken: Box) -> list[Box]:
        """Return the largest rectangles that are left of it; they may overlap."""
        if not self.meets(taken):
            return [self]
        above = Box(self.row, self.column, taken.row - self.row, self.width)
        below = Box(taken.last_row, self.column, self.last_row - taken.last_row, self.width)
        before = Box(self.row, self.column, self.height, taken.column - self.column)
        width = self.last_column - taken.last_column
        after = Box(self.row, taken.last_column, self.height, width)
        return [box for box in (above, below, before, after) if box.height > 0 and box.width > 0]


def collages(pieces: Sequence[Piece], side: int) -> Iterator[Chip]:
    """Yield chips of small plots, as many of them on each as find a place.

    The largest plots come first, equal ones in the order they came in. What is left between plots
    is not known to the lidar and does not count.
    """
    waiting = sorted(pieces, key=lambda piece: -piece.window.height * piece.window.width)
    while waiting:
        sizes = [(piece.window.height, piece.window.width) for piece in waiting]
        places = pack(sizes, side)
        found = list(zip(waiting, places, strict=True))
        yield as_chip([(piece, box.row, box.column) for piece, box in found if box], side)
        waiting = [piece for piece, box in found if box is None]


def pack(sizes: Sequence[tuple[int, int]], side: int) -> list[Box | None]:
    """Return the place of each rectangle on one square, None for those that find none.

    Maximal rectangles, bottom-left rule (Jylänki 2010, "A thousand ways to pack the bin"): of all
    free rectangles that are large enough, the one in which the new one's lower edge comes highest
    up, and of these the leftmost. Plots are not turned: their shadows would fall the other way.

    Args:
        sizes: rows and columns of each, none above ``side``, in the order they are placed [px].
        side: rows and columns of the square [px].
    """
    free, places = [Box(0, 0, side, side)], list[Box | None]()
    for height, width in sizes:
        fitting = [box for box in free if box.height >= height and box.width >= width]
        if not fitting:
            places.append(None)
            continue
        chosen = min(fitting, key=lambda box: (box.row, box.column))
        taken = Box(chosen.row, chosen.column, height, width)
        places.append(taken)
        free = largest([left for box in free for left in box.without(taken)])
    return places


def largest(boxes: Sequence[Box]) -> list[Box]:
    """Return the rectangles that lie in no other, each once."""
    once = list(dict.fromkeys(boxes))
    return [box for box in once if not any(box != other and other.holds(box) for other in once)]
