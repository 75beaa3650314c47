"""Heights of some tiles of a strip, and how many of them go at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from canopy.errors import RunError
from canopy.mapping.strips import cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from canopy.height_models.forward import Forward
    from canopy.height_models.height_model import HeightModel
    from canopy.mapping.strips import Strip, TilesToPredict
    from geo.raster import Pixels
    from geo.tiles import Heights


def predict_tiles(
    plan: TilesToPredict, model: HeightModel, strip: Strip, columns: list[int]
) -> Heights:
    """Return the heights of some tiles of a strip (tiles, rows, columns) [m].

    Where the plan asks for the scale of errors, a tile has both as layers (rows, columns, 2): what
    is sewn is what a calibration compared, and an interval follows from it afterwards.

    Raises:
        RunError: they are no numbers.
    """
    down = plan.tiles.rows[strip.index]
    tiles = [cut(strip.pixels, down, plan.tiles.columns[column]) for column in columns]
    heights = layers_of(plan, model, np.stack(tiles))
    if not np.isfinite(heights).all():
        msg = (
            f"{model.card.name} predicts heights that are no numbers: its weights are broken "
            "or its input is, see canopy models verify"
        )
        raise RunError(msg)
    return heights


def layers_of(plan: TilesToPredict, model: HeightModel, tiles: Pixels) -> Heights:
    """Return heights (tiles, rows, columns), or heights and scale (tiles, rows, columns, 2) [m].

    A tile alone is added up otherwise than among others, which the last bit shows and a height
    rounded from it may: it goes in twice, unless all tiles of the plan go alone.
    """
    if len(tiles) == 1 and plan.batch != 1:
        return layers_of(plan, model, np.concatenate([tiles, tiles]))[:1]
    if plan.scaled:
        return np.stack(model.predict_with_scale(tiles), axis=-1)
    return model.predict(tiles)


def forward_of(plan: TilesToPredict, model: HeightModel) -> Forward:
    """Return what runs the network for a plan."""
    if plan.scaled and model.scale == "bins":
        return model.forward_with_spread
    return model.forward


def longest_side(plan: TilesToPredict) -> int:
    """Return the longest side of a plan's tiles [px]."""
    return max(span.stop - span.start for span in (plan.tiles.rows[0], plan.tiles.columns[0]))


def batches(columns: list[int], most: int) -> Iterator[list[int]]:
    """Yield the columns of a strip, at most some at once.

    Batches never reach into the next strip, so that a resumed run predicts the same ones. They are
    as equal as can be: a lone last tile costs more than its share.
    """
    count = -(-len(columns) // most)
    for index in range(count):
        yield columns[index * len(columns) // count : (index + 1) * len(columns) // count]
