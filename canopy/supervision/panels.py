"""Example panels of a training run: image, lidar and prediction side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from geo.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from canopy.chips.chip_set import Chips
    from canopy.height_models.height_model import HeightModel

PANELS_FILE = "panels.png"
MOST = 6
"""Chips that are drawn, spread over the split."""


def draw_panels(model: HeightModel, chips: Chips, path: Path) -> None:
    """Draw a few chips that the network did not learn from; unknown heights are left grey."""
    chosen = np.unique(np.linspace(0, len(chips) - 1, min(MOST, len(chips))).round().astype(int))
    figure = Figure(figsize=(8.2, 2.5 * len(chosen)), layout="constrained")
    rows = figure.subplots(len(chosen), 3, squeeze=False)
    for axes, index in zip(rows, chosen, strict=True):
        chip = chips[int(index)]
        image = chip["image"].numpy()
        lidar = np.where(chip["known"].numpy(), chip["heights"].numpy(), np.nan)
        predicted = model.predict(image[None])[0]
        top = max(5.0, float(np.nanmax(np.append(lidar, predicted))))
        axes[0].imshow(image.transpose(1, 2, 0))
        axes[1].set_facecolor("0.8")
        axes[1].imshow(lidar, cmap="YlGn", vmin=0, vmax=top)
        shown = axes[2].imshow(predicted, cmap="YlGn", vmin=0, vmax=top)
        figure.colorbar(shown, ax=list(axes[1:]), label="m", shrink=0.9)
    for axes, title in zip(rows[0], ("image", "lidar", "prediction"), strict=True):
        axes.set_title(title)
    for axes in rows.flat:
        axes.set(xticks=[], yticks=[])
    FigureCanvasAgg(figure)
    with whole_file(path) as part:
        figure.savefig(part, format="png", dpi=110)
