"""Canopy height from two rasters: a surface model less a terrain model."""

from __future__ import annotations

import logging
import math
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geo.grid import Grid
from geo.ground import ground_pixel_m, to_pyproj
from geo.height_maps.cog import refuse_without_room, room_needed
from geo.height_maps.encoding import find_encoding
from geo.height_maps.map_facts import MethodReference
from geo.lidar.chm_files import ChmOrigin, finish, new_rasters, plan_chm_files, working_folder
from geo.lidar.errors import LidarError
from geo.lidar.point_crs import flat_part, vertical_name
from geo.lidar.report import ChmReport
from geo.lidar.settings import ChmSettings
from geo.lidar.steps import Steps
from geo.lidar.units import (
    METRE,
    horizontal_unit,
    is_metre,
    unit_named,
    unit_spelled,
    unit_words,
    vertical_unit,
)
from geo.scene import PLANE
from geo.undeclared_nodata import undeclared_nodata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rasterio.io import DatasetReader

    from geo.lidar.chm_files import ChmRasters
    from geo.raster import Pixels

logger = logging.getLogger(__name__)

LINEAGE = "Canopy height from airborne lidar: a surface model less a terrain model"
STRIP_PX = 256
FINER = 1.5
"""A terrain whose pixels are smaller by this factor is averaged, another is interpolated."""

BELOW_M = 2.0
"""A surface further below the ground than this is no noise and no rough ground [m]."""

FEW, MOST = 0.01, 0.5
"""Shares of the pixels that may lie so without a warning, and at all."""


@dataclass(kw_only=True)
class PixelTally:
    """What is counted while heights are subtracted.

    Attributes:
        both: pixels for which both rasters have a height.
        below: those of them whose surface lies more than 2 m below the ground.
        too_high: those above the greatest height of a plant.
        highest_m: greatest height of the others [m].
    """

    both: int = 0
    below: int = 0
    too_high: int = 0
    highest_m: float = -math.inf

    def count(self, heights: Pixels, max_height_m: float) -> None:
        """Count pixels (rows, columns) of surface less terrain [m], NaN where one is missing."""
        self.both += int(np.isfinite(heights).sum())
        self.below += int((heights < -BELOW_M).sum())
        self.too_high += int((heights > max_height_m).sum())
        kept = heights[heights <= max_height_m]
        self.highest_m = max(self.highest_m, float(kept.max(initial=-math.inf)))

    def swapped(self) -> bool:
        """Whether nothing stands above the ground, and something below it."""
        many = self.below > FEW * self.both
        return self.highest_m <= 0 < self.below or (self.highest_m <= BELOW_M and many)


