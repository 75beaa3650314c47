"""Metres and the two feet: a height in the wrong one is wrong by a factor that looks plausible."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from geo.lidar.errors import LidarError

if TYPE_CHECKING:
    import pyproj

METRE = 1.0
FOOT = 0.3048
"""International foot [m]."""
US_SURVEY_FOOT = 1200 / 3937
"""Foot of older surveys in the United States [m]."""

HEIGHT_UNITS = {"metre": METRE, "foot": FOOT, "us-survey-foot": US_SURVEY_FOOT}
"""Units that a user may state, in metres."""

EPSG_UNITS = {9001: METRE, 9002: FOOT, 9003: US_SURVEY_FOOT}
"""EPSG codes of units, as GeoTIFF keys name them, in metres."""

SPELLINGS = {
    METRE: {"m", "metre", "metres", "meter", "meters"},
    FOOT: {"ft", "foot", "feet", "international foot", "foot_intl"},
    US_SURVEY_FOOT: {"us survey foot", "us survey feet", "ftus", "us-ft", "foot_us", "sft"},
}
"""How rasters spell the unit of their heights."""


def unit_named(name: str) -> float:
    """Return a unit that a user stated [m].

    Raises:
        LidarError: there is none of that name.
    """
    if name not in HEIGHT_UNITS:
        msg = f"height unit {name}: expected one of {', '.join(HEIGHT_UNITS)}"
        raise LidarError(msg)
    return HEIGHT_UNITS[name]


def unit_spelled(text: str | None) -> float | None:
    """Return the unit that a raster's band names [m]; None where it names none that is known."""
    spelled = (text or "").strip().lower()
    return next((metres for metres, words in SPELLINGS.items() if spelled in words), None)


def horizontal_unit(crs: pyproj.CRS) -> float:
    """Return the unit of the first axis of a projected CRS [m]."""
    return float(crs.axis_info[0].unit_conversion_factor)


def vertical_unit(crs: pyproj.CRS) -> float | None:
    """Return the unit of the third axis of a compound or three-dimensional CRS [m], if it has one.

    Two axes say nothing of heights.
    """
    axes = crs.axis_info
    return float(axes[2].unit_conversion_factor) if len(axes) > 2 else None  # noqa: PLR2004


def is_metre(unit: float) -> bool:
    """Whether a unit [m] is the metre."""
    return math.isclose(unit, METRE, rel_tol=1e-9)


def unit_words(unit: float) -> str:
    """Return the name of a unit [m]."""
    for name, metres in HEIGHT_UNITS.items():
        if math.isclose(unit, metres, rel_tol=1e-7):
            return name
    return f"unit of {unit:g} m"
