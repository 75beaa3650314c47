"""A map of the cells of a region: made, kept, empty, failed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyproj
import shapely
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
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
from geo.cells import Cell
from geo.ground import WGS84
from geo.region_products.report import STATES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes
    from shapely.geometry.base import BaseGeometry

    from geo.grid import FloatArray
    from geo.region_products.report import CellState

COLOURS: dict[CellState, str] = {
    "done": "#2e8b57",
    "kept": "#7fb3d5",
    "empty": "#d9d9d4",
    "failed": "#d1495b",
}
SMALLEST_PX = 4.0
"""Side under which a cell is drawn larger than it is where it failed: those are looked for."""
EDGED_PX = 7.0
"""Side from which cells have a white edge."""


@dataclass(frozen=True, kw_only=True)
class RegionPicture:
    """What is drawn.

    Attributes:
        states: what came of each cell, by its id; at least one.
        area: the ground that was asked for, EPSG:4326; None for that of the imagery.
        title: one line over the map.
        caption: one line under it.
    """

    states: Mapping[str, CellState]
    area: BaseGeometry | None
    title: str
    caption: str


def draw_region(path: Path, picture: RegionPicture) -> None:
    """Draw a map of cells as a PNG of 800 by 800 pixels, north up at the middle of the area.

    Args:
        path: the PNG, whatever its ending.
        picture: what to draw.
    """
    names = list(picture.states)
    corners = corners_of([Cell.from_id(name) for name in names])
    points = shapely.MultiPoint(corners.reshape(-1, 2))
    project = plane_around(points if picture.area is None else picture.area)
    placed = shapely.get_coordinates(project(points)).reshape(-1, 4, 2)
    figure = Figure(figsize=(PAGE[0] / DPI, PAGE[1] / DPI), dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes(MAP)
    everything = [shapely.MultiPoint(placed.reshape(-1, 2))]
    if picture.area is not None:
        everything.append(project(picture.area))
    frame_area(axes, box(*shapely.total_bounds(everything)))
    _add_cells(axes, placed, np.array([picture.states[name] for name in names]))
    for outline in everything[1:]:
        fill(axes, outline, facecolor="none", edgecolor=INK, linewidth=1.4, zorder=4)
    add_scale_bar(axes)
    _words(figure, picture)
    with path.open("wb") as file:
        canvas.print_figure(file, format="png", metadata={"Title": picture.title})


def corners_of(cells: list[Cell]) -> FloatArray:
    """Return the corners of cells: (cells, 4, 2) longitudes and latitudes [degrees]."""
    by_zone: dict[int, list[int]] = defaultdict(list)
    for index, cell in enumerate(cells):
        by_zone[cell.epsg].append(index)
    corners = np.empty((len(cells), 4, 2))
    for epsg, members in by_zone.items():
        side = np.array([cells[index].side_px * cells[index].pixel_m for index in members])
        west = np.array([cells[index].column for index in members]) * side
        south = np.array([cells[index].row for index in members]) * side
        x = np.column_stack([west, west + side, west + side, west])
        y = np.column_stack([south, south, south + side, south + side])
        transformer = pyproj.Transformer.from_crs(epsg, WGS84, always_xy=True)
        corners[members] = np.stack(transformer.transform(x, y), axis=-1)
    return corners


def _add_cells(
    axes: Axes, placed: FloatArray, states: np.ndarray[tuple[int], np.dtype[np.str_]]
) -> None:
    """Draw cells, those that failed last."""
    west, _, east, _ = limits_of(axes)
    metres_per_px = (east - west) / (MAP[2] * PAGE[0])
    side_px = float(np.median(np.ptp(placed[:, :, 0], axis=1))) / metres_per_px
    edge = 0.6 if side_px >= EDGED_PX else 0.0
    for order, state in enumerate(STATES, start=1):
        cells = placed[states == state]
        if state == "failed" and side_px < SMALLEST_PX:
            middle = cells.mean(axis=1, keepdims=True)
            cells = middle + (cells - middle) * SMALLEST_PX / side_px
        squares = PolyCollection(
            cells,
            facecolors=COLOURS[state],
            edgecolors="white" if edge else "face",
            linewidths=edge,
            antialiaseds=bool(edge),  # seams between cells would tint what is smaller
            zorder=2 + order / 10,
        )
        axes.add_collection(squares, autolim=False)


def _words(figure: Figure, picture: RegionPicture) -> None:
    """Write title, signs with their counts, and caption."""
    title, caption = shortened(picture.title, 64), shortened(picture.caption, 110)
    figure.text(0.05, 0.94, title, size=13, weight="bold", color=INK, parse_math=False)
    figure.text(0.05, 0.025, caption, size=9.5, color=FAINT, parse_math=False)
    counts = {state: list(picture.states.values()).count(state) for state in STATES}
    signs = [
        Patch(facecolor=COLOURS[state], edgecolor="none", label=f"{count:,} {state}")
        for state, count in counts.items()
        if count
    ]
    if picture.area is not None:
        signs.append(Patch(facecolor="none", edgecolor=INK, linewidth=1.4, label="area"))
    figure.legend(
        handles=signs, loc="lower left", bbox_to_anchor=(0.04, 0.06), ncols=5, frameon=False
    )
