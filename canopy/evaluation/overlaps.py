"""Ground under several reference rasters, which counts once: for the one that is named first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from canopy.evaluation.area_means import pixels_under

if TYPE_CHECKING:
    from collections.abc import Sequence

    from canopy.evaluation.read_pairs import RasterPair

    Edges = tuple[float, float, float, float]


def with_earlier(pairs: Sequence[RasterPair]) -> list[RasterPair]:
    """Return pairs, each with those before it under whose ground its own may lie.

    Args:
        pairs: one map beside each of its references, the first to count first.
    """
    edges = [pixels_under(pair.map.grid, pair.grid) for pair in pairs]
    return [
        replace(
            pair,
            earlier=tuple(
                before
                for before, theirs in zip(pairs[:number], edges, strict=False)
                if not lie_apart(theirs, edges[number])
            ),
        )
        for number, pair in enumerate(pairs)
    ]


def lie_apart(first: Edges, second: Edges) -> bool:
    """Whether two rectangles (first and last row and column: r, c, r, c) share nothing."""
    return (
        first[2] <= second[0]
        or second[2] <= first[0]
        or first[3] <= second[1]
        or second[3] <= first[1]
    )
