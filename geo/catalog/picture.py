"""A small map of what was found: footprints, the area, and the part that none covers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyproj
import shapely
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as Outline
from shapely.geometry import box

from geo.catalog.area import STEP_DEG, TURN, WGS84

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes
    from shapely.geometry.base import BaseGeometry

    from geo.catalog.area import Area
    from geo.catalog.findings import Coverage

DPI = 100
PAGE = (800, 800)  # px
MAP = (0.05, 0.14, 0.9, 0.76)  # of the page: left, bottom, width, height
MARGIN = 0.12  # of the area's longer side
INK, FAINT, FRAME = "#1c1c1c", "#5f6368", "#8a8f94"
FOUND, BARE = "#2b7bba", "#d1495b"
STEPS = (5.0, 2.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class CoveragePicture:
    """What is drawn.

    Attributes:
        area: the ground that imagery was looked for.
        coverage: what covers it, and what is left.
        title: one line over the map.
        caption: one line under it.
    """

    area: Area
    coverage: Coverage
    title: str
    caption: str


def draw_coverage(path: Path, picture: CoveragePicture) -> None:
    """Draw a map as a PNG of 800 by 800 pixels, north up at the middle of the area.

    Args:
        path: the PNG, whatever its ending.
        picture: what to draw.
    """
    figure = Figure(figsize=(PAGE[0] / DPI, PAGE[1] / DPI), dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes(MAP)
    project = _plane(picture.area.geometry)
    _frame(axes, project(picture.area.geometry))
    view = box(*_limits(axes))
    alpha = max(0.08, 0.6 / math.sqrt(1 + len(picture.coverage.footprints)))
    for ground in picture.coverage.footprints:
        seen = shapely.make_valid(project(ground)).intersection(view)
        _fill(axes, seen, facecolor=FOUND, alpha=alpha, edgecolor="none", zorder=1)
        _fill(axes, seen, facecolor="none", edgecolor=FOUND, linewidth=0.5, alpha=0.5, zorder=2)
    bare = project(picture.coverage.uncovered)
    _fill(axes, bare, facecolor="#f7d9dc", edgecolor=BARE, hatch="////", linewidth=0, zorder=3)
    outline = project(picture.area.geometry)
    _fill(axes, outline, facecolor="none", edgecolor=INK, linewidth=1.4, zorder=4)
    _scale_bar(axes)
    _words(figure, picture)
    with path.open("wb") as file:
        canvas.print_figure(file, format="png", metadata={"Title": picture.title})


def _plane(geometry: BaseGeometry) -> Callable[[BaseGeometry], BaseGeometry]:
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


def _frame(axes: Axes, area: BaseGeometry) -> None:
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


def _limits(axes: Axes) -> tuple[float, float, float, float]:
    """Return west, south, east and north of what is shown [m]."""
    (west, east), (south, north) = axes.get_xlim(), axes.get_ylim()
    return west, south, east, north


def _fill(axes: Axes, shape: BaseGeometry, **style: object) -> None:
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


def _scale_bar(axes: Axes) -> None:
    """Draw a bar of a round length in the lower left corner."""
    west, south, east, north = _limits(axes)
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


def _words(figure: Figure, picture: CoveragePicture) -> None:
    """Write title, signs and caption."""
    title, caption = _short(picture.title, 64), _short(picture.caption, 110)
    figure.text(0.05, 0.94, title, size=13, weight="bold", color=INK, parse_math=False)
    figure.text(0.05, 0.025, caption, size=9.5, color=FAINT, parse_math=False)
    signs = [
        Patch(facecolor=FOUND, edgecolor=FOUND, alpha=0.45, label="images"),
        Patch(facecolor="none", edgecolor=INK, linewidth=1.4, label="area"),
    ]
    if not picture.coverage.uncovered.is_empty:
        bare = Patch(facecolor="#f7d9dc", edgecolor=BARE, hatch="////", label="not covered")
        signs.append(bare)
    figure.legend(
        handles=signs, loc="lower left", bbox_to_anchor=(0.04, 0.06), ncols=3, frameon=False
    )


def _short(text: str, letters: int) -> str:
    """Return a text that fits on the page, its middle left out where it is long."""
    half = letters // 2
    return text if len(text) <= letters else f"{text[:half]}…{text[-half:]}"