def surfaces_to_chm(
    dsm: str | Path,
    dtm: str | Path,
    output: str | Path,
    settings: ChmSettings | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> ChmReport:
    """Make a canopy height model from a surface and a terrain model, on the pixels of the surface.

    The terrain is brought there bilinearly, or as a mean where it is finer. Differences below zero
    become 0; those above ``max_height_m``, and pixels that either raster lacks, have no height.
    A surface more than 2 m below the ground is counted: above 1 % of the pixels there is a warning,
    and on more than half of them, or where nothing stands above the ground, the rasters are swapped
    or have two datums. Customary values of no data that a raster does not declare are taken as
    such, with a warning. Spikes and pits are in the surface model as they were left by whoever
    made it.

    Args:
        dsm: raster of the heights of what stands on the ground.
        dtm: raster of the heights of the ground; in any CRS, if both have one.
        output: where the model will stand, a .tif.
        settings: what is wanted; those about points mean nothing here.
        progress: called with strips done and strips in all.

    Returns:
        What was made.

    Raises:
        LidarError: a raster cannot be read, or they do not belong together.
        OutputError: the output may not be written.
        MapFileError: the disk is full, or another run is writing the same output.
    """
    began, settings = time.perf_counter(), settings or ChmSettings()
    paths = [Path(dsm), Path(dtm)]
    refuse_point_settings(settings)
    outputs = plan_chm_files(Path(output), paths, settings)
    with opened_pair(*paths) as (surface, terrain), working_folder(outputs.chm) as folder:
        grid = grid_of(surface)
        rasters = new_rasters(folder, grid, settings)
        strips = -(-grid.height // STRIP_PX)
        steps = Steps(total=strips, progress=progress)
        tally = write_differences(surface, terrain, rasters, settings, steps)
        refuse_other_places(tally, surface.name, terrain.name, settings)
        origin = ChmOrigin(
            sources=paths,
            method=method_of(settings, tally),
            acquired=None,
            processed=datetime.now(UTC),
        )
        heights = finish(rasters, outputs, origin, settings, folder)
    return ChmReport(
        files=outputs,
        grid=grid,
        heights=heights,
        origin=origin,
        seconds=time.perf_counter() - began,
    )


def refuse_point_settings(settings: ChmSettings) -> None:
    """Refuse what can be asked of points only.

    Raises:
        LidarError: it is asked for.
    """
    asked = {
        "--resolution": settings.resolution_m,
        "--bounds": settings.bounds,
        "--like": settings.like,
        "--density": settings.density,
        "--epsg": settings.epsg,
        "--normalised": settings.normalised is not None,
    }
    if wrong := [name for name, value in asked.items() if value]:
        msg = f"{', '.join(wrong)} with --dsm: that is about points, leave it out"
        raise LidarError(msg)


def method_of(settings: ChmSettings, tally: PixelTally) -> MethodReference:
    """Return how the heights were made."""
    return MethodReference(
        name="surface less terrain",
        lineage=LINEAGE,
        source_title="Source surface",
        details={
            "pixels_with_both": tally.both,
            "pixels_below_ground": tally.below,
            "pixels_too_high": tally.too_high,
            "max_height_m": settings.max_height_m,
        },
    )


@contextmanager
def opened_pair(dsm: Path, dtm: Path) -> Iterator[tuple[DatasetReader, DatasetReader]]:
    """Lend both rasters.

    Raises:
        LidarError: one cannot be read, or they do not belong together.
    """
    try:
        with rasterio.open(dsm) as surface, rasterio.open(dtm) as terrain:
            refuse_strangers(surface, terrain)
            yield surface, terrain
    except RasterioError as error:
        msg = f"{dsm} or {dtm} cannot be read ({' '.join(str(error).split())}): name two rasters"
        raise LidarError(msg) from error


def refuse_strangers(surface: DatasetReader, terrain: DatasetReader) -> None:
    """Refuse rasters that cannot be subtracted.

    Raises:
        LidarError: one has no CRS, a bad one, or several bands, or their vertical datums differ.
    """
    for raster in (surface, terrain):
        if raster.count != 1 or "complex" in raster.dtypes[0]:
            msg = f"{raster.name} has {raster.count} bands: expected one, of heights"
            raise LidarError(msg)
    if (surface.crs is None) != (terrain.crs is None):
        bare = surface if surface.crs is None else terrain
        msg = f"{bare.name} has no CRS, the other raster has one: assign it"
        raise LidarError(msg)
    if surface.crs is None:
        return
    above = [vertical_name(to_pyproj(raster.crs)) for raster in (surface, terrain)]
    if None not in above and above[0] != above[1]:
        msg = f"the DSM is above {above[0]}, the DTM above {above[1]}: convert one"
        raise LidarError(msg)


def grid_of(raster: DatasetReader) -> Grid:
    """Return the grid of a raster, without the vertical part of its CRS."""
    crs = CRS.from_wkt(flat_part(to_pyproj(raster.crs)).to_wkt()) if raster.crs else None
    return Grid(crs=crs, transform=raster.transform, height=raster.height, width=raster.width)


def height_unit_of(raster: DatasetReader, chosen: str | None) -> float:
    """Return the unit of a raster's heights [m].

    Chosen, named by the band, by a vertical CRS, or else that of the pixels; feet that nobody
    named are said.

    Raises:
        LidarError: the band names a unit that is no length.
    """
    if chosen:
        return unit_named(chosen)
    words = raster.units[0]
    if words and unit_spelled(words) is None:
        msg = f"{raster.name} has heights in {words}: expected metres or feet, say --height-unit"
        raise LidarError(msg)
    crs = to_pyproj(raster.crs) if raster.crs else None
    stated = unit_spelled(words) or (vertical_unit(crs) if crs else None)
    if stated is not None or crs is None or not flat_part(crs).is_projected:
        return stated or METRE
    unit = horizontal_unit(flat_part(crs))
    if not is_metre(unit):
        logger.warning(
            "%s: heights are taken as %s, like its pixels: state --height-unit if they are not",
            raster.name,
            unit_words(unit),
        )
    return unit


def write_differences(
    surface: DatasetReader,
    terrain: DatasetReader,
    rasters: ChmRasters,
    settings: ChmSettings,
    steps: Steps,
) -> PixelTally:
    """Write surface less terrain strip by strip, and return what was counted.

    Raises:
        LidarError: a raster has several values of no data.
        MapFileError: there is no room for the result.
    """
    encoding, grid = find_encoding(settings.encoding), rasters.heights.grid
    refuse_without_room(
        rasters.heights.data.parent, room_needed(grid, np.dtype(encoding.dtype).itemsize)
    )
    units = [height_unit_of(raster, settings.height_unit) for raster in (surface, terrain)]
    gaps = [nodata_of(raster) for raster in (surface, terrain)]
    tally = PixelTally()
    with terrain_on(grid, terrain, gaps[1]) as below:
        for row in range(0, grid.height, STRIP_PX):
            window = Window(0, row, grid.width, min(STRIP_PX, grid.height - row))
            heights = heights_in(surface, window, gaps[0]) * units[0] - below(window) * units[1]
            tally.count(heights, settings.max_height_m)
            heights[heights > settings.max_height_m] = np.nan
            heights = np.maximum(heights, 0).astype(np.float32)
            rasters.heights.write(row, encoding.encode(heights))
            steps.advance()
    return tally


def refuse_other_places(
    tally: PixelTally, surface: str, terrain: str, settings: ChmSettings
) -> None:
    """Refuse rasters whose difference can be no canopy, and warn where some of it can be none.

    Raises:
        LidarError: they share no height, most of the surface lies below the ground, or some of it
            and nothing above.
    """
    if tally.below > MOST * tally.both or tally.swapped():
        above = f", nowhere more than {BELOW_M:g} m above it" if tally.swapped() else ""
        msg = (
            f"{surface} lies more than {BELOW_M:g} m below {terrain} on {below_words(tally)}"
            f"{above}: expected a surface above the ground; swap --dsm and --dtm, or bring both to "
            "one vertical datum"
        )
        raise LidarError(msg)
    if tally.both == tally.too_high:
        msg = (
            f"{surface} and {terrain} share no pixel with a height up to "
            f"{settings.max_height_m:g} m: expected one place and one datum"
        )
        raise LidarError(msg)
    if tally.below > FEW * tally.both:
        logger.warning(
            "%s lies more than %g m below %s on %s, which became 0 m: see whether --dsm and --dtm "
            "are swapped, or on two vertical datums",
            surface,
            BELOW_M,
            terrain,
            below_words(tally),
        )


def below_words(tally: PixelTally) -> str:
    """Return on how many pixels the surface lies below the ground."""
    return f"{tally.below:,} of {tally.both:,} pixels ({100 * tally.below / tally.both:.0f} %)"


def nodata_of(raster: DatasetReader) -> float | None:
    """Return the stored value that means no data, declared or by custom, or None.

    Raises:
        LidarError: there are several, which cannot be told apart where pixels are interpolated.
    """
    declared: float | None = raster.nodata
    strays = undeclared_nodata(raster)
    if not strays:
        return declared
    words = " and ".join(f"{value:g}" for value in strays)
    if len(strays) > 1 or not (declared is None or math.isnan(declared)):
        also = "" if declared is None else f" and declares {declared:g}"
        msg = (
            f"{raster.name} holds {words} like heights{also}: expected one value of no data, "
            "write it with one (gdalwarp -srcnodata)"
        )
        raise LidarError(msg)
    logger.warning("%s holds %s without declaring it: taken as no data", raster.name, words)
    return strays[0]


def heights_in(raster: DatasetReader, window: Window, nodata: float | None) -> Pixels:
    """Return heights (rows, columns) in the raster's unit, float64; NaN where there is none."""
    stored: Pixels = raster.read(1, window=window, masked=True).astype(float).filled(np.nan)
    stored[stored == nodata] = np.nan
    heights: Pixels = stored * raster.scales[0] + raster.offsets[0]
    return heights


@contextmanager
def terrain_on(
    grid: Grid, terrain: DatasetReader, nodata: float | None
) -> Iterator[Callable[[Window], Pixels]]:
    """Lend what gives the terrain, in its own unit, in a window of a grid; NaN where it has none.

    Args:
        grid: the pixels wanted.
        terrain: the raster.
        nodata: its stored value that means no data, if any.
    """
    here = grid_of(terrain)
    finer = ground_pixel_m(grid)[0] > FINER * ground_pixel_m(here)[0]
    with WarpedVRT(
        terrain,
        src_crs=here.crs or PLANE,
        src_transform=here.transform,
        crs=grid.crs or PLANE,
        transform=grid.transform,
        width=grid.width,
        height=grid.height,
        resampling=Resampling.average if finer else Resampling.bilinear,
        src_nodata=nodata,
        nodata=np.nan,
        dtype="float64",
    ) as virtual:
        yield lambda window: virtual.read(1, window=window) * terrain.scales[0] + terrain.offsets[0]
