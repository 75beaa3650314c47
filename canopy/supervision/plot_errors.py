"""What a model makes of plots, and how far it is off: pooled, on bare ground, on made scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from canopy.height_errors import HeightErrors, block_means, height_errors
from canopy.supervision.zero_height import KINDS, MADE_GSDS_M, bare_ground, make_scene, mirrored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from canopy.height_models.height_model import HeightModel
    from canopy.supervision.pairs import HeightPair

    Predictions = dict[str, NDArray[np.float32]]

MADE_SCENES = 200
MADE_SIDE_PX = 96
MADE_SEED = 7_777_777
"""Made scenes for evaluation come from a seed that no training run uses."""


def predict_plot(model: HeightModel, pair: HeightPair, tile: int) -> NDArray[np.float32]:
    """Return heights [m] of a plot on its lidar grid (v, u).

    Args:
        model: predicts them.
        pair: the plot.
        tile: side to which a smaller plot is mirrored [px].
    """
    rows, columns = pair.image.shape[-2:]
    side = max(tile, rows, columns)
    images = (mirrored(pair.image, side, (0, 0)) / np.float32(255))[None]
    return pair.on_height_grid(model.predict(images)[0, :rows, :columns])


def pooled_errors(
    pairs: Sequence[HeightPair], predictions: Predictions, method: str, block: int
) -> HeightErrors:
    """Return errors over all pixels (block 1) or block means of the plots together.

    Args:
        pairs: the plots.
        predictions: heights [m] (v, u) by ``method/plot``.
        method: what predicted them.
        block: side of the blocks, in pixels of the lidar.
    """
    predicted, true = [], []
    for pair in pairs:
        means, kept = block_means(
            predictions[f"{method}/{pair.plot}"], pair.heights_valid, size=block
        )
        reference, _ = block_means(pair.heights, pair.heights_valid, size=block)
        predicted.append(means[kept])
        true.append(reference[kept])
    return height_errors(np.concatenate(predicted), np.concatenate(true))


def model_errors(
    model: HeightModel, pairs: Sequence[HeightPair], tile: int, block: int
) -> HeightErrors:
    """Return the errors of a model on plots that are mirrored to a tile [px]."""
    predictions = {f"network/{pair.plot}": predict_plot(model, pair, tile) for pair in pairs}
    return pooled_errors(pairs, predictions, "network", block)


def bare_heights(
    pairs: Sequence[HeightPair], predictions: Predictions, method: str
) -> dict[str, float]:
    """Return false heights on the bare ground of held-out plots, where there is any."""
    found = []
    for pair in pairs:
        bare = pair.on_height_grid(bare_ground(pair).astype(np.float32)) > 0.99  # noqa: PLR2004 - whole pixels
        found.append(predictions[f"{method}/{pair.plot}"][bare & pair.heights_valid])
    pixels = sum(part.size for part in found)
    return (false_height_summary(np.concatenate(found)) if pixels else {}) | {"pixels": pixels}


def false_heights(model: HeightModel) -> dict[str, dict[str, float]]:
    """Return heights that a model sees on made scenes without trees, by kind of ground [m].

    Nothing for a model of pixels that no scene can be made of.
    """
    smallest, largest = MADE_GSDS_M
    if not smallest <= model.card.gsd_m <= largest:
        return {}
    rng = np.random.default_rng(MADE_SEED)
    scenes = [make_scene(rng, MADE_SIDE_PX, model.card.gsd_m) for _ in range(MADE_SCENES)]
    images = (np.stack([scene.pixels for scene in scenes]) / 255).astype(np.float32)
    heights = np.concatenate([model.predict(part) for part in np.array_split(images, 10)])
    kinds = np.stack([scene.kinds for scene in scenes])
    return {
        name: false_height_summary(heights[kinds == number])
        for number, name in enumerate(KINDS)
        if (kinds == number).any()
    }


def false_height_summary(heights: NDArray[np.floating]) -> dict[str, float]:
    """Return mean and 95th percentile of false heights [m], and the share above 2 m."""
    return {
        "mean_m": float(heights.mean()),
        "p95_m": float(np.percentile(heights, 95)),
        "share_above_2m": float((heights > 2).mean()),  # noqa: PLR2004 - the usual height of a tree
    }
