"""Three pictures of a comparison: heights against heights, residuals on the ground, and classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from canopy.evaluation.counts import BIN_M, BINS
from canopy.evaluation.markdown import class_label, signed
from canopy.preview.words import drawable, height_ticks, length_label, nice_length, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.collections import Collection
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from canopy.evaluation.section import PointResiduals, Section

    Array = NDArray[np.float64]

DPI = 120
INK, FAINT, FRAME = "#1c1c1c", "#5f6368", "#8a8f94"
NO_DATA = "#d9dbde"
BLUE, ORANGE = "#2c6fa6", "#d1641b"
"""Of the bars: told apart in grey, and with any colour vision (Okabe and Ito 2008, darkened)."""

DIVERGING = "RdBu_r"
"""ColorBrewer's red and blue: blue too low, red too tall, safe for red-green blindness."""

SHOWN_SHARE = 0.999
"""Share of the heights that the axes of the scatter reach."""

RESIDUAL_SHARE = 98
"""Percentile of the residuals' magnitudes that the colours reach."""

LABEL_BEYOND_IN = 0.6
"""How much longer than its colour bar a label may be [inches]."""

MOST_POINTS = 20_000
LEAST_GROUND_M = 10.0
"""Width of the ground shown around a single point [m]."""

POINT_KINDS = {"pixels": "pixels", "points": "points", "footprints": "footprints"}


def draw_pictures(
    folder: Path, section: Section, comparison: dict[str, Any], map_name: str
) -> list[str]:
    """Draw the pictures of a section into a folder.

    Args:
        folder: where they will stand.
        section: its counts and residuals.
        comparison: the same section as JSON values.
        map_name: file name of the map.

    Returns:
        Their file names.
    """
    drawn = {
        f"{section.kind}-scatter.png": scatter(section, comparison, map_name),
        f"{section.kind}-residuals.png": residual_map(section, comparison, map_name),
        f"{section.kind}-height-classes.png": class_bars(comparison, map_name),
    }
    for name, figure in drawn.items():
        FigureCanvasAgg(figure).print_figure(folder / name, format="png", dpi=DPI)
    return list(drawn)


