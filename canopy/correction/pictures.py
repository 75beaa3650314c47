"""Pictures of a correction: footprints and map, the factor field, the map before and after."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from rasterio.enums import Resampling

from canopy.evaluation.pictures import (
    BLUE,
    DIVERGING,
    DPI,
    FRAME,
    INK,
    NO_DATA,
    ORANGE,
    colour_bar,
    draw_scale,
    new_figure,
    plain,
)
from canopy.preview.words import height_ticks
from geo.grid import Grid
from geo.ground import ground_pixel_m
from geo.height_maps.style import display_maximum

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from canopy.correction.report import Findings
    from canopy.height_errors import HeightErrors

    Array = NDArray[np.float64]

PREVIEW_PX = 900
MOST_POINTS = 20_000
COLOURS = "YlGn"
"""ColorBrewer's ramp, as in geo.height_maps.style."""


def save(figure: Figure, path: Path) -> None:
    """Write a picture as PNG."""
    figure.savefig(path, format="png", dpi=DPI)


# --- footprints against the map -------------------------------------------------


def draw_scatter(findings: Findings, path: Path) -> None:
    """Draw footprints against the map's percentile, before and after, of shots kept aside."""
    judged = findings.judged
    told = "shots kept aside" if judged else "no folds: too few shots"
    figure = new_figure(
        9.6, 5.9, "Map against footprints, before and after", f"{findings.source.name} · {told}"
    )
    reached = 5.0
    panels: list[tuple[str, Any, HeightErrors | None]] = []
    if judged is not None:
        which = judged.counted
        for name, heights in (("before", judged.before), ("after", judged.after)):
            panels.append((name, heights[which], judged.errors(heights, which)))
        both = np.concatenate([judged.rh[which], *(heights for _, heights, _ in panels)])
        reached = math.ceil(max(5.0, float(np.percentile(both, 99.9)) if both.size else 0) / 5) * 5
    for number, name in enumerate(("before", "after")):
        axes = figure.add_axes((0.075 + 0.485 * number, 0.1, 0.42, 0.42 * 9.6 / 5.9))
        axes.plot([0, reached], [0, reached], color=INK, linewidth=1.1)
        axes.set(xlim=(0, reached), ylim=(0, reached), aspect="equal")
        axes.set_xticks(height_ticks(reached))
        axes.set_yticks(height_ticks(reached))
        axes.set_xlabel(f"Footprint {findings.footprints.column} (m)", size=10.5, color=INK)
        axes.set_ylabel(f"Map p{findings.settings.percentile:g} (m)", size=10.5, color=INK)
        plain(axes)
        axes.set_title(name, size=10, color=INK, loc="left", pad=5)
        if judged is not None:
            _, heights, errors = panels[number]
            draw_dots(axes, judged.rh[judged.counted], heights, (BLUE, ORANGE)[number])
            axes.set_title(f"{name}: {words_of(errors)}", size=10, color=INK, loc="left", pad=5)
    save(figure, path)


def draw_dots(axes: Axes, rh: Array, heights: Array, colour: str) -> None:
    """Draw shots as dots, fainter where there are many."""
    step = max(1, len(rh) // MOST_POINTS)
    axes.scatter(
        rh[::step],
        heights[::step],
        s=9,
        color=colour,
        alpha=float(np.clip(300 / max(1, len(rh)), 0.08, 0.6)),
        linewidths=0,
    )


def words_of(errors: HeightErrors | None) -> str:
    """Return errors on one line."""
    if errors is None:
        return "no shots"
    r2 = f" · R² {errors.r2:.2f}" if math.isfinite(errors.r2) else ""
    # By way of the millimetres of the report, so that both round alike.
    mae, bias = round(errors.mae, 3), round(errors.bias, 3)
    return f"{errors.count} shots · MAE {mae:.2f} m · bias {bias:+.2f} m{r2}"


# --- the factor field -----------------------------------------------------------


def draw_field(findings: Findings, path: Path) -> None:
    """Draw the factor field, and the shots it rests on, those left out as crosses."""
    grid = findings.field.grid
    across, down = ground_pixel_m(grid)
    ground = grid.width * across, grid.height * down
    wide, tall = panel_size(ground)
    figure = new_figure(
        max(6.4, wide + 1.7),
        tall + 1.35,
        "Factors on canopy heights",
        f"{findings.source.name} · {'applied' if findings.applied else 'not applied'}",
    )
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0.3 / width, 0.4 / height, wide / width, tall / height))
    top = factor_limit(findings.field.factors)
    norm = LogNorm(1 / top, top)
    axes.imshow(
        findings.field.factors,
        cmap=DIVERGING,
        norm=norm,
        extent=(0, ground[0], ground[1], 0),
        interpolation="nearest",
    )
    found, pairs = findings.calibrated, findings.pairs
    axes.scatter(
        pairs.right[found.used], pairs.down[found.used], s=5, color=INK, linewidths=0,
        label=f"{int(found.used.sum())} shots used",
    )  # fmt: skip
    if found.broken.any():
        axes.scatter(
            pairs.right[found.broken], pairs.down[found.broken], s=22, marker="x", color=ORANGE,
            linewidths=1.2, label=f"{int(found.broken.sum())} not supported by their neighbours",
        )  # fmt: skip
    axes.set(xticks=[], yticks=[], xlim=(0, ground[0]), ylim=(ground[1], 0), aspect="equal")
    plain(axes)
    draw_scale(axes, ground[0])
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=2, fontsize=9, frameon=False,
        borderpad=0.2, handletextpad=0.2,
    )  # fmt: skip
    bar_height = min(tall, 4.0) / height
    colour_bar(
        figure,
        ScalarMappable(norm, DIVERGING),
        ((wide + 0.5) / width, (0.4 + tall) / height - bar_height, 0.17 / width, bar_height),
        "factor",
        ticks=sorted({round(1 / top, 2), round(1 / math.sqrt(top), 2), 1.0,
                      round(math.sqrt(top), 2), round(top, 2)}),
    )  # fmt: skip
    save(figure, path)


