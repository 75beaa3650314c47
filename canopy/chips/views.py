"""A pair as views of the ground: windows of its image, and heights with a margin around each."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import numpy as np
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from canopy.chips.reading import TALLEST_M, open_heights
from geo.errors import ApartError, SceneError
from geo.grid import Grid
from geo.ground import ground_pixel_m, model_grid
from geo.registration.shift_evidence import View
from geo.registration.shift_grid import reach_px
from geo.registration.single_shift import Registration, RegistrationSettings, register_views
from geo.scene import open_scene
from geo.scene_reader import read_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from canopy.chips.pairing import PairFiles
    from canopy.chips.reading import OpenHeights
    from geo.raster import Mask, Pixels
    from geo.scene_reader import StripReader

FINEST_M, COARSEST_M = 0.5, 3.0
"""Both are compared at the image's pixel, but no finer; coarser imagery shows no crowns [m]."""

WINDOW_M, WINDOWS = 80.0, 3
"""Of larger ground a sample is compared: windows of this side [m], so many down and across."""


@dataclass(frozen=True, kw_only=True)
class OpenViews:
    """A pair opened so that windows of it can be compared.

    Attributes:
        files: where it stands.
        grid: of the whole image: north up, in metres.
        common: the part of the grid where heights can be.
        margin: pixels of heights that a view has beyond each side.
        heights_pixel_m: longer side of the heights' own pixel [m].
        reader: gives rows of the imagery.
        lidar: gives windows of the heights, from the margin on.
    """

    files: PairFiles
    grid: Grid
    common: Window
    margin: int
    heights_pixel_m: float
    reader: StripReader
    lidar: OpenHeights

    def read(self, windows: Iterable[Window]) -> Iterator[View]:
        """Yield the views of windows of the grid, those of a row one after the other.

        Raises:
            SceneError: a file breaks off.
        """
        for (row, count), together in groupby(
            windows, key=lambda window: (window.row_off, window.height)
        ):
            strip = self.reader.read(row, count)
            for window in together:
                columns = slice(window.col_off, window.col_off + window.width)
                heights, known = self._heights(window)
                yield View(
                    image=strip.pixels[:, :, columns],
                    image_known=strip.valid[:, columns],
                    heights=heights,
                    heights_known=known,
                    heights_pixel_m=self.heights_pixel_m,
                )

    def _heights(self, window: Window) -> tuple[Pixels, Mask]:
        """Heights [m] of a window and its margin, and where they are known."""
        wide = Window(
            window.col_off,
            window.row_off,
            window.width + 2 * self.margin,
            window.height + 2 * self.margin,
        )
        metres, stated = self.lidar.read(wide)
        known = stated & (np.abs(metres) < TALLEST_M)
        return np.where(known, metres, 0).astype(np.float32), known


def register_pair(files: PairFiles, settings: RegistrationSettings) -> tuple[Grid, Registration]:
    """Find the one shift between the image and the heights of a pair.

    Returns:
        The grid in whose CRS the shift is, and the shift.

    Raises:
        ApartError: the two share too little ground.
        SceneError: a file cannot be read, or the imagery is too coarse.
        SettingsError: a file has no CRS.
    """
    with open_views(files, settings.max_shift_m) as pair:
        return pair.grid, register_views(sample_views(pair), pair.grid.pixel_size[0], settings)


@contextmanager
def open_views(files: PairFiles, max_shift_m: float) -> Iterator[OpenViews]:
    """Open an image, and its heights with a margin, on one north-up grid in metres.

    Raises:
        ApartError: the two share no ground.
        SceneError: a file cannot be read, or the imagery is too coarse.
        SettingsError: a file has no CRS.
    """
    scene = open_scene(files.image)
    if scene.gsd_m > COARSEST_M:
        msg = (
            f"{files.image} has pixels of {scene.gsd_m:.2f} m: expected {COARSEST_M:g} m or less, "
            "to see crowns"
        )
        raise SceneError(msg)
    grid = model_grid(scene.grid, max(FINEST_M, scene.gsd_m), scene.locate)
    margin = reach_px(max_shift_m, grid.pixel_size[0])
    wide = grid.part(-margin, -margin, grid.height + 2 * margin, grid.width + 2 * margin)
    # Interpolated, coarse crowns would be lower than their pixels say, and their shadows too short:
    # the shift would be drawn towards the shadows of the image.
    with read_on(scene, grid) as reader, open_heights(files, wide, interpolate=False) as lidar:
        yield OpenViews(
            files=files,
            grid=grid,
            common=common_window(files, lidar, grid),
            margin=margin,
            heights_pixel_m=max(ground_pixel_m(Grid.of(lidar.raster.src_dataset))),
            reader=reader,
            lidar=lidar,
        )


def sample_views(pair: OpenViews) -> list[View]:
    """Return a sample of the windows where there can be heights."""
    return list(pair.read(sample_windows(pair.common, pair.grid.pixel_size[0])))


def common_window(files: PairFiles, lidar: OpenHeights, grid: Grid) -> Window:
    """Return the part of an image's grid where heights can be.

    Raises:
        ApartError: there is none.
    """
    source = lidar.raster.src_dataset
    west, south, east, north = transform_bounds(source.crs, grid.crs, *source.bounds)
    inverse = ~grid.transform
    left, top = inverse * (west, north)
    right, bottom = inverse * (east, south)
    rows = (max(0, math.floor(top)), min(grid.height, math.ceil(bottom)))
    columns = (max(0, math.floor(left)), min(grid.width, math.ceil(right)))
    if rows[0] >= rows[1] or columns[0] >= columns[1]:
        msg = f"{files.heights} lies beside {files.image}: expected the same ground"
        raise ApartError(msg)
    return Window(columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0])


def sample_windows(window: Window, pixel_m: float) -> Iterator[Window]:
    """Yield a window, or where it is large some windows spread over it."""
    for row, height in sample_spans(window.row_off, window.height, pixel_m):
        for column, width in sample_spans(window.col_off, window.width, pixel_m):
            yield Window(column, row, width, height)


def sample_spans(first: int, length: int, pixel_m: float) -> list[tuple[int, int]]:
    """Return where the windows begin along an axis, and how long they are [px]."""
    side = round(WINDOW_M / pixel_m)
    if length <= WINDOWS * side:
        count = max(1, math.ceil(length / side))
        edges = np.linspace(first, first + length, count + 1).round().astype(int).tolist()
        return [(edge, after - edge) for edge, after in pairwise(edges)]
    starts = np.linspace(first, first + length - side, WINDOWS).round().astype(int).tolist()
    return [(start, side) for start in starts]
