"""The curves of a run: what the loss did, and how good the network was on what was kept aside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from geo.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

CURVES_FILE = "curves.png"


SIDES = {"loss": "training: weighted terms of the loss", "validation": "validation"}
"""What a record of the log may hold, and the title over its curves."""


def draw_curves(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the log of a run: terms of the loss, and beside them validation where there was any."""
    kinds = [kind for kind in SIDES if any(kind in record for record in records)]
    figure = Figure(figsize=(5 * max(1, len(kinds)), 4), layout="constrained")
    sides = figure.subplots(1, max(1, len(kinds)), squeeze=False)[0]
    for axes, kind in zip(sides, kinds, strict=False):
        draw(axes, [(record["step"], record[kind]) for record in records if kind in record])
        axes.set(xlabel="step", title=SIDES[kind])
    FigureCanvasAgg(figure)
    with whole_file(path) as part:
        figure.savefig(part, format="png", dpi=120)


def draw(axes: Axes, points: Sequence[tuple[int, dict[str, float | None]]]) -> None:
    """Draw one line for each name; those in metres on the left, where there are any, on their own.

    Args:
        axes: where.
        points: steps and values by name; a name that ends in _m is in metres.
    """
    names = list(dict.fromkeys(name for _, values in points for name in values))
    metric = any(name.endswith("_m") for name in names)
    others = axes.twinx() if metric and not all(name.endswith("_m") for name in names) else axes
    lines = []
    for number, name in enumerate(names):
        known = [(step, values[name]) for step, values in points if values.get(name) is not None]
        if known:
            side = axes if name.endswith("_m") else others
            marker, style = "o" if len(known) == 1 else None, "-" if side is axes else "--"
            steps, values = zip(*known, strict=True)
            lines += side.plot(
                steps, values, style, label=name, marker=marker, color=f"C{number % 10}"
            )
    if lines:
        axes.legend(handles=lines, frameon=False)
    if metric:
        axes.set_ylabel("m")
    if others is not axes:
        others.set_ylabel(", ".join(name for name in names if not name.endswith("_m")))
        others.spines["top"].set_visible(False)
    axes.spines[["top", "right"]].set_visible(False)
