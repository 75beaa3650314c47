"""Cutting and sewing: one plan of overlapping tiles, and the mosaic that joins their heights.

The plan depends on the size of the map alone, never on the batch, the device or where a run was
resumed. Sewing is a linear interpolation from one tile to the next across their overlap, first
along the rows, then from strip to strip: where both agree, the mosaic is exactly what they say,
and no buffer of weights is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from geo.errors import GridError

if TYPE_CHECKING:
    from collections.abc import Iterable

    Heights = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Span:
    """A tile's place along one axis of the map [px].

    Attributes:
        start: first pixel it reads.
        stop: one past the last it reads; beyond the map if that is smaller than a tile.
        rise: interval over which it takes over from the tile before; empty for the first.
        fall: interval over which the next tile takes over; empty for the last.
    """

    start: int
    stop: int
    rise: tuple[int, int]
    fall: tuple[int, int]

    @property
    def written(self) -> slice:
        """Pixels of the map to which the tile contributes."""
        return slice(self.rise[0], self.fall[1])

    @property
    def used(self) -> slice:
        """The same pixels, counted from the tile's own first."""
        return slice(self.rise[0] - self.start, self.fall[1] - self.start)


@dataclass(frozen=True, kw_only=True)
class TilePlan:
    """Every tile of a map: the product of spans along its rows and its columns."""

    height: int
    width: int
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self.rows) * len(self.columns)

    @property
    def pixels(self) -> int:
        """Pixels that all tiles read together."""
        down = sum(span.stop - span.start for span in self.rows)
        return down * sum(span.stop - span.start for span in self.columns)


def plan_tiles(height: int, width: int, *, tile: int, overlap: int, multiple: int = 1) -> TilePlan:
    """Plan the tiles that cover a map.

    Args:
        height: rows of the map [px].
        width: columns of the map [px].
        tile: side of a tile [px], a multiple of ``multiple``.
        overlap: least overlap of neighbours [px]; tiles are spread evenly, so the real one is
            often larger.
        multiple: sides that the model takes are multiples of it [px].

    Raises:
        GridError: a tile is no multiple, or the overlap leaves no progress.
    """
    refuse_tile(tile, overlap, multiple)
    return TilePlan(
        height=height,
        width=width,
        rows=plan_axis(height, tile, overlap, multiple),
        columns=plan_axis(width, tile, overlap, multiple),
    )


def refuse_tile(tile: int, overlap: int, multiple: int) -> None:
    """Refuse tiles that a model does not take, or that leave no progress.

    Raises:
        GridError: as said.
    """
    if tile % multiple or tile <= 0:
        msg = f"tile of {tile} px: the model takes multiples of {multiple} px"
        raise GridError(msg)
    if not 0 <= overlap <= tile // 2:
        msg = f"overlap of {overlap} px: expected 0 to {tile // 2}, half a tile of {tile} px"
        raise GridError(msg)


def endless_axis(pixels: range, tile: int, overlap: int) -> tuple[Span, ...]:
    """Return the spans of an endless axis that have a part in some of its pixels, in order.

    Tile ``k`` reads from pixel ``k * (tile - overlap)`` on, whatever the pixels that are asked for:
    two parts of the axis, mapped apart, get the same heights where they meet.

    Args:
        pixels: the pixels wanted, of an axis that has no end on either side.
        tile: side of a tile [px].
        overlap: overlap of neighbours [px], 0 to half a tile.
    """
    stride = tile - overlap
    first, last = (pixels.start - tile) // stride, pixels.stop // stride
    seams = {
        index: seam(index * stride, index * stride + overlap, stride - 1)
        for index in range(first, last + 2)
    }
    return tuple(
        Span(
            start=index * stride,
            stop=index * stride + tile,
            rise=seams[index],
            fall=seams[index + 1],
        )
        for index in range(first, last + 1)
        if seams[index][0] < pixels.stop and seams[index + 1][1] > pixels.start
    )