def new_figure(width: float, height: float, title: str, subtitle: str) -> Figure:
    """Return an empty page [inches] with a title and a line under it."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    room = (width - 0.6) * DPI
    top = 1 - 0.18 / height
    text = figure.text(0.3 / width, top, "", size=14, weight="bold", color=INK, va="top")
    shortened(text, drawable(title), room)
    line = figure.text(0.3 / width, top - 0.34 / height, "", size=9.5, color=FAINT, va="top")
    shortened(line, drawable(subtitle), room)
    return figure


def plain(axes: Axes) -> None:
    """Give axes quiet lines."""
    axes.tick_params(labelsize=9.5, color=FRAME, labelcolor=INK, length=3)
    for spine in axes.spines.values():
        spine.set(edgecolor=FRAME, linewidth=0.8)


# --- heights against heights --------------------------------------------------


def scatter(section: Section, comparison: dict[str, Any], map_name: str) -> Figure:
    """Draw how often which map height meets which reference height, with the 1:1 line."""
    unit = POINT_KINDS[section.kind]
    figure = new_figure(
        7.4, 6.9, "Map height against reference height", f"{map_name} · {size_words(comparison)}"
    )
    axes = figure.add_axes((0.105, 0.09, 0.72, 0.72))
    top = shown_height(section.counts.pairs)
    counts = np.ma.masked_equal(section.counts.pairs.T, 0)
    edges = np.arange(BINS + 1) * BIN_M
    mesh = axes.pcolormesh(
        edges, edges, counts, norm=LogNorm(1, max(2, int(counts.max()))), cmap="viridis_r"
    )
    axes.plot([0, top], [0, top], color=INK, linewidth=1.2, label="1:1")
    draw_line(axes, comparison["errors"], top)
    axes.set(xlim=(0, top), ylim=(0, top), aspect="equal")
    axes.set_xticks(height_ticks(top))
    axes.set_yticks(height_ticks(top))
    axes.set_xlabel("Reference height (m)", size=11, color=INK)
    axes.set_ylabel("Map height (m)", size=11, color=INK)
    plain(axes)
    # Over the axes: within them it would hide heights, of one map here and of another there.
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=2,
        fontsize=9.5,
        frameon=False,
        borderpad=0.2,
    )
    figure.text(0.3 / 7.4, 1 - 0.76 / 6.9, error_words(comparison["errors"]), size=9.5, va="top")
    colour_bar(figure, mesh, (0.86, 0.09, 0.028, 0.72), f"{unit} per cell of {BIN_M:g} m")
    return figure


def shown_height(pairs: NDArray[np.int64]) -> float:
    """Return the height [m] that the axes reach: nearly all heights of both, a round number."""
    tops = []
    for axis in (0, 1):
        reached = np.cumsum(pairs.sum(axis=axis))
        tops.append((int(np.searchsorted(reached, SHOWN_SHARE * reached[-1])) + 1) * BIN_M)
    return max(5.0, math.ceil(max(tops) / 5) * 5.0)


def draw_line(axes: Axes, errors: dict[str, Any], top: float) -> None:
    """Draw the least-squares line of the map on the reference, where there is one."""
    slope, intercept = errors["slope"], errors["intercept_m"]
    if slope is None or intercept is None:
        return
    axes.plot(
        [0, top],
        [intercept, intercept + slope * top],
        color=ORANGE,
        linewidth=1.4,
        linestyle=(0, (5, 3)),
        label=f"least squares, slope {slope:.2f}",
    )


def error_words(errors: dict[str, Any]) -> str:
    """Return the main errors on one line."""
    r2 = "undefined" if errors["r2"] is None else f"{errors['r2']:.2f}"
    return (
        f"MAE {errors['mae_m']:.2f} m · RMSE {errors['rmse_m']:.2f} m · "
        f"bias {signed(errors['bias_m'])} m (map minus reference) · R² {r2}"
    )


def size_words(comparison: dict[str, Any]) -> str:
    """Return how much was compared."""
    count = f"{comparison['count']:,}".replace(",", " ")
    area = comparison["area_ha"]
    ground = f", {area:.3g} ha" if area is not None and area < 1000 else ""  # noqa: PLR2004
    if area is not None and not ground:
        ground = f", {area / 100:,.0f} km²"
    sites = len(comparison["sites"])
    kind = POINT_KINDS[comparison["kind"]]
    return f"{count} {kind}{ground}, {sites} site{'s' * (sites > 1)}"


def colour_bar(
    figure: Figure,
    mappable: ScalarMappable | Collection | AxesImage,
    box: tuple[float, float, float, float],
    label: str,
    *,
    extend: str = "neither",
    ticks: Sequence[float] | None = None,
) -> None:
    """Draw an upright colour bar with its label."""
    bar = figure.colorbar(mappable, cax=figure.add_axes(box), extend=extend, extendfrac=0.03)
    bar.set_label(label, size=10.5, color=INK, labelpad=6)
    written = bar.ax.yaxis.label
    room = (box[3] * figure.get_figheight() + LABEL_BEYOND_IN) * figure.dpi
    written.set_fontsize(10.5 * min(1.0, room / written.get_window_extent().height))
    bar.ax.tick_params(labelsize=9.5, color=FRAME, labelcolor=INK, length=3)
    if ticks is not None:
        bar.set_ticks(list(ticks))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    bar.outline.set(edgecolor=FRAME, linewidth=0.8)


# --- residuals on the ground ----------------------------------------------------


def residual_map(section: Section, comparison: dict[str, Any], map_name: str) -> Figure:
    """Draw map minus reference where it was compared, a panel a site."""
    panels: Sequence[Any] = section.points or list(section.residuals.items())
    shown = len(panels)
    columns = min(shown, 4 if shown > 6 else 3)  # noqa: PLR2004 - what fits a page
    rows = math.ceil(shown / columns)
    wide = 2.45 if shown > 1 else 5.6
    sides = {entry["site"]: entry.get("pixel_m", [1.0, 1.0]) for entry in comparison["sites"]}
    tall = wide
    if shown == 1 and not section.points:
        tall *= panel_shape(panels[0][1].shape, sides[panels[0][0]])
    width, height = max(6.2, columns * (wide + 0.2) + 1.5), rows * (tall + 0.45) + 1.0
    few = "" if shown == len(comparison["sites"]) else f" · the {shown} largest sites"
    figure = new_figure(
        width, height, "Map minus reference", f"{map_name} · {size_words(comparison)}{few}"
    )
    limit = residual_limit(section)
    norm = Normalize(-limit, limit)
    biases = {entry["site"]: entry["errors"]["bias_m"] for entry in comparison["sites"]}
    for number, panel in enumerate(panels):
        left = 0.3 + (number % columns) * (wide + 0.2)
        bottom = height - 0.95 - (number // columns) * (tall + 0.45) - tall
        axes = figure.add_axes((left / width, bottom / height, wide / width, tall / height))
        if section.points:
            name = panel.site
            draw_points(axes, panel, norm)
        else:
            name, residuals = panel
            across, down = (side * residuals.factor for side in sides[name])
            draw_residuals(axes, residuals.picture, (across, down), norm)
        title = axes.set_title("", size=9.5, color=INK, pad=4, loc="left")
        shortened(title, drawable(f"{name}: bias {signed(biases[name])} m"), wide * DPI)
    colours = ScalarMappable(norm, DIVERGING)
    left = (width - 0.95) / width
    length = min(height - 1.6, 4.2) / height
    colour_bar(
        figure,
        colours,
        (left, (height - 0.95) / height - length, 0.17 / width, length),
        "too low  ←  map minus reference (m)  →  too tall",
        extend="both",
        ticks=[-limit, -limit / 2, 0.0, limit / 2, limit],
    )
    return figure


def panel_shape(shape: tuple[int, int], pixel_m: Sequence[float]) -> float:
    """Return height over width of a picture's ground, no further from a square than fits a page."""
    return min(1.2, max(0.55, shape[0] * pixel_m[1] / (shape[1] * pixel_m[0])))


