"""Canopy heights set right on their image: read both, find the shift, move what is surely off."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rasterio.errors import RasterioError
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from canopy.chips.pairing import PairFiles
from canopy.chips.reading import TALLEST_M, open_heights
from canopy.errors import OutputError, SettingsError
from geo.errors import SceneError
from geo.ground import model_grid
from geo.lidar.chm_files import working_folder
from geo.moved_raster import write_moved
from geo.registration import Registration, RegistrationSettings, register_views
from geo.scene import open_scene
from geo.scene_reader import read_on
from geo.shift_evidence import View
from geo.shift_grid import reach_px

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rasterio.vrt import WarpedVRT

    from geo.grid import Grid
    from geo.raster import Mask, Pixels
    from geo.scene_reader import StripReader

FINEST_M, COARSEST_M = 0.5, 3.0
"""Both are compared at the image's pixel, but no finer; coarser imagery shows no crowns [m]."""

WINDOW_M, WINDOWS = 80.0, 3
"""Of larger ground a sample is compared: windows of this side [m], so many down and across."""


@dataclass(frozen=True, kw_only=True)
class RegisteredPair:
    """What came of an image and its heights.

    Attributes:
        image: the imagery.
        heights: the canopy heights.
        output: where the moved heights stand, or None where none were written.
        grid: on which both were compared.
        found: the shift.
    """

    image: Path
    heights: Path
    output: Path | None
    grid: Grid
    found: Registration


def register(
    image: str | Path,
    heights: str | Path,
    output: str | Path | None = None,
    *,
    settings: RegistrationSettings | None = None,
    overwrite: bool = False,
) -> RegisteredPair:
    """Find how far canopy heights lie beside an image, and write them moved where that is better.

    Args:
        image: imagery, red, green and blue; it is taken to lie where it should.
        heights: canopy heights [m], one band, in any CRS.
        output: a GeoTIFF for the moved heights, pixels untouched; it stands there when it is whole,
            and only if the heights surely lie elsewhere. None to look only.
        settings: how far is searched, and what is believed.
        overwrite: whether a file that stands at the output is replaced.

    Raises:
        GeoError: a file cannot be read or written, or the two share no ground.
        OutputError: the output may not be written.
        SettingsError: a file has no CRS.
    """
    settings = settings or RegistrationSettings()
    image, heights = Path(image), Path(heights)
    place = None if output is None else Path(output)
    if place is not None:
        refuse_output(place, (image, heights), overwrite=overwrite)
    files = PairFiles(name=image.stem, site="", image=image, heights=heights)
    grid, views = read_views(files, settings.max_shift_m)
    found = register_views(views, grid.pixel_size[0], settings)
    moved = place is not None and found.verdict == "shifted"
    if place is not None and moved:
        write_output(files, place, grid, found)
    return RegisteredPair(
        image=image, heights=heights, output=place if moved else None, grid=grid, found=found
    )


def refuse_output(output: Path, sources: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse an output that is no GeoTIFF, an input, or may not be replaced.

    Raises:
        OutputError: as said.
    """
    if output.suffix.lower() not in {".tif", ".tiff"}:
        msg = f"output {output}: moved heights are a GeoTIFF, end its name in .tif"
        raise OutputError(msg)
    if not output.parent.is_dir():
        msg = f"output folder {output.parent} does not exist: make it, or choose another"
        raise OutputError(msg)
    if output.is_dir():
        msg = f"output {output} is a folder: name a file in it, such as {output / 'chm.tif'}"
        raise OutputError(msg)
    if not output.exists():
        return
    if any(source.exists() and output.samefile(source) for source in sources):
        msg = f"output {output} is what shall be read: choose another output"
        raise OutputError(msg)
    if not overwrite:
        msg = f"{output} exists: choose another output, or replace it with --overwrite"
        raise OutputError(msg)


def write_output(files: PairFiles, output: Path, grid: Grid, found: Registration) -> None:
    """Write moved heights in one step.

    Raises:
        MapFileError: they cannot be written.
    """
    tags = {
        "REGISTRATION": f"moved {found.east_m:.3f} m east and {found.north_m:.3f} m north to fit "
        f"{files.image.name}, spread {found.spread_m:.2f} m"
    }
    with working_folder(output) as work:
        made = work / output.name
        write_moved(files.heights, made, (found.east_m, found.north_m), grid.crs, tags)
        made.replace(output)


def read_views(files: PairFiles, max_shift_m: float) -> tuple[Grid, list[View]]:
    """Read an image, and its heights with a margin, on one north-up grid in metres.

    Returns:
        The grid of the whole image, and a sample of its windows where there are heights.

    Raises:
        SceneError: a file cannot be read, or the imagery is too coarse.
        SettingsError: a file has no CRS, or the two share no ground.
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
    with read_on(scene, grid) as reader, open_heights(files, wide) as lidar:
        windows = sample_windows(common_window(files, lidar, grid), grid.pixel_size[0])
        views = [read_view(files, reader, lidar, window, margin) for window in windows]
    return grid, views


def common_window(files: PairFiles, lidar: WarpedVRT, grid: Grid) -> Window:
    """Return the part of an image's grid where heights can be.

    Raises:
        SettingsError: there is none.
    """
    source = lidar.src_dataset
    west, south, east, north = transform_bounds(source.crs, grid.crs, *source.bounds)
    inverse = ~grid.transform
    left, top = inverse * (west, north)
    right, bottom = inverse * (east, south)
    rows = (max(0, math.floor(top)), min(grid.height, math.ceil(bottom)))
    columns = (max(0, math.floor(left)), min(grid.width, math.ceil(right)))
    if rows[0] >= rows[1] or columns[0] >= columns[1]:
        msg = f"{files.heights} lies beside {files.image}: expected the same ground"
        raise SettingsError(msg)
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


def read_view(
    files: PairFiles, reader: StripReader, lidar: WarpedVRT, window: Window, margin: int
) -> View:
    """Read a window of the image, and of the heights with a margin.

    Raises:
        SceneError: a file breaks off.
    """
    raster = reader.read(window.row_off, window.height)
    columns = slice(window.col_off, window.col_off + window.width)
    wide = Window(
        window.col_off, window.row_off, window.width + 2 * margin, window.height + 2 * margin
    )
    heights, known = read_heights(files, lidar, wide)
    return View(
        image=raster.pixels[:, :, columns],
        image_known=raster.valid[:, columns],
        heights=heights,
        heights_known=known,
    )


def read_heights(files: PairFiles, lidar: WarpedVRT, window: Window) -> tuple[Pixels, Mask]:
    """Return heights [m] of a window, and where they are known.

    Raises:
        SceneError: the file breaks off.
    """
    try:
        stored = lidar.read(1, window=window, masked=True)
    except RasterioError as error:
        msg = f"{files.heights} cannot be read to its end ({error}): is it whole?"
        raise SceneError(msg) from error
    metres = stored.filled(0).astype(np.float32) * lidar.scales[0] + lidar.offsets[0]
    known = ~np.ma.getmaskarray(stored) & np.isfinite(metres) & (np.abs(metres) < TALLEST_M)
    return np.where(known, metres, 0).astype(np.float32), known
