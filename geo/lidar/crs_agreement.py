"""Whether two CRSs mean the same coordinates, and which registered CRS an unregistered one is."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pyproj

from geo.lidar.units import horizontal_unit

if TYPE_CHECKING:
    from geo.lidar.point_store import Bounds

SAME_M = 1.0
"""CRSs that put a place no further apart than this agree: datums that follow one ellipsoid, such as
NAD83 and WGS 84, are told apart by surveyors and not by pixels [m]."""

PLACES_ALONG = 3
"""Places along each side of the bounds that are compared."""

LIKELY = 70
"""Confidence [%] at which PROJ takes a CRS for a registered one: all but the name agrees."""

GEODETIC_CODES = {
    r"WGS_?(19)?84|WORLD_GEODETIC_SYSTEM_1984|ITRF|IGS": 4326,
    r"NAD_?(19)?83|NORTH_AMERICAN_(DATUM_)?1983": 4269,
    r"ETRS|EUROPEAN_TERRESTRIAL": 4258,
}
"""Codes of the geographic CRSs of datums, by how their names begin, whatever the realisation."""

FLATTENING = 298.257
"""Inverse flattening of GRS 80 and WGS 84, as far as they agree."""


def apart_m(one: pyproj.CRS, other: pyproj.CRS, bounds: Bounds) -> float:
    """Return how far apart the same coordinates lie in two projected CRSs, at most [m].

    Where PROJ knows no way between their datums, longitudes and latitudes count as equal.

    Args:
        one: a horizontal CRS.
        other: another one.
        bounds: where they are compared [unit of both].

    Returns:
        The distance; infinite where one is not projected, or their units differ.
    """
    if not (one.is_projected and other.is_projected):
        return math.inf
    unit = horizontal_unit(one)
    if not math.isclose(unit, horizontal_unit(other), rel_tol=1e-9):
        return math.inf
    west, south, east, north = bounds
    x, y = np.meshgrid(
        np.linspace(west, east, PLACES_ALONG), np.linspace(south, north, PLACES_ALONG)
    )
    try:
        there = pyproj.Transformer.from_crs(one, other, always_xy=True).transform(x, y)
    except pyproj.exceptions.ProjError:
        return math.inf
    away = np.hypot(there[0] - x, there[1] - y) * unit
    return float(away.max()) if np.isfinite(away).all() else math.inf


def apart_words(distance_m: float) -> str:
    """Return a distance between CRSs in words."""
    if math.isinf(distance_m):
        return "in another unit or out of reach"
    return f"{distance_m:,.0f} m apart"


def registered(crs: pyproj.CRS, bounds: Bounds) -> pyproj.CRS:
    """Return the EPSG's CRS that a projected CRS without a code is; itself where there is none.

    Surveyors write CRSs of their own, whose names and datums no register has, such as a UTM zone on
    ``ITRF_00``. They are looked for as they are, and then on the common datum of that name.

    Args:
        crs: a horizontal CRS.
        bounds: where both must agree [unit of the CRS].
    """
    code = likely_code(crs)
    if code is None:
        return crs
    found = pyproj.CRS.from_epsg(code)
    return found if apart_m(crs, found, bounds) <= SAME_M else crs


@cache  # a survey has many files in one CRS
def likely_code(crs: pyproj.CRS) -> int | None:
    """Return the EPSG code for a CRS without one; None where it has one, or none is found."""
    if crs.to_authority(min_confidence=100):
        return None
    for candidate in (crs, on_known_datum(crs)):
        found = candidate and candidate.to_authority(auth_name="EPSG", min_confidence=LIKELY)
        if found:
            return int(found[1])
    return None


def on_known_datum(crs: pyproj.CRS) -> pyproj.CRS | None:
    """Return a projected CRS on the common datum that its own is called after, if there is one."""
    ellipsoid, name = crs.ellipsoid, crs.datum.name if crs.datum else ""
    spelled = re.sub(r"[^A-Z0-9]+", "_", name.upper()).removeprefix("D_")
    code = next((code for words, code in GEODETIC_CODES.items() if re.match(words, spelled)), None)
    if code is None or ellipsoid is None or abs(ellipsoid.inverse_flattening - FLATTENING) > 1e-3:  # noqa: PLR2004
        return None
    record = crs.to_json_dict()
    record.pop("id", None)
    record["base_crs"] = pyproj.CRS.from_epsg(code).to_json_dict()
    return pyproj.CRS.from_json_dict(record)
