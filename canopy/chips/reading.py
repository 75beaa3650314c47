"""A pair on one grid: imagery and heights pixel by pixel, at the pixel of the model."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from canopy.errors import SettingsError
from canopy.stored_heights import metres_stored
from geo.errors import SceneError
from geo.ground import model_grid
from geo.registration.moved_raster import moved_transform
from geo.scene import open_scene
from geo.scene_reader import read_on

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from canopy.chips.pairing import PairFiles
    from geo.grid import Grid
    from geo.raster import Mask, Pixels
    from geo.scene import Scene
    from geo.scene_reader import StripReader

TALLEST_M = 120.0
"""No tree is taller: a height from it on, or as far below 0, is a gap or an artefact."""
COARSEST = 3.0
"""Imagery whose pixels are larger than so many of the chips' is refused."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Strip:
    """Rows of a pair.

    Attributes:
        image: red, green, blue (3, rows, columns), uint8; 0 where it is not known.
        heights: canopy heights [m] (rows, columns); 0 where they are not known.
        known: (rows, columns), True where both are known.
        beyond_m: of the heights that no tree has the one farthest from 0 [m]; 0 if there is none.
    """

    image: npt.NDArray[np.uint8]
    heights: npt.NDArray[np.float32]
    known: Mask
    beyond_m: float


@dataclass(frozen=True, kw_only=True)
class OpenHeights:
    """The heights of a pair, open on a grid.

    Attributes:
        path: their file.
        raster: gives what is stored, on the pixels of the grid.
        scale: metres of a stored unit.
        offset: height of a stored 0 [m].
    """

    path: Path
    raster: WarpedVRT
    scale: float
    offset: float

    def read(self, window: Window) -> tuple[Pixels, Mask]:
        """Return heights of a window [m], whatever they are, and where the file states one.

        Raises:
            SceneError: the file breaks off.
        """
        try:
            stored = self.raster.read(1, window=window, masked=True)
        except RasterioError as error:
            msg = f"{self.path} cannot be read to its end ({error}): is it whole?"
            raise SceneError(msg) from error
        metres = stored.filled(0).astype(np.float32) * self.scale + self.offset
        return metres, ~np.ma.getmaskarray(stored) & np.isfinite(metres)


@dataclass(frozen=True, kw_only=True)
class OpenPair:
    """A pair opened on one grid.

    Attributes:
        files: where it stands.
        scene: the imagery.
        grid: pixels of imagery and heights, in true metres.
        reader: gives rows of the imagery.
        lidar: gives windows of the heights.
    """

    files: PairFiles
    scene: Scene
    grid: Grid
    reader: StripReader
    lidar: OpenHeights

    def read(self, row: int, count: int) -> Strip:
        """Return rows over the whole width.

        Raises:
            SceneError: a file breaks off.
        """
        raster = self.reader.read(row, count)
        metres, stated = self.lidar.read(Window(0, row, self.grid.width, count))
        plausible = np.abs(metres) < TALLEST_M
        known = stated & plausible & raster.valid
        return Strip(
            image=np.where(raster.valid, raster.pixels, 0).astype(np.uint8),
            heights=np.where(known, np.maximum(metres, 0), 0).astype(np.float32),
            known=known,
            beyond_m=farthest(metres[stated & ~plausible]),
        )


def farthest(heights: npt.NDArray[np.float32]) -> float:
    """Return of heights (n,) the one farthest from 0; 0 if there is none."""
    return float(heights[np.abs(heights).argmax()]) if heights.size else 0.0


@contextmanager
def open_pair(files: PairFiles, gsd_m: float) -> Iterator[OpenPair]:
    """Open a pair on a grid of square pixels, at the upper left corner of the image.

    Imagery is averaged by area where it is finer. Heights are interpolated where they are coarser
    and averaged where they are finer; their missing pixels stay missing.

    Args:
        files: the pair.
        gsd_m: pixel wanted [m].

    Raises:
        SceneError: a file cannot be read, or the imagery is too coarse.
        SettingsError: the imagery is not of bytes, or the heights are no heights of this ground.
    """
    scene = open_scene(files.image)
    if scene.dtype != "uint8":
        msg = f"{files.image} has pixels of {scene.dtype}: expected uint8, stretch it first"
        raise SettingsError(msg)
    if scene.gsd_m > COARSEST * gsd_m:
        msg = f"{files.image} has pixels of {scene.gsd_m:.2f} m: too coarse for chips of {gsd_m} m"
        raise SceneError(msg)
    grid = model_grid(scene.grid, gsd_m, scene.locate)
    with read_on(scene, grid) as reader, open_heights(files, grid) as lidar:
        yield OpenPair(files=files, scene=scene, grid=grid, reader=reader, lidar=lidar)


@contextmanager
def open_heights(
    files: PairFiles, grid: Grid, *, interpolate: bool = True
) -> Iterator[OpenHeights]:
    """Open heights on a grid, moved by the shift of their pair.

    Args:
        files: the pair.
        grid: the pixels wanted.
        interpolate: whether heights coarser than these are interpolated; else, like finer ones,
            they are averaged by area, so that a coarse pixel stays the block that it is.

    Raises:
        SceneError: the file cannot be opened, or holds no heights of plants.
        SettingsError: it has no CRS, or the image has none.
    """
    try:
        dataset = rasterio.open(files.heights)
    except RasterioError as error:
        msg = f"{files.heights} cannot be opened as a raster of heights ({error})"
        raise SceneError(msg) from error
    with dataset:
        if dataset.crs is None or grid.crs is None:
            lacking = files.heights if dataset.crs is None else files.image
            msg = f"{lacking} has no CRS: a pair is matched by its coordinates, georeference it"
            raise SettingsError(msg)
        scale, offset = metres_stored(str(files.heights), dataset)
        coarser = dataset.res[0] > grid.pixel_size[0] or dataset.crs.is_geographic
        between = interpolate and coarser
        with WarpedVRT(
            dataset,
            src_transform=moved_transform(dataset, files.shift_m, grid.crs),
            crs=grid.crs,
            transform=grid.transform,
            height=grid.height,
            width=grid.width,
            resampling=Resampling.bilinear if between else Resampling.average,
            dtype="float32",
            nodata=np.nan,
            tolerance=0.01,  # of a pixel; by default GDAL may be off by an eighth of one
        ) as raster:
            yield OpenHeights(path=files.heights, raster=raster, scale=scale, offset=offset)
