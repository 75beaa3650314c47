"""How one cell of ground is mapped: which pixels are read around it, which tiles see them.

Tiles stand at the same places of the zone's endless pixel grid whatever the cell, so two cells
predict the same heights where they meet. A tile that reaches over the border reads what lies there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from geo.height_maps.encoding import find_encoding
from geo.imagery.pixel_window import PixelWindow
from geo.imagery.placed import BLOCK_PX
from geo.tiles import TilePlan, endless_axis, moved, refuse_tile

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray

    from canopy.colour_matching import ColourMatcher
    from canopy.height_models.card import ModelCard
    from canopy.intervals import HeightInterval
    from canopy.mapping.settings import MapSettings
    from geo.cells import Cell
    from geo.grid import Grid
    from geo.height_maps.encoding import Encoding
    from geo.raster import Raster
    from geo.scene_reader import StripReader

    OpenMosaic = Callable[[PixelWindow], AbstractContextManager["MosaicStrips"]]


class MosaicStrips(Protocol):
    """Strips of a mosaic, and which image each of their pixels shows."""

    def read(self, row: int, height: int) -> Raster:
        """Return rows of a window over its whole width."""
        ...

    def shown(self, row: int, height: int) -> NDArray[np.int16]:
        """Return the number of the image that each pixel shows; -1 where none."""
        ...


MARGIN_PX = 2
"""Pixels of the model kept around a cell whose own pixels are of another size."""


@dataclass(frozen=True, kw_only=True)
class CellPlan:
    """How one cell becomes a map; prediction takes it as it takes the plan of a scene.

    Attributes:
        cell: the ground.
        core: pixels of the model that the cell is made of: its own, or those around it.
        kept: pixels whose heights are kept: the core, and what a correction needs around it.
        hull: pixels that are read: whole blocks of the mosaic around all tiles.
        tiles: every tile that has a part in what is kept, on the hull.
        settings: what the user chose.
        encoding: how heights are stored.
        open_mosaic: opens the imagery of a window.
        colours: what matches the colours of aerial images.
        source_name: what the map is made from, as a file that travels names it.
        interval: what makes an interval of each height.
    """

    cell: Cell
    core: PixelWindow
    kept: PixelWindow
    hull: PixelWindow
    tiles: TilePlan
    settings: MapSettings
    encoding: Encoding
    open_mosaic: OpenMosaic
    source_name: str
    colours: ColourMatcher | None = None
    interval: HeightInterval | None = None

    @property
    def grid(self) -> Grid:
        """Where the model sees the imagery."""
        return self.hull.grid

    @property
    def batch(self) -> int | None:
        """Tiles predicted at once."""
        return self.settings.batch

    @property
    def scaled(self) -> bool:
        """Whether the scale of the errors is predicted too."""
        return self.interval is not None

    @property
    def regrids(self) -> bool:
        """Whether the cell's pixels are of another size than the model's."""
        return self.core.pixel_m != self.cell.pixel_m

    @property
    def bands(self) -> int:
        """Bands of the map."""
        return 3 if self.interval else 1

    def read(self) -> AbstractContextManager[StripReader]:
        """Open the imagery of the hull."""
        return self.open_mosaic(self.hull)


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """Tiles of the endless grid [px], see :func:`geo.tiles.endless_axis`."""

    tile: int
    overlap: int

    @classmethod
    def of(cls, card: ModelCard, settings: MapSettings) -> Tiling:
        """Return what a user chose, or the model's own choice.

        Raises:
            GridError: the model does not take such tiles.
        """
        tile = card.tile_px if settings.tile_px is None else settings.tile_px
        overlap = card.overlap_px if settings.overlap_px is None else settings.overlap_px
        refuse_tile(tile, overlap, card.multiple_px)
        return cls(tile=tile, overlap=overlap)


def core_of(cell: Cell, gsd_m: float) -> PixelWindow:
    """Return the model's pixels that a cell is made of: its own, or those that cover it amply."""
    row, column = cell.origin_px
    if cell.pixel_m == gsd_m:
        spans = [range(first, first + cell.side_px) for first in (row, column)]
    else:
        scale = cell.pixel_m / gsd_m
        spans = [
            range(
                math.floor(first * scale) - MARGIN_PX,
                math.ceil((first + cell.side_px) * scale) + MARGIN_PX,
            )
            for first in (row, column)
        ]
    return PixelWindow(epsg=cell.epsg, pixel_m=gsd_m, rows=spans[0], columns=spans[1])


