"""A small map of what was found: footprints, the area, and the part that none covers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import shapely
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from shapely.geometry import box

from geo.catalog.map_page import (
    DPI,
    FAINT,
    INK,
    MAP,
    PAGE,
    add_scale_bar,
    fill,
    frame_area,
    limits_of,
    plane_around,
    shortened,
)

if TYPE_CHECKING:
    from pathlib import Path

    from geo.catalog.area import Area
    from geo.catalog.findings import Coverage

FOUND, BARE = "#2b7bba", "#d1495b"


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
    project = plane_around(picture.area.geometry)
    frame_area(axes, project(picture.area.geometry))
    view = box(*limits_of(axes))
    alpha = max(0.08, 0.6 / math.sqrt(1 + len(picture.coverage.footprints)))
    for ground in picture.coverage.footprints:
        seen = shapely.make_valid(project(ground)).intersection(view)
        fill(axes, seen, facecolor=FOUND, alpha=alpha, edgecolor="none", zorder=1)
        fill(axes, seen, facecolor="none", edgecolor=FOUND, linewidth=0.5, alpha=0.5, zorder=2)
    bare = project(picture.coverage.uncovered)
    fill(axes, bare, facecolor="#f7d9dc", edgecolor=BARE, hatch="////", linewidth=0, zorder=3)
    outline = project(picture.area.geometry)
    fill(axes, outline, facecolor="none", edgecolor=INK, linewidth=1.4, zorder=4)
    add_scale_bar(axes)
    _words(figure, picture)
    with path.open("wb") as file:
        canvas.print_figure(file, format="png", metadata={"Title": picture.title})


def _words(figure: Figure, picture: CoveragePicture) -> None:
    """Write title, signs and caption."""
    title, caption = shortened(picture.title, 64), shortened(picture.caption, 110)
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
