"""From points to a canopy height model: the path from files to files."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geo.height_maps.cog import refuse_without_room, room_needed
from geo.height_maps.encoding import find_encoding
from geo.height_maps.map_facts import MethodReference
from geo.lidar.canopy_surface import Block, canopy_surface, count_in_pixels, radii_of
from geo.lidar.chm_files import (
    ChmOrigin,
    ChmRasters,
    finish,
    new_rasters,
    plan_chm_files,
    working_folder,
)
from geo.lidar.chm_grid import asked_grid, grid_like, snapped_grid
from geo.lidar.errors import LidarError
from geo.lidar.gathering import Gathered, all_bounds, chunk_count, gather
from geo.lidar.ground import REACH_M, Ground, grown
from geo.lidar.isolated import isolated
from geo.lidar.point_files import find_point_files, read_headers
from geo.lidar.point_store import BYTES_PER_POINT, Bounds
from geo.lidar.report import ChmReport
from geo.lidar.settings import ChmSettings, WorkLimits
from geo.lidar.steps import Steps
from geo.lidar.survey import is_normalised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from geo.grid import FloatArray, Grid
    from geo.lidar.point_files import PointFile
    from geo.lidar.survey import Survey
    from geo.raster import Mask, Pixels

log = logging.getLogger(__name__)

LINEAGE = (
    "Canopy height from airborne lidar: the highest return of each pixel above a TIN of ground "
    "returns, pits filled after Khosravipour et al. 2014"
)
LINEAGE_NORMALISED = LINEAGE.replace("above a TIN of ground returns", "above ground as given")


def points_to_chm(
    sources: Iterable[str | Path],
    output: str | Path,
    settings: ChmSettings | None = None,
    *,
    limits: WorkLimits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ChmReport:
    """Make a canopy height model from airborne lidar and put it, with its companions, in place.

    All files are one cloud of points, so there are no borders between them. Points are read once
    and sorted by place on disk; then block after block is made from the points in it and around it,
    far enough that no pixel depends on where blocks end. In memory are one chunk of points, or one
    block with its surroundings, and a row of blocks of the result: with the limits as they are less
    than 1.5 GB, plus 2 kB for each column of pixels, however large the files are.

    Args:
        sources: LAS, LAZ or COPC files, or folders of them.
        output: where the model will stand, a .tif.
        settings: what is wanted.
        limits: how the work is cut.
        progress: called with steps done and steps in all.

    Returns:
        What was made.

    Raises:
        LidarError: the points cannot be read or understood.
        OutputError: the output may not be written.
        GridError: the points lie outside their CRS.
        MapFileError: the disk is full, or another run is writing the same output.
    """
    began, settings, limits = time.perf_counter(), settings or ChmSettings(), limits or WorkLimits()
    files = read_headers(find_point_files(sources), settings)
    paths = [file.path for file in files]
    if files[0].place.crs is None:
        log.warning("the points have no CRS: taken as metres on a plane; state it with --epsg")
    outputs = plan_chm_files(Path(output), paths, settings)
    asked = chosen_grid(files, settings)
    with working_folder(outputs.chm) as folder:
        refuse_without_room(folder, room_for_points(files))
        steps = Steps(total=chunk_count(files, limits) + 1, progress=progress)
        gathered = gather(files, folder, settings, limits, region_of(asked), steps)
        grid = asked or snapped_grid(gathered.survey.bounds, settings.pixel_m, files[0].place.crs)
        maker = ChmMaker.over(gathered, grid, settings, limits)
        rasters = new_rasters(folder, grid, settings)
        maker.write(rasters, steps)
        origin = origin_of(paths, gathered, settings, normalised=maker.normalised)
        heights = finish(rasters, outputs, origin, settings, folder)
    return ChmReport(
        files=outputs,
        grid=grid,
        heights=heights,
        origin=origin,
        seconds=time.perf_counter() - began,
    )


def chosen_grid(files: Sequence[PointFile], settings: ChmSettings) -> Grid | None:
    """Return the grid that was asked for; None where the points decide.

    Raises:
        LidarError: it is none that points can be put on, or no point can lie in it.
    """
    crs = files[0].place.crs
    if settings.like:
        grid = grid_like(settings.like, crs, all_bounds(files))
    elif settings.bounds:
        grid = asked_grid(settings.bounds, settings.pixel_m, crs)
    else:
        return None
    west, south, east, north = all_bounds(files)
    left, bottom, right, top = grid.bounds
    if right < west or left > east or top < south or bottom > north:
        msg = (
            f"{left:g},{bottom:g},{right:g},{top:g} is asked for, the points lie in "
            f"{west:g},{south:g},{east:g},{north:g}: expected an overlap"
        )
        raise LidarError(msg)
    return grid


def region_of(grid: Grid | None) -> Bounds | None:
    """Return the bounds [m] of all points that decide about a grid, or None for all."""
    if grid is None:
        return None
    pixel_m = grid.pixel_size[0]
    return grown(grid.bounds, radii_of(pixel_m).margin_px * pixel_m + 2 * REACH_M)


def room_for_points(files: Sequence[PointFile]) -> int:
    """Return an upper estimate of the disk space that points take while they are sorted [bytes]."""
    return 2 * BYTES_PER_POINT * sum(file.count for file in files)


@dataclass(frozen=True, kw_only=True)
class ChmMaker:
    """Makes a canopy height model block by block.

    Attributes:
        gathered: the points.
        ground: what is subtracted from their heights.
        normalised: whether that is nothing.
        grid: pixels of the model.
        settings: what is wanted.
        limits: how the work is cut.
    """

    gathered: Gathered
    ground: Ground
    normalised: bool
    grid: Grid
    settings: ChmSettings
    limits: WorkLimits

    @classmethod
    def over(
        cls, gathered: Gathered, grid: Grid, settings: ChmSettings, limits: WorkLimits
    ) -> ChmMaker:
        """Return what makes the model on a grid.

        Raises:
            LidarError: there is no ground to subtract.
        """
        normalised = is_normalised(gathered.survey, gathered.returns, settings.normalised)
        ground = Ground(gathered.ground, normalised=normalised)
        return cls(
            gathered=gathered,
            ground=ground,
            normalised=normalised,
            grid=grid,
            settings=settings,
            limits=limits,
        )

    def write(self, rasters: ChmRasters, steps: Steps) -> None:
        """Make all rows of the model.

        Raises:
            LidarError: no pixel has a height.
            MapFileError: there is no room for them.
        """
        encoding = find_encoding(self.settings.encoding)
        per_pixel = np.dtype(encoding.dtype).itemsize + (4 if rasters.density else 0)
        refuse_without_room(rasters.heights.data.parent, room_needed(self.grid, per_pixel))
        side = self.limits.tile_px
        known = 0
        steps.expect(-(-self.grid.height // side) * -(-self.grid.width // side))
        for row in range(0, self.grid.height, side):
            height = min(side, self.grid.height - row)
            surface = np.full((height, self.grid.width), np.nan, np.float32)
            counts = np.zeros((height, self.grid.width), np.float32)
            for column in range(0, self.grid.width, side):
                width = min(side, self.grid.width - column)
                tile = Block(row=row, column=column, height=height, width=width)
                for block in self.cut(tile):
                    part = (
                        slice(block.row - row, block.row - row + block.height),
                        slice(block.column, block.column + block.width),
                    )
                    surface[part], counts[part] = self.make(block)
                steps.advance()
            known += int(np.isfinite(surface).sum())
            rasters.heights.write(row, encoding.encode(surface))
            if rasters.density:
                rasters.density.write(row, counts / np.float32(self.grid.pixel_size[0] ** 2))
        if not known:
            raise LidarError(no_height_words(self.gathered.survey, self.settings))

    def cut(self, block: Block) -> Iterator[Block]:
        """Yield the parts of a block that have few enough points around them, and have some."""
        bounds = self.bounds_around(block)
        if not self.gathered.returns.has_points(bounds):
            return
        points = self.gathered.returns.estimate(bounds)
        points += self.gathered.ground.estimate(grown(bounds, REACH_M))
        if points <= self.limits.tile_points or max(block.shape) <= self.limits.least_tile_px:
            yield block
            return
        for quarter in block.quarters():
            yield from self.cut(quarter)

    def make(self, block: Block) -> tuple[Pixels, Pixels]:
        """Return heights [m] and numbers of points of a block, (rows, columns) each."""
        bounds = self.bounds_around(block)
        points = self.gathered.returns.read(bounds)
        points[:, 2] -= self.ground.around(bounds).at(points[:, :2])
        counts = count_in_pixels(points, self.grid, block)
        kept, high = plants(points, self.settings)
        self.tally(points[high], points[~(kept | high)], block)
        points[:, 2] = np.maximum(points[:, 2], 0.0)
        return canopy_surface(points[kept], self.grid, block), counts

    def tally(self, high: FloatArray, alone: FloatArray, block: Block) -> None:
        """Count points (points, 3) that are left out for their height; those around blocks once."""
        self.gathered.survey.too_high += int(count_in_pixels(high, self.grid, block).sum())
        self.gathered.survey.isolated += int(count_in_pixels(alone, self.grid, block).sum())

    def bounds_around(self, block: Block) -> Bounds:
        """Return the bounds [m] of the points that decide about a block."""
        around = block.grown(radii_of(self.grid.pixel_size[0]).margin_px)
        part = self.grid.part(around.row, around.column, around.height, around.width)
        return part.bounds


def plants(points: FloatArray, settings: ChmSettings) -> tuple[Mask, Mask]:
    """Return which points (points, 3) can be plants or ground (True), and which are too high.

    The others hang alone in the air. Heights below zero stay: they are noise of the ranging, rough
    ground and low points that nobody classified.
    """
    high = points[:, 2] > settings.max_height_m
    kept = ~high
    kept[kept] = ~isolated(points[kept])
    return kept, high


def no_height_words(survey: Survey, settings: ChmSettings) -> str:
    """Return the line about a model in which no pixel has a height."""
    if not survey.too_high + survey.isolated:
        return (
            "no pixel has a height: no point lies in the pixels asked for, expected some; change "
            "--bounds or --like"
        )
    return (
        f"no pixel has a height: {survey.too_high:,} points stand more than "
        f"{settings.max_height_m:g} m above ground and {survey.isolated:,} hang alone, expected "
        "plants; leave --normalised out if heights are elevations, or raise --max-height"
    )


def origin_of(
    paths: Sequence[Path], gathered: Gathered, settings: ChmSettings, *, normalised: bool
) -> ChmOrigin:
    """Return where the heights come from."""
    survey, processed = gathered.survey, datetime.now(UTC)
    method = MethodReference(
        name="highest return, pit-free",
        lineage=LINEAGE_NORMALISED if normalised else LINEAGE,
        source_title="Source points",
        details={
            "points_read": survey.read,
            "points_left_out": survey.left_out,
            "points_too_high": survey.too_high,
            "points_isolated": survey.isolated,
            "ground_returns": survey.ground,
            "normalised_input": normalised,
            "classes_left_out": sorted(settings.left_out),
            "max_height_m": settings.max_height_m,
        },
    )
    return ChmOrigin(
        sources=paths, method=method, acquired=survey.acquired(processed), processed=processed
    )
