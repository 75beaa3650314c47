"""The mosaic of many images: a function of the ground, whoever asks and through whatever window.

A pixel shows the first image, in the order of its cell, that is valid there. Everything is read in
blocks of the endless pixel grid of a zone, each of which depends on itself alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyproj
import rasterio
import shapely
from shapely.geometry import box, shape

from geo.cells import Cell
from geo.errors import GridError
from geo.footprint import grid_footprint
from geo.ground import WGS84
from geo.imagery.opened import OpenImages
from geo.imagery.placed import BLOCK_PX, Zone
from geo.imagery.ranking import Preference, ranked
from geo.raster import Raster
from geo.scene import GDAL_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from shapely.geometry.base import BaseGeometry

    from geo.grid import Grid
    from geo.imagery.image import Image
    from geo.imagery.opened import Stretching, StretchOf
    from geo.imagery.pixel_window import PixelWindow
    from geo.raster import Mask, Pixels
    from geo.scene import Scene

    Indices = np.ndarray[tuple[int, ...], np.dtype[np.int16]]

__all__ = ["BLOCK_PX", "MosaicReader", "MosaicSettings"]

SLACK_M = 20.0
"""How far an image may reach beyond its footprint: catalogs round and simplify [m]."""

SLACK_DEG = 0.01
"""Ground around a window whose footprints are looked at [degrees]."""

MOST_IMAGES = 32767
"""Images of one window: their numbers are int16."""

STEP_DEG = 0.02
"""Longest piece of an edge that is projected as a straight line [degrees]."""


def unstretched(scene: Scene) -> Stretching | None:  # noqa: ARG001 - what `stretch_of` is given
    """Return no stretch, whatever the scene."""
    return None


@dataclass(frozen=True, kw_only=True)
class MosaicSettings:
    """What a mosaic shows.

    Attributes:
        preference: which image wins.
        cell_px: side of the cells in which one order of the images holds [px of the mosaic], a
            multiple of BLOCK_PX.
        stretch_of: given a scene, returns what brings its pixels (3, rows, columns) to [0, 1], or
            None for bytes and for reals that are there already. Asked once for each file.
    """

    preference: Preference = field(default_factory=Preference)
    cell_px: int = 4096
    stretch_of: StretchOf = unstretched


class MosaicReader:
    """Strips of a mosaic of images over whole blocks.

    Images are opened when their pixels are needed. No pixel is read twice as long as strips follow
    one another southwards.

    Attributes:
        images: what the numbers of `shown` count.
        grid: where the window lies.
    """

    def __init__(
        self,
        images: Sequence[Image],
        window: PixelWindow,
        settings: MosaicSettings | None = None,
    ) -> None:
        """Open a mosaic; no file is opened yet.

        Args:
            images: the images; those that miss the window do no harm.
            window: whole blocks of the endless grid of a zone.
            settings: what is shown.

        Raises:
            GridError: the window is not of whole blocks, or the images are too many.
        """
        self.images = tuple(images)
        self.settings = settings or MosaicSettings()
        _refuse_window(window, self.settings.cell_px, len(self.images))
        self.zone = Zone(window.epsg, window.pixel_m)
        self.rows, self.columns = window.rows, window.columns
        self.grid = window.grid
        self._footprints = _Footprints(self.images, self.zone, self.grid)
        self._open = OpenImages(self.images, self.zone, self.settings.stretch_of)
        self._orders: dict[tuple[int, int], list[int]] = {}
        self._strips: dict[int, tuple[Pixels, Indices]] = {}

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all files."""
        self.close()

    def close(self) -> None:
        """Close all files."""
        self._open.close()
        self._strips.clear()

    def read(self, row: int, height: int) -> Raster:
        """Return rows of the window over its whole width.

        Args:
            row: the first, from the window's top.
            height: how many.

        Returns:
            Pixels (3, height, width), float32 in [0, 1], 0 where nothing is valid; valid is True
            where an image shows something.

        Raises:
            SceneError: an image cannot be opened or read.
            ConnectionLostError: its server does not answer just now.
        """
        strips = self._part(row, height)
        pixels = np.concatenate([pixels for pixels, _ in strips], axis=1)
        shown = np.concatenate([shown for _, shown in strips])
        grid = self.grid.part(row, 0, height, self.grid.width)
        return Raster(pixels=pixels, valid=shown >= 0, grid=grid)

    def shown(self, row: int, height: int) -> Indices:
        """Return which of the images rows show (height, width), int16; -1 where none.

        Raises:
            SceneError: an image cannot be opened or read.
            ConnectionLostError: its server does not answer just now.
        """
        return np.concatenate([shown for _, shown in self._part(row, height)])

    def _part(self, row: int, height: int) -> list[tuple[Pixels, Indices]]:
        """Return pieces of rows of blocks that make up some rows; earlier ones are let go."""
        if row < 0 or height < 1 or row + height > len(self.rows):
            msg = f"rows {row} to {row + height} of a window that has {len(self.rows)} rows"
            raise GridError(msg)
        wanted = range(row // BLOCK_PX, -(-(row + height) // BLOCK_PX))
        for down in [down for down in self._strips if down < wanted.start]:
            del self._strips[down]
        pieces = []
        for down in wanted:
            pixels, shown = self._blocks(down)
            top = down * BLOCK_PX
            piece = slice(max(row - top, 0), min(row + height - top, BLOCK_PX))
            pieces.append((pixels[:, piece], shown[piece]))
        return pieces

    def _blocks(self, down: int) -> tuple[Pixels, Indices]:
        """Return a row of blocks: pixels (3, BLOCK_PX, width), and which images they show."""
        if down not in self._strips:
            width = len(self.columns)
            pixels = np.zeros((3, BLOCK_PX, width), np.float32)
            shown = np.full((BLOCK_PX, width), -1, np.int16)
            row = self.rows.start + down * BLOCK_PX
            # Options of GDAL belong to a thread: set here, whichever thread reads.
            with rasterio.Env(**GDAL_OPTIONS):
                for across in range(0, width, BLOCK_PX):
                    columns = slice(across, across + BLOCK_PX)
                    column = self.columns.start + across
                    self._fill(row, column, pixels[:, :, columns], shown[:, columns])
            self._strips[down] = pixels, shown
        return self._strips[down]

    def _fill(self, row: int, column: int, pixels: Pixels, shown: Indices) -> None:
        """Fill a block from the images of its cell, until every pixel shows one."""
        met = self._footprints.meeting(row, column)
        for index in self._order(row, column):
            if index not in met:
                continue
            block = self._open.read(index, row, column)
            if block is None:
                continue
            if _paste(index, block, pixels, shown):
                return

    def _order(self, row: int, column: int) -> list[int]:
        """Return the order of the images in the cell of a block."""
        side = self.settings.cell_px
        key = row // side, column // side
        if key not in self._orders:
            cell = Cell(
                epsg=self.zone.epsg, pixel_m=self.zone.pixel_m, side_px=side,
                column=key[1], row=-key[0] - 1,
            )  # fmt: skip
            self._orders[key] = self._footprints.order(cell, self.settings.preference)
        return self._orders[key]


def _paste(index: int, block: tuple[Pixels, Mask], pixels: Pixels, shown: Indices) -> bool:
    """Show an image where it is valid and no other is shown; return whether all is shown then."""
    new, valid = block
    free = shown < 0
    take = valid & free
    if take.all():
        pixels[:], shown[:] = new, index
        return True
    np.copyto(pixels, new, where=take)
    shown[take] = index
    return bool((take == free).all())


class _Footprints:
    """Where images lie in a window: which of them may have a part in a block."""

    def __init__(self, images: Sequence[Image], zone: Zone, grid: Grid) -> None:
        """Project the footprints of images that come near a window."""
        self.images, self.zone = images, zone
        self.near = _projected(images, zone, grid)

    def meeting(self, row: int, column: int) -> set[int]:
        """Return the images that may have a part in a block."""
        side = self.zone.pixel_m
        block = box(
            column * side, -(row + BLOCK_PX) * side, (column + BLOCK_PX) * side, -row * side
        )
        return {index for index, ground in self.near.items() if ground.intersects(block)}

    def order(self, cell: Cell, preference: Preference) -> list[int]:
        """Return the images of a cell, in their order."""
        indices = {id(self.images[index]): index for index in self.near}
        near = [self.images[index] for index in self.near]
        return [indices[id(image)] for image in ranked(near, cell, preference)]


def _projected(images: Sequence[Image], zone: Zone, grid: Grid) -> dict[int, BaseGeometry]:
    """Return the ground of images near a window, in the zone's coordinates, a little widened."""
    outline = grid_footprint(grid)
    if outline is None:
        msg = f"a window at {grid.bounds} of EPSG:{zone.epsg} lies nowhere on Earth"
        raise GridError(msg)
    around = shape(outline.geometry).buffer(SLACK_DEG)
    footprints = np.array([image.footprint for image in images], dtype=object)
    shapely.prepare(around)
    near = np.flatnonzero(shapely.intersects(around, footprints))
    project = pyproj.Transformer.from_crs(WGS84, zone.crs.to_wkt(), always_xy=True).transform
    grounds = {}
    for index in map(int, near):
        # Cut first: a footprint that spans half the Earth has no place in a zone.
        cut = shapely.segmentize(images[index].footprint.intersection(around), STEP_DEG)
        flat = shapely.transform(cut, project, interleaved=False)
        grounds[index] = flat.buffer(SLACK_M)
        shapely.prepare(grounds[index])
    return grounds


def _refuse_window(window: PixelWindow, cell_px: int, images: int) -> None:
    """Refuse a window that is not of whole blocks, and more images than can be told apart.

    Raises:
        GridError: it is such a window, or they are too many.
    """
    edges = (window.rows.start, window.rows.stop, window.columns.start, window.columns.stop)
    if any(edge % BLOCK_PX for edge in edges) or cell_px % BLOCK_PX:
        msg = (
            f"rows {edges[0]} to {edges[1]} and columns {edges[2]} to {edges[3]} in cells of "
            f"{cell_px} px: expected whole blocks of {BLOCK_PX} px"
        )
        raise GridError(msg)
    if images > MOST_IMAGES:
        msg = f"{images} images over one window: expected up to {MOST_IMAGES}, give those that meet"
        raise GridError(msg)
