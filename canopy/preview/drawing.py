"""The drawing itself: the imagery, the map, a colour bar, a scale bar and a few words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from canopy.preview.layout import Box, Layout, lay_out
from canopy.preview.words import drawable, height_ticks, length_label, nice_length, shortened
from geo.height_maps.style import HEIGHT_RAMP, display_maximum
from geo.whole_file import whole_file

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

DPI = 100
INK, FAINT, FRAME = "#1c1c1c", "#5f6368", "#8a8f94"
NO_DATA, NO_DATA_LINES = "#e9eaec", "#c3c7cb"
COLOURS_UP_TO = 98  # percentile of the heights that the ramp reaches
RAMP = LinearSegmentedColormap.from_list(
    "canopy height",
    [
        (fraction, (red / 255, green / 255, blue / 255))
        for fraction, (red, green, blue) in HEIGHT_RAMP
    ],
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a preview shows. Image and heights cover the same ground, in any two resolutions.

    Attributes:
        image: (rows, columns, 3) uint8, red, green, blue.
        image_valid: (rows, columns) bool, True = valid.
        heights_m: (rows, columns) canopy heights [m], NaN where there is none.
        pixel_m: side of a pixel of `heights_m` on the ground [m], or its width and its height.
        north_up: whether north is at the top, so that an arrow may say so.
        title: one line over the picture.
        model: name and version of the model.
        source: the imagery, as a path or URL.
        maximum_m: height of the last colour [m], as in the style beside the map; None takes it
            from the 98th percentile of `heights_m`.
    """

    image: npt.NDArray[np.uint8]
    image_valid: npt.NDArray[np.bool_]
    heights_m: npt.NDArray[np.floating]
    pixel_m: float | tuple[float, float]
    north_up: bool
    title: str
    model: str
    source: str
    maximum_m: float | None = None

    @property
    def ground_m(self) -> tuple[float, float]:
        """Width and height of the ground that is pictured [m]."""
        across, down = np.broadcast_to(self.pixel_m, 2).tolist()
        rows, columns = self.heights_m.shape
        return columns * across, rows * down

    @property
    def top_m(self) -> float:
        """Height of the last colour [m]."""
        if self.maximum_m is not None:
            return self.maximum_m
        found = self.heights_m[np.isfinite(self.heights_m)]
        return display_maximum(float(np.percentile(found, COLOURS_UP_TO)) if found.size else 0.0)


def write_preview(path: str | Path, picture: Picture) -> Path:
    """Draw a preview as a PNG of at most 1600 x 900 pixels.

    The two panels stand side by side or, for a wide scene, one over the other; the shape of the
    ground is kept. Give it overviews: what is much larger than a panel takes time for nothing.

    Args:
        path: The PNG; replaced when it exists.
        picture: What to show.

    Returns:
        `path`.

    Raises:
        MapFileError: The file cannot be written.
    """
    layout = lay_out(picture.ground_m)
    figure = Figure(figsize=(layout.width / DPI, layout.height / DPI), dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    _draw_image(_panel(figure, layout, layout.image, "Imagery"), picture)
    _draw_heights(_panel(figure, layout, layout.map, "Canopy height"), picture)
    _draw_colour_bar(figure, layout, picture)
    _draw_ground_signs(figure, layout, picture)
    _draw_words(figure, layout, picture)
    with whole_file(path) as part, part.open("wb") as file:
        canvas.print_figure(file, format="png", metadata={"Title": picture.title})
    return Path(path)


def _axes(figure: Figure, layout: Layout, box: Box) -> Axes:
    """Return bare axes over a box, with pixels of the page as the unit of nothing but the box."""
    axes = figure.add_axes(layout.fractions(box))
    axes.set_axis_off()
    return axes


def _panel(figure: Figure, layout: Layout, box: Box, heading: str) -> Axes:
    """Return framed axes for a picture of the ground, hatched where nothing covers them."""
    axes = figure.add_axes(layout.fractions(box))
    axes.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(edgecolor=FRAME, linewidth=0.8)
    axes.add_patch(_hatched((0, 0), 1, 1, axes))
    left, top = layout.point(box.left, box.top - 10)
    figure.text(left, top, heading, size=12, weight="bold", color=INK, va="bottom")
    return axes


def _hatched(corner: tuple[float, float], width: float, height: float, axes: Axes) -> Rectangle:
    """Return the sign of missing data: light grey with thin diagonals."""
    return Rectangle(
        corner,
        width,
        height,
        transform=axes.transData,
        facecolor=NO_DATA,
        edgecolor=NO_DATA_LINES,
        hatch="////",
        linewidth=0,
        zorder=0,
    )


def _draw_image(axes: Axes, picture: Picture) -> None:
    """Draw the imagery, see-through where it is not valid."""
    opaque = np.where(picture.image_valid, 255, 0).astype(np.uint8)
    _fill(axes, np.dstack([picture.image, opaque]))


def _draw_heights(axes: Axes, picture: Picture) -> None:
    """Draw the heights in the colours of the ramp, see-through where there is none."""
    colours = RAMP(np.ma.masked_invalid(picture.heights_m / picture.top_m), bytes=True)
    colours[~np.isfinite(picture.heights_m)] = 0
    _fill(axes, colours)


def _fill(axes: Axes, rgba: npt.NDArray[np.uint8]) -> None:
    """Stretch colours (rows, columns, 4) over axes; enlarged pixels stay sharp squares."""
    axes.imshow(
        rgba,
        extent=(0, 1, 1, 0),
        aspect="auto",
        interpolation="antialiased",
        interpolation_stage="rgba",
        zorder=1,
    )


def _draw_colour_bar(figure: Figure, layout: Layout, picture: Picture) -> None:
    """Draw the one scale of colours, with an arrow where taller trees share the last colour."""
    top = picture.top_m
    heights = picture.heights_m
    beyond = bool((heights[np.isfinite(heights)] > top).any())
    axes = figure.add_axes(layout.fractions(layout.colour_bar))
    upright = layout.side_by_side
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, top), RAMP),
        cax=axes,
        orientation="vertical" if upright else "horizontal",
        extend="max" if beyond else "neither",
        extendfrac=0.04 if upright else 0.02,
        ticks=height_ticks(top),
    )
    bar.set_label("Height above ground (m)", size=11, color=INK, labelpad=8 if upright else 4)
    bar.ax.tick_params(labelsize=10.5, color=FRAME, labelcolor=INK, length=3)
    bar.ax.set_facecolor("none")
    bar.outline.set(edgecolor=FRAME, linewidth=0.8)