def residual_limit(section: Section) -> float:
    """Return the difference of the last colours [m], a round number."""
    parts = [entry.residuals for entry in section.points] or [
        residuals.picture.ravel() for residuals in section.residuals.values()
    ]
    found = np.abs(np.concatenate(parts))
    found = found[np.isfinite(found)]
    reached = float(np.percentile(found, RESIDUAL_SHARE)) if found.size else 0.0
    return next((step for step in (1.0, 2.0, 5.0, 10.0, 15.0, 20.0) if reached <= step), 30.0)


def draw_residuals(
    axes: Axes, picture: Array, pixel_m: tuple[float, float], norm: Normalize
) -> None:
    """Draw residuals (y, x) [m] with a scale bar; what was not compared is grey."""
    rows, columns = picture.shape
    ground = columns * pixel_m[0], rows * pixel_m[1]
    axes.imshow(
        np.ma.masked_invalid(picture),
        cmap=DIVERGING,
        norm=norm,
        extent=(0, ground[0], 0, ground[1]),
        interpolation="nearest",
    )
    axes.set_facecolor(NO_DATA)
    axes.set(xticks=[], yticks=[], aspect="equal", anchor="NW")
    plain(axes)
    draw_scale(axes, ground[0])


def draw_scale(axes: Axes, width_m: float) -> None:
    """Draw a scale bar on the lower edge of axes, and say how wide they are [m]."""
    length = nice_length(width_m * 0.4)
    axes.set_xlabel(f"width {length_label(float(f'{width_m:.3g}'))}", size=8.5, color=FAINT)
    axes.xaxis.set_label_coords(1.0, -0.02)
    axes.xaxis.label.set_horizontalalignment("right")
    ends = [0, length / width_m]
    bar = axes.plot(ends, [0, 0], color=INK, linewidth=2.6, clip_on=False, transform=axes.transAxes)
    bar[0].set_solid_capstyle("butt")
    axes.annotate(
        length_label(length),
        (0, 0),
        xycoords="axes fraction",
        xytext=(0, -4),
        textcoords="offset points",
        size=8.5,
        color=INK,
        va="top",
        annotation_clip=False,
    )