def grown(window: PixelWindow, margin_px: int) -> PixelWindow:
    """Return a window with so many more pixels on each side."""
    rows, columns = (
        range(pixels.start - margin_px, pixels.stop + margin_px)
        for pixels in (window.rows, window.columns)
    )
    return PixelWindow(epsg=window.epsg, pixel_m=window.pixel_m, rows=rows, columns=columns)


def hull_of(core: PixelWindow, tiling: Tiling, *, field: bool = False) -> PixelWindow:
    """Return whole blocks around all tiles that have a part in a core.

    Args:
        core: what is kept.
        tiling: the tiles.
        field: whether colours are matched window by window: then one more block on each side, for
            the windows whose stretches are blended.
    """
    rows, columns = (
        blocks_around(pixels, tiling, field=field) for pixels in (core.rows, core.columns)
    )
    return PixelWindow(epsg=core.epsg, pixel_m=core.pixel_m, rows=rows, columns=columns)


def blocks_around(pixels: range, tiling: Tiling, *, field: bool) -> range:
    """Return the hull along one axis."""
    spans = endless_axis(pixels, tiling.tile, tiling.overlap)
    more = BLOCK_PX if field else 0
    first = (spans[0].start - more) // BLOCK_PX
    last = -(-(spans[-1].stop + more) // BLOCK_PX)
    return range(first * BLOCK_PX, last * BLOCK_PX)


def tiles_of(core: PixelWindow, hull: PixelWindow, tiling: Tiling) -> TilePlan:
    """Return the tiles that have a part in a core, counted from the hull's first pixel."""
    rows, columns = (
        moved(endless_axis(kept, tiling.tile, tiling.overlap), -read.start)
        for kept, read in ((core.rows, hull.rows), (core.columns, hull.columns))
    )
    return TilePlan(height=len(hull.rows), width=len(hull.columns), rows=rows, columns=columns)


def plan_cell(
    cell: Cell,
    card: ModelCard,
    settings: MapSettings,
    imagery: CellImagery,
    interval: HeightInterval | None = None,
    margin_px: int = 0,
) -> CellPlan:
    """Decide everything about the map of a cell.

    Args:
        cell: the ground.
        card: what the model expects.
        settings: what the user chose.
        imagery: what it is made from.
        interval: what makes intervals, where they are asked for.
        margin_px: how far beyond the cell heights are needed.

    Raises:
        GridError: the model does not take such tiles.
    """
    tiling = Tiling.of(card, settings)
    core = core_of(cell, card.gsd_m)
    kept = grown(core, margin_px)
    hull = hull_of(kept, tiling, field=imagery.colours is not None)
    return CellPlan(
        cell=cell,
        core=core,
        kept=kept,
        hull=hull,
        tiles=tiles_of(kept, hull, tiling),
        settings=settings,
        encoding=find_encoding(settings.encoding),
        open_mosaic=imagery.open_mosaic,
        source_name=imagery.name,
        colours=imagery.colours,
        interval=interval,
    )


@dataclass(frozen=True, kw_only=True)
class CellImagery:
    """What the map of a cell is made from.

    Attributes:
        open_mosaic: opens the imagery of a window.
        name: what it is, as a file that travels names it.
        colours: what matches the colours of aerial images; None where they stay.
    """

    open_mosaic: OpenMosaic
    name: str
    colours: ColourMatcher | None = None
