"""Where points lie: the CRS that their file states, in metres, and the unit of their heights."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyproj
from rasterio.crs import CRS

from geo.ground import crs_words, keeps_metres, longitude_latitude
from geo.lidar.crs_agreement import SAME_M, apart_m, apart_words, registered
from geo.lidar.errors import LidarError
from geo.lidar.units import (
    EPSG_UNITS,
    METRE,
    horizontal_unit,
    is_metre,
    unit_named,
    unit_words,
    vertical_unit,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import laspy

    from geo.lidar.point_store import Bounds

logger = logging.getLogger(__name__)

# Keys of GeoTIFF, which LAS up to 1.3 borrows.
GEOGRAPHIC_KEY, PROJECTED_KEY, VERTICAL_KEY, VERTICAL_UNIT_KEY = 2048, 3072, 4096, 4099
USER_DEFINED = 32767

SAME_PLACE_M = 1e-3


@dataclass(frozen=True, kw_only=True)
class PointCrs:
    """How the coordinates of a file become metres.

    Attributes:
        crs: horizontal CRS in metres; None where nothing is known.
        xy_m: metres of one unit of x and y.
        z_m: metres of one unit of z.
        vertical: name of the vertical CRS; None where the file names none.
        note: what there is to say of a CRS that the file does not state so; None where it does.
    """

    crs: CRS | None
    xy_m: float
    z_m: float
    vertical: str | None
    note: str | None = None


def read_point_crs(
    header: laspy.LasHeader, path: Path, *, epsg: int | None, height_unit: str | None
) -> PointCrs:
    """Read the CRS and the units of a file of points.

    Coordinates in feet are scaled, and the CRS becomes its twin in metres. A CRS that no register
    has becomes the registered one that agrees with it there. A vertical unit that is not stated is
    that of x and y, as the LAS specification has it; of feet that is said.

    Args:
        header: header of the file.
        path: the file, for messages.
        epsg: code of the CRS, for a file that states none, or one that agrees with it.
        height_unit: a name of :data:`geo.lidar.units.HEIGHT_UNITS`, instead of the stated unit.

    Raises:
        LidarError: the CRS cannot be understood, is elsewhere than ``epsg``, or does not keep
            metres.
        GridError: the points lie outside their CRS.
    """
    stated = stated_crs(header, path, given=epsg)
    crs = given_crs(epsg) if stated is None and epsg is not None else stated
    if crs is None:
        z_m = unit_named(height_unit) if height_unit else METRE
        return PointCrs(crs=None, xy_m=METRE, z_m=z_m, vertical=None)
    flat = flat_part(crs)
    if flat.is_geographic or not flat.is_projected:
        msg = f"{path}: {flat.name} has no x and y in metres: reproject the points, to UTM say"
        raise LidarError(msg)
    (west, south), (east, north) = header.mins[:2].tolist(), header.maxs[:2].tolist()
    bounds = west, south, east, north
    taken = registered(flat, bounds) if epsg is None else agreeing(flat, epsg, bounds, path)
    xy_m = horizontal_unit(taken)
    return PointCrs(
        crs=metric_crs(taken, (west * xy_m, south * xy_m), path),
        xy_m=xy_m,
        z_m=height_unit_m(header, crs, xy_m, path, height_unit),
        vertical=vertical_name(crs),
        note=note_on(flat, taken, bounds),
    )


def stated_crs(header: laspy.LasHeader, path: Path, *, given: int | None) -> pyproj.CRS | None:
    """Return the CRS of a header's WKT or GeoTIFF keys; None where it has neither.

    Raises:
        LidarError: it has one that cannot be understood, and no code was given instead.
    """
    crs: pyproj.CRS | None
    try:
        crs = header.parse_crs()
    except (pyproj.exceptions.ProjError, ValueError, KeyError):
        crs = None
    if crs is None and given is None and claims_crs(header):
        msg = f"{path}: its CRS cannot be understood: state it with --epsg"
        raise LidarError(msg)
    return crs


def claims_crs(header: laspy.LasHeader) -> bool:
    """Whether a header has a CRS record with something in it."""
    keys = geo_keys(header)
    wkt = [record for record in records(header) if record.record_id == 2112]  # noqa: PLR2004 - OGC WKT
    return any(record.record_data_bytes().strip(b"\0 ") for record in wkt) or bool(
        keys.keys() & {GEOGRAPHIC_KEY, PROJECTED_KEY}
    )


def records(header: laspy.LasHeader) -> list[laspy.vlrs.vlr.IVLR]:
    """Return the records about the CRS, in whatever part of the file they stand."""
    found = list(header.vlrs.get_by_id("LASF_Projection"))
    if header.evlrs is not None:
        found += header.evlrs.get_by_id("LASF_Projection")
    return found


def geo_keys(header: laspy.LasHeader) -> Mapping[int, int]:
    """Return the GeoTIFF keys whose values stand in the directory itself: codes and units."""
    return {
        key.id: key.value_offset
        for record in records(header)
        for key in getattr(record, "geo_keys", ())
        if key.tiff_tag_location == 0
    }


def given_crs(epsg: int) -> pyproj.CRS:
    """Return the CRS of a code that a user stated.

    Raises:
        LidarError: there is none.
    """
    try:
        return pyproj.CRS.from_epsg(epsg)
    except pyproj.exceptions.CRSError as error:
        msg = f"--epsg {epsg}: no CRS has that code, expected one such as 32611"
        raise LidarError(msg) from error


def agreeing(stated: pyproj.CRS, epsg: int, bounds: Bounds, path: Path) -> pyproj.CRS:
    """Return the horizontal CRS of a code that a user stated beside the one of a file.

    Raises:
        LidarError: they do not agree within the bounds [unit of the file], or there is none.
    """
    given = flat_part(given_crs(epsg))
    if given.equals(stated, ignore_axis_order=True):
        return given
    distance_m = apart_m(stated, given, bounds)
    if distance_m > SAME_M:
        msg = (
            f"{path} lies in {crs_words(stated)}, not in EPSG:{epsg} ({apart_words(distance_m)}): "
            "leave --epsg out, or state one that agrees"
        )
        raise LidarError(msg)
    return given


def note_on(stated: pyproj.CRS, taken: pyproj.CRS, bounds: Bounds) -> str | None:
    """Return the line about a CRS that was taken for another, None where it is the same."""
    if taken.equals(stated, ignore_axis_order=True):
        return None
    within = f"coordinates agree within {apart_m(stated, taken, bounds):.2f} m"
    return f"{crs_words(stated)} is taken as {crs_words(taken)} ({taken.name}), {within}"


def flat_part(crs: pyproj.CRS) -> pyproj.CRS:
    """Return the horizontal part of a CRS."""
    if crs.is_bound and crs.source_crs is not None:
        crs = crs.source_crs
    if crs.is_compound:
        return flat_part(crs.sub_crs_list[0])
    return crs.to_2d()


def vertical_name(crs: pyproj.CRS) -> str | None:
    """Return the datum of a compound CRS's heights, whatever their unit."""
    if not crs.is_compound:
        return None
    vertical = crs.sub_crs_list[-1]
    return vertical.datum.name if vertical.datum else vertical.name


