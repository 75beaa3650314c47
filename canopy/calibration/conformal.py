"""From errors on plots to the intervals of a model: split conformal prediction.

An error is measured in scales of its pixel (normalised residuals: Papadopoulos et al. 2002; Lei et
al. 2018), each tail on its own side, so that heights that are too low in the mean get an interval
that reaches further up. Classes of predicted height have quantiles of their own (Mondrian: Vovk,
Gammerman and Shafer 2005).

Pixels of a plot are no independent draws, plots nearly are. A plot therefore weighs as one draw,
whatever its pixels, and the correction for few draws counts plots: the hierarchical conformal
prediction of Lee, Barber and Willett (2023), see also Dunn, Wasserman and Ramdas (2022). With K
plots the quantile at t is that of their pixels, weighing 1 / ((K + 1) n_k) in a plot of n_k, and of
one plot more whose errors are infinite. If plots are exchangeable, a pixel of a new one exceeds it
with a probability of at most 1 - t, and of hardly less when K is large.

Within a class a pixel keeps this weight, so that classes add up to the whole. K becomes the number
of plots that the class is worth, (sum w)^2 / sum w^2 with w the share of each plot in the class
(Kish 1965). That is exact where plots lie wholly inside or outside of a class, and where all have
the same share of it; in between it is an approximation. With one class nothing is approximated.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from canopy.errors import SettingsError
from canopy.height_errors import CLASS_EDGES_M
from canopy.intervals import LEVELS, CalibratedClass, Calibration
from canopy.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from canopy.intervals import Predictions, Scale
    from geo.spatial_split import PlotBox

    Array = NDArray[np.float64]
    Heights = NDArray[np.float32]

ENOUGH_PLOTS = 60.0
"""Plots that a class must be worth to stay apart. The correction for few plots makes intervals of
90 % hold up to 3 % too much with so many, and more with fewer."""

CLASSES = len(CLASS_EDGES_M) - 1

LEAST_PLOTS = 3
"""Fewer do not support the lowest level."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PlotSample:
    """Pixels of one plot, or block of ground, where a height is predicted and known.

    Attributes:
        plot: its name.
        site: where it lies.
        image: name of the image it lies on.
        box: its ground.
        heights: predicted heights [m] (n,).
        scale: of their errors [m] (n,), see :func:`canopy.intervals.scale_of`.
        true: heights from lidar [m] (n,).
    """

    plot: str
    site: str
    image: str
    box: PlotBox
    heights: Heights
    scale: Heights
    true: Heights


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What a calibration says of the model and the data, see :class:`Calibration`."""

    model: str
    weights_sha256: str
    gsd_m: float
    radiometry: str
    scale: Scale
    data: str
    predictions: Predictions


def plots_for(level: float) -> int:
    """Return how many plots a level takes: K support (K - 1) / (K + 1)."""
    return math.ceil((1 + level) / (1 - level) - 1e-9)


def calibrate(samples: Sequence[PlotSample], facts: ModelFacts) -> Calibration:
    """Calibrate the intervals of a model on plots that it has not learned from.

    Args:
        samples: the plots, in any order.
        facts: what is said of the model and of them.

    Raises:
        SettingsError: there are too few plots for any level.
    """
    if len(samples) < LEAST_PLOTS:
        msg = (
            f"found {len(samples)} plots with imagery and lidar: expected {LEAST_PLOTS} at least, "
            "and 19 for a level of 0.9; give more pairs, or smaller blocks of ground (--block)"
        )
        raise SettingsError(msg)
    edges = merged_edges(class_shares(samples))
    return Calibration(
        **asdict(facts),
        plots=len(samples),
        pixels=sum(len(sample.heights) for sample in samples),
        classes=calibrated_classes(samples, edges),
        software=f"canopy-height {__version__}",
    )


def class_shares(samples: Sequence[PlotSample]) -> Array:
    """Return the share of each plot in each class of predicted height (plots, classes)."""
    counts = [
        np.bincount(np.digitize(sample.heights, CLASS_EDGES_M[1:-1]), minlength=CLASSES)
        for sample in samples
    ]
    return np.array([found / found.sum() for found in counts])


def worth(shares: Array) -> float:
    """Return how many plots shares (plots,) are worth (Kish 1965); whatever their order."""
    squares = math.fsum(share * share for share in shares.tolist())
    return math.fsum(shares.tolist()) ** 2 / squares if squares else 0.0


def merged_edges(shares: Array) -> tuple[float, ...]:
    """Return the edges of classes [m] of which each is worth enough plots, or of a single one.

    The class worth least is merged with the neighbour that is worth less, until all are worth
    enough.

    Args:
        shares: of plots in classes (plots, classes).
    """
    columns = list(shares.T)
    edges = list(CLASS_EDGES_M)
    while len(columns) > 1:
        found = [worth(column) for column in columns]
        weakest = int(np.argmin(found))
        if found[weakest] >= ENOUGH_PLOTS:
            break
        beside = [index for index in (weakest - 1, weakest + 1) if 0 <= index < len(found)]
        first = min(weakest, min(beside, key=lambda index: found[index]))
        columns[first : first + 2] = [columns[first] + columns[first + 1]]
        del edges[first + 1]
    return tuple(edges)


def calibrated_classes(
    samples: Sequence[PlotSample], edges: Sequence[float]
) -> tuple[CalibratedClass, ...]:
    """Return the calibration of each class between edges [m]."""
    heights = np.concatenate([sample.heights for sample in samples]).astype(np.float64)
    true = np.concatenate([sample.true for sample in samples]).astype(np.float64)
    scale = np.concatenate([sample.scale for sample in samples]).astype(np.float64)
    sizes = [len(sample.heights) for sample in samples]
    plots = np.repeat(np.arange(len(samples)), sizes)
    weights = np.repeat([1 / size for size in sizes], sizes)
    scores = (true - heights) / scale
    found = []
    for start, end in pairwise(edges):
        inside = heights < end if start == 0 else (heights >= start) & (heights < end)
        shares = np.bincount(plots[inside], minlength=len(samples)) / sizes
        effective = worth(shares)
        found.append(
            CalibratedClass(
                from_m=start,
                to_m=None if math.isinf(end) else end,
                plots=int((shares > 0).sum()),
                effective_plots=round(effective, 6),
                pixels=int(inside.sum()),
                below=factors(-scores[inside], weights[inside], effective),
                above=factors(scores[inside], weights[inside], effective),
            )
        )
    return tuple(found)


def factors(scores: Array, weights: Array, plots: float) -> tuple[float | None, ...]:
    """Return how many scales one end lies from the height, for each of LEVELS.

    Each end is exceeded by half of what a level leaves out. An end never lies on the other side
    of the height, which makes intervals wider than need be where heights lean to one side.

    Args:
        scores: how far the true height lies beyond the predicted one, in scales (n,).
        weights: of the pixels (n,).
        plots: how many plots they are worth.

    Returns:
        Factors of 0 or more; None for levels that so few plots do not support.
    """
    order = np.lexsort((weights, scores))
    reached = np.cumsum(weights[order])
    ascending: list[float | None] = []
    for level in LEVELS:
        share = (1 + level) / 2 * (plots + 1) / plots if plots else math.inf
        if share > 1 + 1e-9:
            ascending.append(None)
            continue
        index = int(np.searchsorted(reached, share * reached[-1] * (1 - 1e-12)))
        score = scores[order[min(index, len(order) - 1)]]
        ascending.append(math.ceil(max(0.0, float(score)) * 1e5) / 1e5)  # never a little less
    return tuple(ascending)
