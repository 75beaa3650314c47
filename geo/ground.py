"""True metres: how large a pixel is on the ground, and the grid on which a model sees it right."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyproj
from affine import Affine
from pyproj.aoi import AreaOfInterest
from pyproj.database import query_utm_crs_info
from rasterio.crs import CRS

from geo.errors import GridError
from geo.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Callable

    from geo.grid import FloatArray

    Locator = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]

SAME_GSD = 0.01
"""A pixel within this share of the wanted size is left as it is: resampling would cost more."""

TRUE_SCALE = 0.01
"""A projection whose scale is within this share of one keeps metres (UTM: within 0.1 %)."""

EDGE_POINTS = 33
"""Points along each edge of a scene that are projected to find where it lies."""

POLAR_LATITUDE = 84.0
"""Beyond it there is no UTM zone; the universal polar stereographic zones take over [degrees]."""

WGS84 = "EPSG:4326"


def to_pyproj(crs: CRS) -> pyproj.CRS:
    """Return a rasterio CRS as pyproj's."""
    return pyproj.CRS.from_user_input(crs.to_wkt())


def crs_words(crs: pyproj.CRS | CRS | None) -> str:
    """Return a CRS in a few words: its code where it is registered, else its name."""
    if crs is None:
        return "no CRS"
    named = crs if isinstance(crs, pyproj.CRS) else to_pyproj(crs)
    if code := named.to_authority(min_confidence=100):
        return ":".join(code)
    if named.name.lower() not in {"unknown", "unnamed", "undefined", ""}:
        return str(named.name)
    way = named.coordinate_operation
    return f"an unnamed {way.method_name} CRS" if way else "an unnamed CRS"