def metric_crs(crs: pyproj.CRS, corner: tuple[float, float], path: Path) -> CRS:
    """Return the twin in metres of a projected CRS, itself where it is in metres.

    Raises:
        LidarError: it stretches metres.
        GridError: the corner lies outside of it.
    """
    twin = CRS.from_wkt(in_metres(crs, corner).to_wkt())
    longitude, latitude = longitude_latitude(twin, *(np.array([value]) for value in corner))
    if not keeps_metres(twin, float(longitude[0]), float(latitude[0])):
        msg = f"{path}: {crs.name} does not keep metres there: reproject the points, to UTM say"
        raise LidarError(msg)
    return twin


def in_metres(crs: pyproj.CRS, corner: tuple[float, float]) -> pyproj.CRS:
    """Return a projected CRS with its axes in metres; a registered one where there is one.

    Args:
        crs: the CRS.
        corner: x and y [m] at which the registered one must agree.
    """
    if is_metre(horizontal_unit(crs)):
        return crs
    record = crs.to_json_dict()
    record.pop("id", None)
    record["name"] = f"{crs.name} in metres"
    for axis in record["coordinate_system"]["axis"]:
        axis["unit"] = "metre"
    twin = pyproj.CRS.from_json_dict(record)
    code = twin.to_authority(min_confidence=70)
    named = pyproj.CRS.from_authority(*code) if code else None
    return named if named is not None and same_place(twin, named, corner) else twin


def same_place(one: pyproj.CRS, other: pyproj.CRS, corner: tuple[float, float]) -> bool:
    """Whether two CRSs in metres on one datum give a place the same coordinates."""
    if one.geodetic_crs != other.geodetic_crs:
        return False
    there = pyproj.Transformer.from_crs(one, other, always_xy=True).transform(*corner)
    return bool(np.allclose(there, corner, rtol=0, atol=SAME_PLACE_M))


def height_unit_m(
    header: laspy.LasHeader, crs: pyproj.CRS, xy_m: float, path: Path, chosen: str | None
) -> float:
    """Return the unit of heights [m]: chosen, stated by the CRS or a key, else that of x and y."""
    if chosen:
        return unit_named(chosen)
    stated = vertical_unit(crs) or keyed_unit(geo_keys(header))
    if stated is None and not is_metre(xy_m):
        logger.warning(
            "%s: heights are taken as %s, like x and y: state --height-unit if they are not",
            path,
            unit_words(xy_m),
        )
    return stated or xy_m


def keyed_unit(keys: Mapping[int, int]) -> float | None:
    """Return the vertical unit of GeoTIFF keys [m]: named itself, or by a vertical CRS."""
    if (unit := EPSG_UNITS.get(keys.get(VERTICAL_UNIT_KEY, 0))) is not None:
        return unit
    code = keys.get(VERTICAL_KEY, 0)
    if not 0 < code < USER_DEFINED:
        return None
    try:
        axes = pyproj.CRS.from_epsg(code).axis_info
    except pyproj.exceptions.CRSError:
        return None
    return float(axes[-1].unit_conversion_factor) if axes else None
