"""The ground that imagery is looked for: a box or any vector file, in longitude and latitude."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyproj
import shapely
from shapely.affinity import translate
from shapely.geometry import box, mapping

from geo.catalog.errors import CatalogError

if TYPE_CHECKING:
    from typing import Any

    import geopandas
    from shapely.geometry.base import BaseGeometry

WGS84 = "EPSG:4326"
EQUAL_AREA = "EPSG:6933"
"""EASE-Grid 2.0 (Brodzik et al. 2012): cylindrical: parallels and meridians stay straight."""

TURN, HALF_TURN = 360.0, 180.0  # degrees
STEP_DEG = 0.1
"""Longest piece of an edge that is projected as a straight line [degrees]."""

EDGE_PIECES = 64
"""Pieces in which the longest edge of a projected area goes to longitude and latitude."""

MOST_POINTS = 100
"""Points of an outline that is sent to an API: what is longer fits in no URL."""


@dataclass(frozen=True, kw_only=True)
class Area:
    """Ground, cut at the antimeridian.

    Attributes:
        geometry: polygons in EPSG:4326 (longitude, latitude in degrees), all within -180..180.
        name: how a person called it: the box, or the file's name.
    """

    geometry: BaseGeometry
    name: str

    @property
    def km2(self) -> float:
        """Its size."""
        return equal_area_m2(self.geometry) / 1e6

    @property
    def outline(self) -> dict[str, Any]:
        """A GeoJSON geometry of few points that holds the area, for a request."""
        return dict(mapping(simplified(self.geometry)))


def read_area(text: str) -> Area:
    """Return the area of a text.

    Args:
        text: `west,south,east,north` in degrees, west > east where it crosses the antimeridian; or
            a vector file that geopandas reads, in any CRS, whose polygons are united.

    Raises:
        CatalogError: it is neither, or has no ground.
    """
    numbers = text.split(",")
    if len(numbers) == 4 and not Path(text).exists():  # noqa: PLR2004 - the sides of a box
        return Area(geometry=_box(text, numbers), name=text)
    path = Path(text)
    if not path.is_file():
        msg = f"--area {text}: expected west,south,east,north in degrees, or a vector file here"
        raise CatalogError(msg)
    geometry = _united(_features(path), path)
    return Area(geometry=geometry, name=path.name)


def on_globe(geometry: BaseGeometry) -> BaseGeometry:
    """Return a geometry within -180..180 degrees: what lies beyond is cut off and turned round."""
    parts = [
        translate(geometry.intersection(box(-HALF_TURN + turn, -90, HALF_TURN + turn, 90)), -turn)
        for turn in (-TURN, 0.0, TURN)
    ]
    return shapely.union_all(parts)


def unwrapped(geometry: BaseGeometry) -> BaseGeometry:
    """Return a geometry whose outlines never jump from 180 to -180 degrees but go on to 181."""
    coordinates = shapely.get_coordinates(geometry)
    # One run through all outlines: a hole stays beside its polygon.
    coordinates[:, 0] = np.unwrap(coordinates[:, 0], period=TURN)
    return shapely.set_coordinates(shapely.from_wkb(shapely.to_wkb(geometry)), coordinates)


def equal_area_m2(geometry: BaseGeometry) -> float:
    """Return the ground under a geometry in longitude and latitude [m2]."""
    if geometry.is_empty:
        return 0.0
    project = pyproj.Transformer.from_crs(WGS84, EQUAL_AREA, always_xy=True).transform
    fine = shapely.segmentize(geometry, STEP_DEG)
    return float(shapely.transform(fine, project, interleaved=False).area)


def polygons_of(geometry: BaseGeometry) -> BaseGeometry:
    """Return the valid polygons of a geometry, united; empty where it has none."""
    parts = shapely.get_parts(shapely.make_valid(shapely.force_2d(geometry)))
    flat = [part for part in shapely.get_parts(parts) if part.geom_type == "Polygon"]
    return shapely.union_all(flat)


def simplified(geometry: BaseGeometry) -> BaseGeometry:
    """Return a geometry of at most `MOST_POINTS` points that holds another one."""
    width = max(np.subtract(geometry.bounds[2:], geometry.bounds[:2]))
    tolerance, held = width / 1000, geometry
    while shapely.get_num_coordinates(held) > MOST_POINTS:
        if tolerance > width / 8:
            return on_globe(box(*geometry.bounds))
        wide = geometry.buffer(tolerance, join_style="mitre", mitre_limit=2.0)
        held = on_globe(wide.simplify(tolerance / 2))
        held = held if held.covers(geometry) else held.union(geometry)
        tolerance *= 2
    return held


def _box(text: str, numbers: list[str]) -> BaseGeometry:
    """Return the polygons of a box, two where it crosses the antimeridian."""
    try:
        west, south, east, north = (float(number) for number in numbers)
    except ValueError as error:
        msg = f"--area {text}: expected four numbers, west,south,east,north in degrees"
        raise CatalogError(msg) from error
    if not (-90 <= south < north <= 90 and abs(west) <= HALF_TURN and abs(east) <= HALF_TURN):  # noqa: PLR2004
        msg = (
            f"--area {text}: expected west,south,east,north in degrees, south below north, "
            "longitudes within 180 and latitudes within 90"
        )
        raise CatalogError(msg)
    if west == east:
        msg = f"--area {text} has no ground: west is east"
        raise CatalogError(msg)
    return on_globe(box(west, south, east + (TURN if east < west else 0), north))


def _features(path: Path) -> geopandas.GeoSeries:
    """Return the geometries of a file, with their CRS."""
    import geopandas as gpd  # noqa: PLC0415 - slow, and a box needs none of it

    try:
        frame = gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path)
        features = frame.geometry.dropna()
    except Exception as error:  # geopandas raises what its readers raise, of many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        msg = f"--area {path} cannot be read ({reason}): expected GeoJSON, GPKG or alike"
        raise CatalogError(msg) from error
    if features.crs is None:
        msg = f"--area {path} has no CRS: assign the right one, or give a GeoJSON in degrees"
        raise CatalogError(msg)
    return features


def _united(features: geopandas.GeoSeries, path: Path) -> BaseGeometry:
    """Return the polygons of features as one geometry in longitude and latitude."""
    together = polygons_of(shapely.union_all([polygons_of(each) for each in features]))
    if together.is_empty:
        msg = f"--area {path} has no ground: expected polygons, found none with an area"
        raise CatalogError(msg)
    if features.crs.is_geographic and features.crs == pyproj.CRS(WGS84):
        whole = on_globe(together)
    else:
        whole = _to_degrees(together, features.crs, path)
    if whole.is_empty or equal_area_m2(whole) <= 0:
        msg = f"--area {path} has no ground between -180 and 180 degrees: its CRS may be wrong"
        raise CatalogError(msg)
    return whole


def _to_degrees(geometry: BaseGeometry, crs: pyproj.CRS, path: Path) -> BaseGeometry:
    """Return a geometry in longitude and latitude, its edges bent as the projection bends them."""
    longest = max(np.subtract(geometry.bounds[2:], geometry.bounds[:2]))
    fine = shapely.segmentize(geometry, longest / EDGE_PIECES)
    project = pyproj.Transformer.from_crs(crs, WGS84, always_xy=True).transform
    degrees = shapely.transform(fine, project, interleaved=False)
    coordinates = shapely.get_coordinates(degrees)
    if not np.isfinite(coordinates).all():
        msg = f"--area {path} lies outside its CRS {crs.name}: assign the right one"
        raise CatalogError(msg)
    if any(_goes_round(ring) for ring in _rings(degrees)):
        msg = f"--area {path} goes round a pole: cut it, for example at longitudes -180, 0 and 180"
        raise CatalogError(msg)
    return on_globe(polygons_of(unwrapped(degrees)))


def _rings(geometry: BaseGeometry) -> list[BaseGeometry]:
    """Return the outlines of polygons."""
    return [
        ring for part in shapely.get_parts(geometry) for ring in (part.exterior, *part.interiors)
    ]


def _goes_round(ring: BaseGeometry) -> bool:
    """Whether an outline ends a turn away from where it began, as one around a pole does."""
    longitudes = np.unwrap(shapely.get_coordinates(ring)[:, 0], period=TURN)
    return bool(abs(longitudes[-1] - longitudes[0]) > HALF_TURN)
