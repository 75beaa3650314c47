"""Which pixels a canopy height model has."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import RasterioError

from geo.grid import Grid
from geo.ground import crs_words, to_pyproj
from geo.lidar.crs_agreement import SAME_M, apart_m, apart_words
from geo.lidar.errors import LidarError
from geo.lidar.point_crs import flat_part
from geo.lidar.units import horizontal_unit, is_metre

if TYPE_CHECKING:
    from pathlib import Path

    from geo.lidar.point_store import Bounds

logger = logging.getLogger(__name__)

EDGE_PX = 1e-6
"""What lies this near to an edge of pixels is on it: decimal coordinates are not exact."""

SQUARE = 1e-6
"""Sides of a pixel that differ by this share at most are equal."""


def snapped_grid(bounds: Bounds, pixel_m: float, crs: CRS | None) -> Grid:
    """Return the north-up grid, its edges on multiples of the pixel, that covers points in bounds.

    A point on an edge belongs to the pixel east or south of it, so the grid ends one pixel beyond.
    """
    west, south, east, north = bounds
    left, right = (math.floor(value / pixel_m + EDGE_PX) for value in (west, east))
    bottom, top = (math.ceil(value / pixel_m - EDGE_PX) for value in (south, north))
    return grid_of_edges((left, bottom - 1, right + 1, top), pixel_m, crs)


def asked_grid(bounds: Bounds, pixel_m: float, crs: CRS | None) -> Grid:
    """Return the least north-up grid, its edges on multiples of the pixel, that holds bounds."""
    west, south, east, north = (value / pixel_m for value in bounds)
    left, bottom = (math.floor(value + EDGE_PX) for value in (west, south))
    right, top = (math.ceil(value - EDGE_PX) for value in (east, north))
    return grid_of_edges((left, bottom, right, top), pixel_m, crs)


def grid_of_edges(edges: tuple[int, int, int, int], pixel_m: float, crs: CRS | None) -> Grid:
    """Return the grid between edges west, south, east and north [px from the CRS's origin]."""
    left, bottom, right, top = edges
    return Grid(
        crs=crs,
        transform=Affine(pixel_m, 0, left * pixel_m, 0, -pixel_m, top * pixel_m),
        height=top - bottom,
        width=right - left,
    )


def grid_like(path: Path, crs: CRS | None, bounds: Bounds) -> Grid:
    """Return the grid of a raster.

    Args:
        path: the raster.
        crs: CRS of the points [m]; None where it is unknown, and then the raster's is taken.
        bounds: where the points lie [m in their CRS].

    Raises:
        LidarError: it cannot be read, its CRS does not agree with that of the points, or it is not
            north-up and square.
    """
    try:
        with rasterio.open(path) as raster:
            grid = Grid(
                crs=raster.crs,
                transform=raster.transform,
                height=raster.height,
                width=raster.width,
            )
    except RasterioError as error:
        msg = f"--like {path} cannot be read ({error}): name a raster"
        raise LidarError(msg) from error
    if crs is not None and grid.crs != crs:
        grid = agreeing(grid, path, crs, bounds)
    refuse_other_units(path, grid)
    across, down = grid.pixel_size
    if not (grid.is_north_up and math.isclose(across, down, rel_tol=SQUARE)):
        msg = f"--like {path}: expected a north-up raster with square pixels"
        raise LidarError(msg)
    return grid


def agreeing(grid: Grid, path: Path, crs: CRS, bounds: Bounds) -> Grid:
    """Return a grid in the horizontal part of its CRS, which points in another agree with.

    Raises:
        LidarError: they do not.
    """
    there = flat_part(to_pyproj(grid.crs)) if grid.crs else None
    distance_m = apart_m(to_pyproj(crs), there, bounds) if there else math.inf
    if there is None or distance_m > SAME_M:
        apart = f" ({apart_words(distance_m)})" if there else ""
        msg = (
            f"--like {path} lies in {crs_words(there)}, the points in {crs_words(crs)}{apart}: "
            "expected one CRS"
        )
        raise LidarError(msg)
    logger.info(
        "--like %s lies in %s, the points in %s: taken as one, coordinates agree within %.2f m",
        path,
        crs_words(there),
        crs_words(crs),
        distance_m,
    )
    return replace(grid, crs=CRS.from_wkt(there.to_wkt()))


def refuse_other_units(path: Path, grid: Grid) -> None:
    """Refuse a grid that is not in metres.

    Raises:
        LidarError: it is not.
    """
    crs = flat_part(to_pyproj(grid.crs)) if grid.crs else None
    if crs is not None and not (crs.is_projected and is_metre(horizontal_unit(crs))):
        msg = f"--like {path} lies in {crs.name}: expected a projected CRS in metres"
        raise LidarError(msg)