def draw_points(axes: Axes, points: PointResiduals, norm: Normalize) -> None:
    """Draw residuals [m] at points with a scale bar, those that differ most on top."""
    order = np.argsort(np.abs(points.residuals))[-MOST_POINTS:]
    axes.scatter(
        points.x[order],
        points.y[order],
        c=points.residuals[order],
        cmap=DIVERGING,
        norm=norm,
        s=16 if len(order) < 1000 else 5,  # noqa: PLR2004 - many points are drawn small
        edgecolors=FRAME,
        linewidths=0.3,
    )
    axes.set_facecolor("#f4f5f6")
    plain(axes)
    # A square of ground about them, as wide as the panel, so that the bar is true to it.
    side = max(LEAST_GROUND_M, 1.08 * float(np.ptp(points.x)), 1.08 * float(np.ptp(points.y)))
    (left, right), (low, high) = (
        (middle - side / 2, middle + side / 2)
        for middle in (float(points.x.max()) / 2, float(points.y.max()) / 2)
    )
    axes.set(xticks=[], yticks=[], xlim=(left, right), ylim=(low, high), aspect="equal")
    draw_scale(axes, side)


# --- errors by class --------------------------------------------------------------


def class_bars(comparison: dict[str, Any], map_name: str) -> Figure:
    """Draw MAE and bias by class of reference height, and how much lies in each."""
    classes = comparison["height_classes"]
    figure = new_figure(
        8.0, 6.0, "Error by height of the reference", f"{map_name} · {size_words(comparison)}"
    )
    places = np.arange(float(len(classes)))
    upper = figure.add_axes((0.1, 0.39, 0.87, 0.42))
    lower = figure.add_axes((0.1, 0.11, 0.87, 0.2))
    mae, bias = (
        np.array([np.nan if entry[key] is None else entry[key] for entry in classes], np.float64)
        for key in ("mae_m", "bias_m")
    )
    upper.axhline(0, color=INK, linewidth=0.9, zorder=3)
    upper.bar(places - 0.2, mae, 0.36, color=BLUE, label="MAE", zorder=2)
    upper.bar(places + 0.2, bias, 0.36, color=ORANGE, label="bias (map minus reference)", zorder=2)
    label_bars(upper, places - 0.2, mae, "{:.1f}")
    label_bars(upper, places + 0.2, bias, "{:+.1f}")
    for place, entry in zip(places.tolist(), classes, strict=True):
        if entry["count"] == 0:
            upper.text(place, 0, "none", size=9, color=FAINT, ha="center", va="bottom")
    upper.set_ylabel("Error (m)", size=11, color=INK)
    upper.margins(y=0.16)
    upper.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, fontsize=9.5, frameon=False, borderpad=0
    )
    upper.xaxis.set_major_locator(FixedLocator(places.tolist()))
    upper.tick_params(labelbottom=False)
    share = np.array([100 * entry["share"] for entry in classes])
    lower.bar(places, share, 0.7, color=FRAME, zorder=2)
    label_bars(lower, places, share, "{:.1f}")
    lower.margins(y=0.24)
    lower.set_ylabel(f"Share of\n{POINT_KINDS[comparison['kind']]} (%)", size=11, color=INK)
    lower.set_xticks(
        places, [class_label(entry).replace(" m and above", " m +") for entry in classes]
    )
    lower.set_xlabel("Reference height", size=11, color=INK)
    for axes in (upper, lower):
        axes.set_xlim(-0.6, len(classes) - 0.4)
        axes.yaxis.grid(visible=True, color="#e3e5e8", linewidth=0.8, zorder=0)
        axes.set_axisbelow(True)
        plain(axes)
    return figure


def label_bars(axes: Axes, places: Array, values: Array, words: str) -> None:
    """Write values beyond the ends of their bars."""
    for place, value in zip(places.tolist(), values.tolist(), strict=True):
        if math.isfinite(value):
            axes.annotate(
                words.format(value),
                (place, value),
                xytext=(0, 3 if value >= 0 else -3),
                textcoords="offset points",
                ha="center",
                va="bottom" if value >= 0 else "top",
                size=8.5,
                color=INK,
            )
