"""Statistics of a stored height map, exact to its own rounding, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geo.height_maps.map_facts import HeightSummary

if TYPE_CHECKING:
    from collections.abc import Iterable

    from geo.height_maps.encoding import Encoding
    from geo.raster import Pixels

PERCENTILES = (5, 50, 95, 98)

NAN = float("nan")


def summarise_heights(strips: Iterable[Pixels], encoding: Encoding) -> HeightSummary:
    """Count stored values and read the statistics off the counts.

    Args:
        strips: stored values of a map, in any number of parts.
        encoding: how heights are stored; its step is the width of a count.
    """
    counts, pixels = count_levels(strips, encoding)
    levels = np.arange(len(counts)) * encoding.scale * encoding.step
    total = int(counts.sum())
    if not total:
        nothing = dict.fromkeys(PERCENTILES, NAN)
        return HeightSummary(
            mean_m=NAN,
            stddev_m=NAN,
            minimum_m=NAN,
            maximum_m=NAN,
            valid_percent=0.0,
            percentiles_m=nothing,
        )
    mean = float((counts * levels).sum() / total)
    reached = levels[np.flatnonzero(counts)]
    return HeightSummary(
        mean_m=mean,
        stddev_m=float(np.sqrt((counts * (levels - mean) ** 2).sum() / total)),
        minimum_m=float(reached[0]),
        maximum_m=float(reached[-1]),
        valid_percent=100.0 * total / pixels,
        percentiles_m={share: percentile(counts, levels, share) for share in PERCENTILES},
    )


def count_levels(strips: Iterable[Pixels], encoding: Encoding) -> tuple[Pixels, int]:
    """Return how many pixels have each multiple of the encoding's step, and how many there are."""
    counts: Pixels = np.zeros(1, np.int64)
    pixels = 0
    for strip in strips:
        pixels += strip.size
        valid = strip[encoding.has_height(strip)]
        # Stored values are whole multiples of the step, so nothing is rounded here.
        levels = (valid * (1 / encoding.step)).astype(np.intp) if encoding.step != 1 else valid
        counts = added(counts, np.bincount(levels))
    return counts, pixels


def percentile(counts: Pixels, levels: Pixels, share: float) -> float:
    """Return the lowest level that a share [%] of the counted values does not exceed."""
    rank = share / 100 * (counts.sum() - 1)
    return float(levels[np.searchsorted(np.cumsum(counts), rank, side="right")])


def added(counts: Pixels, more: Pixels) -> Pixels:
    """Return the sum of two histograms of different lengths."""
    longer, shorter = (counts, more) if len(counts) >= len(more) else (more, counts)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total
