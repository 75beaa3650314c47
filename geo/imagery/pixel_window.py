"""A part of the endless pixel grid of a UTM zone: what a mosaic is read on, what a cell keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from geo.imagery.placed import Zone

if TYPE_CHECKING:
    from geo.grid import Grid


@dataclass(frozen=True, kw_only=True)
class PixelWindow:
    """A part of the endless pixel grid of a UTM zone.

    Attributes:
        epsg: the zone.
        pixel_m: side of a pixel [m].
        rows: from the equator's false northing 0 southwards: those north of it are negative.
        columns: eastwards from the false easting 0.
    """

    epsg: int
    pixel_m: float
    rows: range
    columns: range

    @property
    def grid(self) -> Grid:
        """Its pixels as a grid."""
        first = self.rows.start, self.columns.start
        return Zone(self.epsg, self.pixel_m).grid(*first, len(self.rows), len(self.columns))

    def within(self, other: PixelWindow) -> tuple[slice, slice]:
        """Return its rows and columns as slices of a larger window."""
        down, across = (
            slice(mine.start - theirs.start, mine.stop - theirs.start)
            for mine, theirs in ((self.rows, other.rows), (self.columns, other.columns))
        )
        return down, across
