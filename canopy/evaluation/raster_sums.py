"""Walk over a pair of rasters, piece of ground by piece of ground, and add up what each tells."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from canopy.evaluation.area_means import Cells
from canopy.evaluation.shifts import SHIFT_PX, ShiftTable, add_shifts, planned_shifts
from canopy.evaluation.sums import (
    BLOCK_PX,
    LENGTH,
    Heights,
    Sampling,
    sums_of_piece,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from canopy.evaluation.counts import HeightCounts, Residuals
    from canopy.evaluation.read_pairs import PairReader, RasterPair
    from canopy.evaluation.settings import EvaluationSettings
    from canopy.evaluation.zones import Zones

    Array = NDArray[np.float64]

READ_PX = 512
"""About as many rows and columns are read at once."""

TILE_M = 100.0
"""Side of the pieces of ground from which intervals are drawn, unless another is asked for [m]."""
MOST_PIECES = 20_000
"""Pieces of ground of a site; they grow where it would have more."""


@dataclass(kw_only=True)
class SiteSums:
    """What a site tells.

    Attributes:
        site: its name.
        pieces: (pieces, LENGTH) sums of its pieces of ground that have a valid pixel.
        groups: the same of the parts of pieces that lie in the polygons of each group.
        shifts: errors under shifts of the map; None for points.
        counted_before: valid pixels that count for an earlier reference, and not here.
        piece_m: side of a piece [m].
        pixel_ha: area of a compared pixel [ha]; 0 for points.
    """

    site: str
    pieces: Array
    piece_m: float
    pixel_ha: float
    groups: dict[str, Array] = field(default_factory=dict)
    shifts: ShiftTable | None = None
    counted_before: int = 0

    @property
    def total(self) -> Array:
        """Sums of the whole site (LENGTH,)."""
        summed: Array = self.pieces.sum(axis=0)
        return summed


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """Into which pieces the grid of a pair is cut.

    Attributes:
        grid: all of it.
        side: rows and columns of a piece [px].
    """

    grid: Cells
    side: int

    @property
    def count(self) -> int:
        """Number of pieces."""
        return -(-self.grid.height // self.side) * -(-self.grid.width // self.side)

    @property
    def windows(self) -> list[Cells]:
        """What is read at once: squares of whole pieces."""
        return list(self.grid.parts(self.side * max(1, READ_PX // self.side)))


def tiling_of(pair: RasterPair, settings: EvaluationSettings) -> Tiling:
    """Return the pieces of a pair: of the size asked for, of 50 px at least, and not too many."""
    height, width = pair.grid.shape
    grid = Cells(row=0, column=0, height=height, width=width)
    side = max(BLOCK_PX, round((settings.tile_m or TILE_M) / pair.mean_pixel_m))
    while Tiling(grid=grid, side=side).count > MOST_PIECES:
        side *= 2
    return Tiling(grid=grid, side=side)


def sum_pair(
    pair: RasterPair,
    settings: EvaluationSettings,
    *,
    counts: HeightCounts,
    residuals: Residuals | None = None,
    zones: Zones | None = None,
    done: Callable[[int], None] | None = None,
) -> SiteSums:
    """Add up a pair.

    Args:
        pair: what is compared.
        settings: choices.
        counts: counts its heights too.
        residuals: pictures its residuals too, where wanted.
        zones: groups of its ground, where there are polygons of them.
        done: told how many pieces have been added.

    Raises:
        SceneError: a file breaks off.
    """
    tiling = tiling_of(pair, settings)
    sampling = Sampling(pixel_m=pair.pixel_m, shape=pair.grid.shape)
    found: list[Array] = []
    groups: dict[str, list[Array]] = {}
    counted_before = 0
    table = planned_shifts(pair, settings.shift_m)
    sampled = SHIFT_PX / (pair.grid.height * pair.grid.width)
    chances = np.random.default_rng(settings.seed)
    with pair.open() as reader:
        for window in tiling.windows:
            heights = read_around(reader, window, sampling)
            counted_before += reader.count_covered(window)
            wanted = chances.random() < sampled or not table.sums.any()
            if wanted and len(table.shifts) > 1 and heights.valid.any():
                add_shifts(table, reader, window)
            for piece in window.parts(tiling.side):
                around = heights.part(with_halo(piece, sampling))
                if around.valid.any():
                    count_pixels(around, piece, counts, residuals)
                    found.append(sums_of_piece(around, piece, sampling))
                    for name, share in shares(around, piece, sampling, zones):
                        groups.setdefault(name, []).append(share)
                if done:
                    done(1)
    return SiteSums(
        site=pair.site,
        pieces=np.array(found).reshape(-1, LENGTH),
        groups={name: np.array(parts) for name, parts in groups.items()},
        shifts=table,
        counted_before=counted_before,
        piece_m=tiling.side * pair.mean_pixel_m,
        pixel_ha=pair.pixel_ha,
    )


def with_halo(cells: Cells, sampling: Sampling) -> Cells:
    """Return a window with what its gradients and its blocks reach beyond it."""
    down, right = sampling.halo_px
    return Cells(
        row=cells.row - 1,
        column=cells.column - 1,
        height=cells.height + 1 + down,
        width=cells.width + 1 + right,
    )


def read_around(reader: PairReader, window: Cells, sampling: Sampling) -> Heights:
    """Read a window and its halo."""
    cells = with_halo(window, sampling)
    predicted, true, valid = reader.read(cells)
    return Heights(cells=cells, predicted=predicted, true=true, valid=valid)


def count_pixels(
    heights: Heights, piece: Cells, counts: HeightCounts, residuals: Residuals | None
) -> None:
    """Count the pixels of a piece for the pictures."""
    inner = heights.part(piece)
    counts.add(inner.predicted[inner.valid], inner.true[inner.valid])
    if residuals is not None:
        residuals.add(heights, piece)


def shares(
    heights: Heights, piece: Cells, sampling: Sampling, zones: Zones | None
) -> Iterator[tuple[str, Array]]:
    """Yield each group with ground in a piece, and the sums of its pixels and blocks there."""
    if zones is None:
        return
    found = zones.read(heights.cells)
    for number in np.unique(found[heights.valid]).tolist():
        part = replace(heights, valid=heights.valid & (found == number))
        sums = sums_of_piece(part, piece, sampling)
        if sums.any():
            yield zones.names[number], sums
