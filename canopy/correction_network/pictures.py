"""The picture of a factor field that a network asks for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm

from canopy.correction.pictures import factor_limit, panel_size, save
from canopy.evaluation.pictures import DIVERGING, colour_bar, draw_scale, new_figure, plain
from geo.ground import ground_pixel_m

if TYPE_CHECKING:
    from pathlib import Path

    from canopy.correction_network.seeing import Seen


def draw_factors(seen: Seen, heights: str, path: Path) -> None:
    """Draw the factor field over a map of a name."""
    grid, factors = seen.field.grid, seen.field.factors
    across, down = ground_pixel_m(grid)
    ground = grid.width * across, grid.height * down
    wide, tall = panel_size(ground)
    card = seen.model.card
    figure = new_figure(
        max(6.4, wide + 1.7),
        tall + 1.2,
        "Factors on canopy heights",
        f"{heights} · {card.title} · "
        + (f"{seen.windows} predictions" if seen.applied else "unchanged"),
    )
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0.3 / width, 0.4 / height, wide / width, tall / height))
    top = factor_limit(factors)
    norm = LogNorm(1 / top, top)
    axes.imshow(
        factors, cmap=DIVERGING, norm=norm, extent=(0, ground[0], ground[1], 0),
        interpolation="nearest",
    )  # fmt: skip
    axes.set(xticks=[], yticks=[], aspect="equal")
    plain(axes)
    draw_scale(axes, ground[0])
    bar_height = min(tall, 4.0) / height
    middle = math.sqrt(top)
    colour_bar(
        figure,
        ScalarMappable(norm, DIVERGING),
        ((wide + 0.5) / width, (0.4 + tall) / height - bar_height, 0.17 / width, bar_height),
        "factor",
        ticks=[round(value, 2) for value in (1 / top, 1 / middle, 1.0, middle, top)],
    )
    save(figure, path)
