"""A whole world: what an aeroplane and a satellite see of it, and the truth."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from geo.grid import Grid
from geo.simulation.camera import HALO_PX, develop, mean_over_pixels, seen_aslant
from geo.simulation.footprints import Footprints, shoot
from geo.simulation.place import Window, chance_of
from geo.simulation.points import PointCloud, join_points, scan
from geo.simulation.presets import varied
from geo.simulation.scenery import (
    SHADOW_REACH_M,
    Site,
    make_site,
    radiance_of,
    relief_of,
    trees_near,
)
from geo.simulation.settings import SimulationError, WorldSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from geo.simulation.place import Plane
    from geo.simulation.stands import Trees

logger = logging.getLogger(__name__)

TILE_M = 256.5
"""Side of the ground that is in memory as fine pixels at a time, without its margin [m]."""
MARGIN_M = 9.0
"""Ground around a tile that skylight and smoothing need [m]."""
GAP_M = 1000.0
"""Distance of two worlds of a collection [m]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """A simulated forest and its exact truth; rasters are north up, on one grid.

    A pixel's heights are those at its centre, its colour is the mean over its area.

    Attributes:
        settings: What it was made from, chance included.
        seed: Of all its chance.
        grid: Where the pixels lie.
        imagery: Red, green, blue (3, rows, columns).
        chm: Height of the canopy above the ground [m] (rows, columns); 0 on roofs.
        dtm: Elevation of ground and water [m] (rows, columns).
        dsm: Elevation of the highest of ground, roofs and canopy [m] (rows, columns).
        points: Airborne laser points.
        footprints: Spaceborne laser footprints.
        trees: Trees whose crowns reach into the world.
    """

    settings: WorldSettings
    seed: int
    grid: Grid
    imagery: NDArray[np.uint8]
    chm: Plane
    dtm: Plane
    dsm: Plane
    points: PointCloud
    footprints: Footprints
    trees: Trees


@dataclass(frozen=True, kw_only=True)
class TilePlace:
    """A tile of a world, in its pixels: first row and column, rows and columns."""

    row: int
    column: int
    rows: int
    columns: int


def nth_world(
    settings: WorldSettings, seed: int, number: int, *, vary: bool = True
) -> tuple[WorldSettings, int]:
    """Return the settings and the seed of one of many worlds.

    They depend on nothing but the arguments: worlds may be made in any order, on any machine.

    Args:
        settings: What the worlds have in common.
        seed: Of the whole collection.
        number: Of the world, from 0.
        vary: Whether trees, light and camera differ from world to world.
    """
    own = int(chance_of(seed, f"world {number}").integers(2**31))
    placed = replace(settings, west_m=settings.west_m + number * (settings.side_m + GAP_M))
    return (varied(placed, own) if vary else placed), own


def simulate(
    settings: WorldSettings, seed: int, progress: Callable[[int, int], None] | None = None
) -> World:
    """Make a world.

    Fine pixels are in memory for one tile at a time, results for the whole world.

    Args:
        settings: What it is made from.
        seed: Of all its chance.
        progress: Is told how many of all tiles are finished.

    Returns:
        The world, the same for the same settings and seed.

    Raises:
        SimulationError: the CRS is none in metres.
    """
    grid = grid_of(settings)
    site = make_site(settings, seed)
    side = settings.pixels
    imagery = np.empty((3, side, side), np.uint8)
    chm, dtm, dsm = (np.empty((side, side), np.float32) for _ in range(3))
    clouds = []
    places = list(_tiles(settings))
    for number, place in enumerate(places):
        box = (slice(place.row, place.row + place.rows),
               slice(place.column, place.column + place.columns))  # fmt: skip
        imagery[:, *box], inner, cloud = _look(site, place)
        chm[box], dtm[box], dsm[box] = inner
        clouds.append(cloud)
        if progress is not None:
            progress(number + 1, len(places))
    points = join_points(clouds)
    footprints = shoot(points, dtm, settings.gsd_m, settings.footprints, seed)
    logger.debug("world %s of seed %d: %d trees", settings.name, seed, len(site.trees))
    return World(
        settings=settings, seed=seed, grid=grid, imagery=imagery, chm=chm, dtm=dtm, dsm=dsm,
        points=points, footprints=footprints, trees=trees_near(site.trees, _whole(settings)),
    )  # fmt: skip


