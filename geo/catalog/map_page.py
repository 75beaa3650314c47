"""What maps of areas have in common: an equal-area plane, a frame, outlines and a scale bar."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyproj
import shapely
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

from geo.catalog.area import STEP_DEG, TURN, WGS84

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from shapely.geometry.base import BaseGeometry

DPI = 100
PAGE = (800, 800)  # px
MAP = (0.05, 0.14, 0.9, 0.76)  # of the page: left, bottom, width, height
MARGIN = 0.12  # of the area's longer side
INK, FAINT, FRAME = "#1c1c1c", "#5f6368", "#8a8f94"
STEPS = (5.0, 2.0, 1.0)


def plane_around(geometry: BaseGeometry) -> Callable[[BaseGeometry], BaseGeometry]:
    """Return what brings geometries to metres on an equal-area plane around an area."""
    longitude, latitude = _centre(geometry)
    plane = f"+proj=laea +lon_0={longitude} +lat_0={latitude} +datum=WGS84 +units=m"
    transformer = pyproj.Transformer.from_crs(WGS84, plane, always_xy=True)

    def project(shape: BaseGeometry) -> BaseGeometry:
        if shape.is_empty:
            return shape
        fine = shapely.segmentize(shape, STEP_DEG)
        placed = shapely.transform(fine, transformer.transform, interleaved=False)
        return placed if np.isfinite(shapely.get_coordinates(placed)).all() else shapely.Polygon()

    return project


def _centre(geometry: BaseGeometry) -> tuple[float, float]:
    """Return the middle of an area in degrees, also of one cut at the antimeridian."""
    west, _, east, _ = geometry.bounds
    if east - west > TURN / 2:
        x = shapely.get_coordinates(geometry)
        x[:, 0] = np.where(x[:, 0] < 0, x[:, 0] + TURN, x[:, 0])
        geometry = shapely.MultiPoint(x)
    return geometry.centroid.x, geometry.centroid.y


def frame_area(axes: Axes, area: BaseGeometry) -> None:
    """Show an area with a margin, in its own proportions, filling the axes."""
    west, south, east, north = area.bounds
    half_width, half_height = MAP[2] * PAGE[0], MAP[3] * PAGE[1]
    margin = 1 + 2 * MARGIN
    scale = max((east - west) * margin / half_width, (north - south) * margin / half_height)
    x, y = (west + east) / 2, (south + north) / 2
    dx, dy = scale * half_width / 2, scale * half_height / 2
    axes.set(xlim=(x - dx, x + dx), ylim=(y - dy, y + dy), xticks=[], yticks=[])
    axes.set_facecolor("#f6f6f4")
    for spine in axes.spines.values():
        spine.set(edgecolor=FRAME, linewidth=0.8)


def limits_of(axes: Axes) -> tuple[float, float, float, float]:
    """Return west, south, east and north of what is shown [m]."""
    (west, east), (south, north) = axes.get_xlim(), axes.get_ylim()
    return west, south, east, north


def fill(axes: Axes, shape: BaseGeometry, **style: object) -> None:
    """Draw the polygons of a geometry, with their holes."""
    rings = [
        ring.coords
        for part in shapely.get_parts(shapely.orient_polygons(shape))
        if part.geom_type == "Polygon"
        for ring in (part.exterior, *part.interiors)
    ]
    if rings:
        path = Outline.make_compound_path(
            *(Outline(np.asarray(ring), closed=True) for ring in rings)
        )
        axes.add_patch(PathPatch(path, **style))


def add_scale_bar(axes: Axes) -> None:
    """Draw a bar of a round length in the lower left corner."""
    west, south, east, north = limits_of(axes)
    limit = (east - west) / 4
    decade = 10.0 ** math.floor(math.log10(limit))
    length = next(step * decade for step in STEPS if step * decade <= limit)
    x, y = west + (east - west) * 0.04, south + (north - south) * 0.05
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"  # noqa: PLR2004 - a kilometre
    axes.plot([x, x + length], [y, y], color="white", linewidth=5, solid_capstyle="butt", zorder=5)
    axes.plot([x, x + length], [y, y], color=INK, linewidth=2.5, solid_capstyle="butt", zorder=6)
    plate = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1.5}
    axes.text(
        x + length / 2, y + (north - south) * 0.015, label, ha="center", va="bottom", size=10,
        color=INK, zorder=6, bbox=plate,
    )  # fmt: skip


def shortened(text: str, letters: int) -> str:
    """Return a text that fits on the page, its middle left out where it is long."""
    half = letters // 2
    return text if len(text) <= letters else f"{text[:half]}…{text[-half:]}"
