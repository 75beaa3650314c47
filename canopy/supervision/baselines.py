"""What a network must beat: the mean height, and regressions on local colour and texture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from canopy.supervision.pairs import HeightPair

SCALES_PX = (1.0, 2.5, 6.0)
"""Spreads of the windows over which texture is described, in pixels of the imagery."""

BASELINES: dict[str, Callable[[int], Any]] = {
    "training mean": lambda _seed: DummyRegressor(),
    "ridge": lambda _seed: make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-2, 4, 13))),
    "gradient boosting": lambda seed: HistGradientBoostingRegressor(
        max_iter=200,
        learning_rate=0.06,
        max_leaf_nodes=31,
        l2_regularization=1.0,
        random_state=seed,
    ),
}
"""The baselines by name; each is made from a seed."""


def colour_and_texture(pair: HeightPair) -> NDArray[np.float32]:
    """Features of each pixel of the heights' grid (v, u, features).

    Colour of the pixel and of its neighbourhood, excess green, brightness, and the spread and the
    gradient of brightness at several scales, computed on the imagery and averaged to the grid of
    the heights.
    """
    red, green, blue = pair.image / 255
    grey = (red + green + blue) / 3
    shares = [band / (3 * grey + 1e-3) for band in (red, green, blue)]
    layers = [red, green, blue, *shares, 2 * green - red - blue, grey]
    for scale in SCALES_PX:
        smooth = [
            ndimage.gaussian_filter(band, scale, mode="reflect") for band in (red, green, blue)
        ]
        local = ndimage.gaussian_filter(grey, scale, mode="reflect")
        square = ndimage.gaussian_filter(np.square(grey), scale, mode="reflect")
        spread = np.sqrt(np.maximum(square - np.square(local), 0))
        slope = ndimage.gaussian_gradient_magnitude(grey, scale, mode="reflect")
        layers += [*smooth, spread, slope, grey - local]
    return np.moveaxis(pair.on_height_grid(np.stack(layers)), 0, -1)


def fit_baseline(name: str, pairs: Sequence[HeightPair], *, seed: int) -> Any:  # noqa: ANN401 - scikit-learn is untyped
    """Fit a baseline on all pixels of the plots that have lidar."""
    features = np.concatenate([colour_and_texture(pair)[pair.heights_valid] for pair in pairs])
    heights = np.concatenate([pair.heights[pair.heights_valid] for pair in pairs])
    return BASELINES[name](seed).fit(features, heights)


def predict_baseline(model: Any, pair: HeightPair) -> NDArray[np.float32]:  # noqa: ANN401 - scikit-learn is untyped
    """Heights [m] of a plot on the heights' grid (v, u), not below 0."""
    features = colour_and_texture(pair)
    heights = model.predict(features.reshape(-1, features.shape[-1])).reshape(pair.heights.shape)
    positive: NDArray[np.float32] = np.maximum(heights, 0).astype(np.float32)
    return positive