def grid_of(settings: WorldSettings) -> Grid:
    """Return the grid of a world's rasters.

    Raises:
        SimulationError: the CRS is none in metres.
    """
    try:
        crs = CRS.from_user_input(settings.crs)
        metric = crs.is_projected and crs.linear_units_factor[1] == 1
    except CRSError:
        metric = False
    if not metric:
        msg = f"CRS {settings.crs}: expected a projected one in metres, such as EPSG:32617"
        raise SimulationError(msg)
    north = settings.south_m + settings.side_m
    transform = Affine(settings.gsd_m, 0, settings.west_m, 0, -settings.gsd_m, north)
    return Grid(crs=crs, transform=transform, height=settings.pixels, width=settings.pixels)


def _whole(settings: WorldSettings) -> Window:
    """Return the window of a whole world, in its pixels."""
    side = settings.pixels
    return Window(west=0, north=side, rows=side, columns=side, pitch=settings.gsd_m)


def _tiles(settings: WorldSettings) -> Iterator[TilePlace]:
    """Yield the tiles of a world, row by row."""
    side, step = settings.pixels, max(8, int(TILE_M / settings.gsd_m))
    for row in range(0, side, step):
        for column in range(0, side, step):
            yield TilePlace(
                row=row, column=column, rows=min(step, side - row), columns=min(step, side - column)
            )


def _look(
    site: Site, place: TilePlace
) -> tuple[NDArray[np.uint8], tuple[Plane, Plane, Plane], PointCloud]:
    """Return imagery, (canopy height, ground, surface) and laser points of a tile."""
    settings, times = site.settings, site.settings.fine_per_pixel
    frame = Window(
        west=place.column, north=settings.pixels - place.row, rows=place.rows,
        columns=place.columns, pitch=settings.gsd_m,
    )  # fmt: skip
    fine = Window(
        west=frame.west * times, north=frame.north * times, rows=frame.rows * times,
        columns=frame.columns * times, pitch=settings.pitch_m,
    )  # fmt: skip
    west, north, east, south = margins(site)
    relief = relief_of(site, fine.grown(west, north, east, south))
    halo = HALO_PX * times
    light = radiance_of(site, relief)
    if settings.camera.tilt_deg:
        above = relief.surface - relief.ground
        light = seen_aslant(light, above, settings.pitch_m, settings.camera)
    light = light[
        :, north - halo : north + fine.rows + halo, west - halo : west + fine.columns + halo
    ]
    photo = develop(mean_over_pixels(light, times), frame, settings.camera, site.seed)
    inner = relief.part(north, west, fine.rows, fine.columns)
    cloud = scan(inner, trees_near(site.trees, relief.window), settings.lidar, site.seed)
    middle = slice(times // 2, None, times)
    heights = (inner.height, inner.ground, inner.surface)
    chm, dtm, dsm = (values[middle, middle] for values in heights)
    return photo, (chm, dtm, dsm), cloud


def margins(site: Site) -> tuple[int, int, int, int]:
    """Return the fine pixels that a tile needs beyond its west, north, east and south sides.

    Shadows come from the side of the sun.
    """
    sun, times = site.settings.sun, site.settings.fine_per_pixel
    tallest = float(site.trees.height_m.max(initial=12.0))
    reach = min(SHADOW_REACH_M, tallest / np.tan(np.radians(sun.elevation_deg)))
    turn = np.radians(sun.azimuth_deg)
    ahead = (-np.sin(turn), np.cos(turn), np.sin(turn), -np.cos(turn))
    west, north, east, south = (
        int((MARGIN_M + reach * max(side, 0.0)) / site.settings.gsd_m + HALO_PX) * times
        for side in ahead
    )
    return west, north, east, south