def moved(spans: tuple[Span, ...], by: int) -> tuple[Span, ...]:
    """Return spans counted from another first pixel."""
    return tuple(
        Span(
            start=span.start + by,
            stop=span.stop + by,
            rise=(span.rise[0] + by, span.rise[1] + by),
            fall=(span.fall[0] + by, span.fall[1] + by),
        )
        for span in spans
    )


def plan_axis(length: int, tile: int, overlap: int, multiple: int) -> tuple[Span, ...]:
    """Return the spans that cover one axis, evenly spread, in order."""
    if length <= tile:
        side = math.ceil(length / multiple) * multiple
        return (Span(start=0, stop=side, rise=(0, 0), fall=(length, length)),)
    count = math.ceil((length - overlap) / (tile - overlap))
    starts = [round(index * (length - tile) / (count - 1)) for index in range(count)]
    neighbours = list(pairwise(starts))
    # With three tiles or more, a seam wider than a stride would reach the next one.
    widest = tile if count == 2 else min(later - earlier for earlier, later in neighbours) - 1  # noqa: PLR2004
    seams = [seam(later, earlier + tile, widest) for earlier, later in neighbours]
    rises, falls = [(0, 0), *seams], [*seams, (length, length)]
    return tuple(
        Span(start=start, stop=start + tile, rise=rise, fall=fall)
        for start, rise, fall in zip(starts, rises, falls, strict=True)
    )


def seam(start: int, stop: int, widest: int) -> tuple[int, int]:
    """Return the middle half of an overlap, no wider than would reach the next seam.

    The outer quarters, where a tile ends and a model sees no neighbours, are never used: a model
    whose receptive field is smaller than half the overlap gives the same map without tiles.
    """
    width = min(stop - start - 2 * ((stop - start) // 4), widest)
    first = start + (stop - start - width) // 2
    return first, first + width


class Mosaic:
    """Joins rows of tiles into finished rows of the map, from top to bottom.

    Attributes:
        carry: rows that the next row of tiles still changes (rows, width) [m]; with it, a run
            can go on where another stopped.
        layers: how many layers each tile has, as its last axis; 0 for heights alone, without one.
    """

    def __init__(self, plan: TilePlan, carry: Heights | None = None, *, layers: int = 0) -> None:
        """Start at the top, or go on with the carry of an earlier run."""
        self.plan = plan
        self.carry = carry
        self.layers = layers

    def add_row(self, index: int, tiles: Iterable[tuple[int, Heights]]) -> Heights:
        """Sew one row of tiles and return the rows of the map that are finished by it.

        Args:
            index: which row of tiles; each after the one before.
            tiles: pairs of a tile's column and its heights [m] (rows, columns), or (rows, columns,
                layers), in order; a tile that is left out counts as NaN wherever it alone would
                be written.

        Returns:
            Heights [m] of the map's rows ``rise[0]`` to ``fall[0]`` of that span.
        """
        span = self.plan.rows[index]
        shape = (span.fall[1] - span.rise[0], self.plan.width, *[self.layers] * bool(self.layers))
        strip = np.full(shape, np.nan, np.float32)
        for column, heights in tiles:
            across = self.plan.columns[column]
            target, later = strip[:, across.written], heights[span.used, across.used]
            blend(target.swapaxes(0, 1), later.swapaxes(0, 1), across)
        if self.carry is not None and len(self.carry):
            later = strip[: len(self.carry)].copy()
            strip[: len(self.carry)] = self.carry
            blend(strip[: len(self.carry)], later, span)
        finished = span.fall[0] - span.rise[0]
        self.carry = strip[finished:].copy()
        return strip[:finished]


def blend(target: Heights, later: Heights, span: Span) -> None:
    """Take over from what is in a target to what comes later, in place, along the first axis.

    Where one of both is NaN, the other is taken.
    """
    width = span.rise[1] - span.rise[0]
    before, after = target[:width], later[:width]
    weight = (np.arange(width, dtype=np.float32) + 0.5) / max(width, 1)
    weight = weight.reshape(-1, *[1] * (before.ndim - 1))
    mixed = before + weight * (after - before)
    target[:width] = np.where(np.isnan(mixed), np.where(np.isnan(before), after, before), mixed)
    target[width:] = later[width:]