def factor_limit(factors: NDArray[np.float32]) -> float:
    """Return the factor of the last colour, a round number."""
    reached = float(np.exp(np.abs(np.log(factors)).max()))
    return next((top for top in (1.1, 1.25, 1.5, 2.0, 3.0) if reached <= top + 1e-6), 10.0)


def panel_size(ground: tuple[float, float]) -> tuple[float, float]:
    """Return width and height of a panel [inches] for ground of a width and height."""
    scale = min(5.6 / ground[0], 5.6 / ground[1])
    return max(1.5, ground[0] * scale), max(1.0, ground[1] * scale)


# --- the map before and after -----------------------------------------------------


def draw_preview(before: Path, after: Path, path: Path) -> None:
    """Draw a map before and after, in the same colours."""
    planes, pixel_m = zip(*(overview(file) for file in (before, after)), strict=True)
    known = np.concatenate([plane[np.isfinite(plane)] for plane in planes])
    top = display_maximum(float(np.percentile(known, 98)) if known.size else 0.0)
    ground = planes[0].shape[1] * pixel_m[0][0], planes[0].shape[0] * pixel_m[0][1]
    wide, tall = panel_size(ground)
    figure = new_figure(
        2 * wide + 1.9, tall + 1.45, "Canopy height, before and after", f"{before.name}"
    )
    width, height = figure.get_size_inches()
    norm = Normalize(0, top)
    for number, (name, plane) in enumerate(zip(("before", "after"), planes, strict=True)):
        left = (0.3 + number * (wide + 0.25)) / width
        axes = figure.add_axes((left, 0.45 / height, wide / width, tall / height))
        axes.imshow(
            np.ma.masked_invalid(plane), cmap=COLOURS, norm=norm, interpolation="nearest",
            extent=(0, ground[0], 0, ground[1]),
        )  # fmt: skip
        axes.set_facecolor(NO_DATA)
        axes.set(xticks=[], yticks=[], aspect="equal")
        plain(axes)
        told = f"mean {np.nanmean(plane):.1f} m" if np.isfinite(plane).any() else "no heights"
        axes.set_title(f"{name}, {told}", size=10, color=INK, loc="left", pad=5)
        if number == 0:
            draw_scale(axes, ground[0])
    bar_height = min(tall, 4.0) / height
    colour_bar(
        figure,
        ScalarMappable(norm, COLOURS),
        ((2 * wide + 0.75) / width, (0.45 + tall) / height - bar_height, 0.17 / width, bar_height),
        "canopy height (m)",
        extend="max",
        ticks=height_ticks(top),
    )
    figure.patch.set_edgecolor(FRAME)
    save(figure, path)


def overview(path: Path) -> tuple[Array, tuple[float, float]]:
    """Return heights [m], NaN where there is none, as coarse as a picture, and a pixel's sides."""
    with rasterio.open(path) as dataset:
        factor = max(1.0, max(dataset.shape) / PREVIEW_PX)
        shape = tuple(max(1, round(length / factor)) for length in dataset.shape)
        stored = dataset.read(1, out_shape=shape, resampling=Resampling.average, masked=True)
        metres = stored.astype(np.float64) * dataset.scales[0] + dataset.offsets[0]
        grid = Grid.of(dataset).scaled_to(*shape)
        return np.ma.filled(metres, np.nan), ground_pixel_m(grid)