def _draw_ground_signs(figure: Figure, layout: Layout, picture: Picture) -> None:
    """Draw the scale bar, the arrow to the north where that is up, and the sign of missing data."""
    axes = _axes(figure, layout, layout.signs)
    axes.set(xlim=(0, layout.signs.width), ylim=(layout.signs.height, 0))
    across_m = picture.ground_m[0]
    length_m = nice_length(across_m * min(1.0, layout.scale_bar_px / layout.map.width))
    length_px = length_m / across_m * layout.map.width
    _draw_scale_bar(axes, length_px, length_label(length_m))
    # Half of the label reaches beyond the bar: let the next sign start clear of it.
    x = length_px + 60
    if picture.north_up:
        _draw_north_arrow(axes, x)
        x += 34
    if not (np.isfinite(picture.heights_m).all() and picture.image_valid.all()):
        axes.add_patch(_hatched((x, 8), 26, 14, axes))
        axes.text(x + 34, 15, "no data", size=10.5, color=INK, va="center")


def _draw_scale_bar(axes: Axes, length_px: float, label: str) -> None:
    """Draw a bar of two halves with its length under it; axes in pixels of the page."""
    half = length_px / 2
    for start, colour in ((0.0, INK), (half, "white")):
        piece = Rectangle((start, 8), half, 6, facecolor=colour, edgecolor=INK, linewidth=0.9)
        axes.add_patch(piece)
    axes.text(0, 20, "0", size=10.5, color=INK, va="top", ha="center", clip_on=False)
    axes.text(length_px, 20, label, size=10.5, color=INK, va="top", ha="center")


def _draw_north_arrow(axes: Axes, x: float) -> None:
    """Draw an arrow head with an N under it."""
    axes.fill([x, x + 7, x, x - 7], [2, 20, 15.5, 20], color=INK, linewidth=0)
    axes.text(x, 22, "N", size=10.5, weight="bold", color=INK, va="top", ha="center")


def _draw_words(figure: Figure, layout: Layout, picture: Picture) -> None:
    """Write the title over the panels and what made the map under them."""
    left, top = layout.point(layout.margin, 22)
    room = layout.width - 2 * layout.margin
    title = figure.text(left, top, "", size=17, weight="bold", color=INK, va="top")
    shortened(title, drawable(picture.title), room)
    left, bottom = layout.point(layout.margin, layout.height - 18)
    caption = figure.text(left, bottom, "", size=10.5, color=FAINT, va="bottom")
    made = f"Model: {picture.model}  ·  heights in metres  ·  Source: {picture.source}"
    shortened(caption, drawable(made), room)