def longitude_latitude(crs: CRS, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return longitudes and latitudes [degrees, WGS 84] of coordinates in a CRS.

    Raises:
        GridError: a coordinate lies outside the CRS, or the CRS lies nowhere on Earth.
    """
    try:
        transformer = pyproj.Transformer.from_crs(to_pyproj(crs), WGS84, always_xy=True)
    except pyproj.exceptions.ProjError as error:
        msg = f"the CRS {crs_words(crs)} has no known place on Earth: assign the right one"
        raise GridError(msg) from error
    longitude, latitude = transformer.transform(x, y)
    on_earth = np.isfinite(longitude) & np.isfinite(latitude) & (np.abs(latitude) <= 90)  # noqa: PLR2004
    if not (on_earth & (np.abs(longitude) <= 540)).all():  # noqa: PLR2004 - one turn beyond
        msg = (
            f"coordinates from {x.min():g}, {y.min():g} to {x.max():g}, {y.max():g} lie outside "
            f"{crs_words(crs)}: the georeference is wrong, assign the right one"
        )
        raise GridError(msg)
    return longitude, latitude


def ground_pixel_m(grid: Grid, locate: Locator | None = None) -> tuple[float, float]:
    """Return how wide and how high the pixel at a grid's centre is on the ground [m].

    Measured along the ellipsoid (Karney 2013, through pyproj), so that degrees, feet and the
    metres of Web Mercator all come out true.

    Args:
        grid: the grid.
        locate: maps rows and columns to coordinates, where the grid's transform does not.
    """
    if grid.crs is None:
        return grid.pixel_size
    row, column = grid.height / 2, grid.width / 2
    # Steps of several pixels: one pixel in degrees is near the noise of some projections.
    step = max(1.0, min(grid.shape) / 8)
    rows, columns = np.array([row, row, row + step]), np.array([column, column + step, column])
    x, y = (locate or grid.locate)(rows, columns)
    longitude, latitude = longitude_latitude(grid.crs, x, y)
    geod = pyproj.Geod(ellps="WGS84")
    _, _, across = geod.inv(longitude[0], latitude[0], longitude[1], latitude[1])
    _, _, down = geod.inv(longitude[0], latitude[0], longitude[2], latitude[2])
    return across / step, down / step


def keeps_metres(crs: CRS, longitude: float, latitude: float) -> bool:
    """Whether a CRS is projected, in metres, and true to scale at a place.

    Every Mercator is refused, near the equator too, so that scenes of one product do not end in
    different projections.
    """
    projection = to_pyproj(crs)
    if not projection.is_projected or projection.is_geocentric:
        return False
    if any(abs(axis.unit_conversion_factor - 1) > 1e-9 for axis in projection.axis_info[:2]):  # noqa: PLR2004
        return False
    method = projection.coordinate_operation.method_name if projection.coordinate_operation else ""
    if method.startswith(("Mercator", "Popular Visualisation")):
        return False
    factors = pyproj.Proj(projection).get_factors(longitude, latitude)
    scales = (factors.tissot_semimajor, factors.tissot_semiminor)
    return all(abs(scale - 1) <= TRUE_SCALE for scale in scales)


def local_utm(longitude: float, latitude: float) -> CRS:
    """Return the UTM zone (WGS 84) of a place, or the polar zone beyond its reach."""
    if abs(latitude) > POLAR_LATITUDE or latitude < -80:  # noqa: PLR2004 - southern limit of UTM
        return CRS.from_epsg(32661 if latitude > 0 else 32761)
    longitude = (longitude + 180) % 360 - 180  # a scene beyond the date line may count on
    area = AreaOfInterest(longitude, latitude, longitude, latitude)
    found = query_utm_crs_info(datum_name="WGS 84", area_of_interest=area)
    return CRS.from_epsg(int(found[0].code))


def model_grid(grid: Grid, gsd_m: float, locate: Locator | None = None) -> Grid:
    """Return the grid on which a scene is shown to a model.

    A north-up scene in a CRS that keeps metres keeps its CRS and its upper left corner, and its
    pixels too if they are within one per cent of the model's. A rotated or flipped one keeps its
    CRS. Everything else goes to the local UTM zone. Where the corner is not kept, pixel edges lie
    on whole multiples of the GSD, so that neighbouring scenes share pixels.

    Args:
        grid: the scene's own grid.
        gsd_m: ground sampling distance wanted [m].
        locate: maps rows and columns of the scene to coordinates, where its transform does not.

    Raises:
        GridError: the scene lies outside its CRS.
    """
    if grid.crs is None:
        return resized(grid, gsd_m)
    longitude, latitude = centre(grid, locate)
    metric = keeps_metres(grid.crs, longitude, latitude)
    if metric and locate is None and grid.is_north_up:
        return resized(grid, gsd_m)
    crs = grid.crs if metric else local_utm(longitude, latitude)
    return covering(grid, crs, gsd_m, locate)


def resized(grid: Grid, gsd_m: float) -> Grid:
    """Return a north-up metric grid with another pixel, from the same upper left corner."""
    if all(abs(size / gsd_m - 1) <= SAME_GSD for size in grid.pixel_size):
        return grid
    width, height = (
        math.ceil(round(count * size / gsd_m, 6))
        for count, size in zip((grid.width, grid.height), grid.pixel_size, strict=True)
    )
    transform = Affine(gsd_m, 0, grid.transform.c, 0, -gsd_m, grid.transform.f)
    return replace(grid, transform=transform, height=max(1, height), width=max(1, width))


def covering(grid: Grid, crs: CRS, gsd_m: float, locate: Locator | None = None) -> Grid:
    """Return the north-up grid in a CRS, on multiples of the GSD, that covers another grid."""
    if grid.crs is None:
        msg = "a grid without a CRS cannot be put into another: assign its CRS"
        raise GridError(msg)
    x, y = (locate or grid.locate)(*edge_points(grid))
    longitude_latitude(grid.crs, x, y)
    transformer = pyproj.Transformer.from_crs(to_pyproj(grid.crs), to_pyproj(crs), always_xy=True)
    x, y = transformer.transform(x, y)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        msg = f"the scene reaches beyond {crs_words(crs)}: cut it into smaller scenes"
        raise GridError(msg)
    west, north = math.floor(x.min() / gsd_m), math.ceil(y.max() / gsd_m)
    east, south = math.ceil(x.max() / gsd_m), math.floor(y.min() / gsd_m)
    transform = Affine(gsd_m, 0, west * gsd_m, 0, -gsd_m, north * gsd_m)
    return Grid(
        crs=crs, transform=transform, height=max(1, north - south), width=max(1, east - west)
    )


def centre(grid: Grid, locate: Locator | None = None) -> tuple[float, float]:
    """Return longitude and latitude [degrees] of a grid's centre."""
    if grid.crs is None:
        msg = "a grid without a CRS lies nowhere on Earth: assign its CRS"
        raise GridError(msg)
    x, y = (locate or grid.locate)(np.array([grid.height / 2]), np.array([grid.width / 2]))
    longitude, latitude = longitude_latitude(grid.crs, x, y)
    return float(longitude[0]), float(latitude[0])


def edge_points(grid: Grid) -> tuple[FloatArray, FloatArray]:
    """Return rows and columns of points along the four edges of a grid [px]."""
    along = np.linspace(0, 1, EDGE_POINTS)
    none, all_ = np.zeros_like(along), np.ones_like(along)
    rows = np.concatenate([none, all_, along, along]) * grid.height
    columns = np.concatenate([along, along, none, all_]) * grid.width
    return rows, columns


def places_on(
    source: Grid, area: Grid, rows: FloatArray, columns: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return rows and columns of an area as those of a grid [px], infinite where there are none."""
    x, y = area.locate(rows, columns)
    if area.crs != source.crs and area.crs and source.crs:
        transformer = pyproj.Transformer.from_crs(
            to_pyproj(area.crs), to_pyproj(source.crs), always_xy=True
        )
        x, y = transformer.transform(x, y)
    inverse = ~source.transform
    return inverse.f + inverse.d * x + inverse.e * y, inverse.c + inverse.a * x + inverse.b * y
