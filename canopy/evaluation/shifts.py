"""The shift of a map that fits its reference best, found by trying every one within a distance.

Imagery and lidar are often a metre or more apart, which at sub-metre pixels counts as an error of
height. What is left at the best shift says how much of the error is that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from canopy.evaluation.area_means import Cells, Shift
    from canopy.evaluation.read_pairs import PairReader, RasterPair

    Array = NDArray[np.float64]

LEAST_STEP_M = 0.5
"""Shifts are multiples of whole pixels, no finer than this [m]."""

SHIFT_PX = 4 << 20
"""About as many pixels of a site at most are compared under every shift: a sample of windows."""

PIECE_PX = 256
"""Side of what is compared at once [px]."""

SAME_LENGTH = 0.01
"""Lengths that differ by less than this share are the same: a metre of UTM is not quite one of the
ground."""


@dataclass(frozen=True, kw_only=True)
class ShiftTable:
    """Errors of a site under shifts of the map.

    Attributes:
        step_m: one step right (to the east on a north-up grid), and one step down, each as a
            vector (east, north) [m].
        shifts: steps down and right.
        sums: (shifts, 4): count, and sums of |d|, d and d2 [m]; the same pixels for all shifts.
    """

    step_m: tuple[tuple[float, float], tuple[float, float]]
    shifts: tuple[Shift, ...]
    sums: Array

    def offset_m(self, index: int) -> tuple[float, float]:
        """Return how far a shift moves the map east and north [m]."""
        down, right = self.shifts[index]
        (right_east, right_north), (down_east, down_north) = self.step_m
        return (
            right * right_east + down * down_east + 0.0,
            right * right_north + down * down_north + 0.0,
        )

    @property
    def best(self) -> int | None:
        """Which shift has the smallest RMSE, the shortest of equals; None without any pixel."""
        if not self.sums[:, 0].any():
            return None
        lengths = [math.hypot(*self.offset_m(index)) for index in range(len(self.shifts))]
        squares = np.round(self.sums[:, 3], 9).tolist()
        return min(range(len(squares)), key=lambda index: (squares[index], lengths[index]))

    def is_like(self, other: ShiftTable) -> bool:
        """Whether another table tries the same shifts."""
        same = np.allclose(self.step_m, other.step_m, rtol=SAME_LENGTH, atol=1e-9)
        return same and self.shifts == other.shifts


def shift_steps(pair: RasterPair) -> tuple[int, tuple[float, float]]:
    """Return pixels of the averaged raster in a step, and the length of it right and down [m]."""
    width, height = pair.averaged.pixel_m
    stride = max(1, math.ceil(LEAST_STEP_M / min(width, height) - SAME_LENGTH))
    return stride, (stride * width, stride * height)


def planned_shifts(pair: RasterPair, farthest_m: float) -> ShiftTable:
    """Return an empty table of all shifts of a pair within a distance [m], none included."""
    _, (across_m, down_m) = shift_steps(pair)
    limit_m = farthest_m * (1 + SAME_LENGTH)
    reach = [math.floor(limit_m / step) for step in (down_m, across_m)]
    shifts = tuple(
        (down, right)
        for down in range(-reach[0], reach[0] + 1)
        for right in range(-reach[1], reach[1] + 1)
        if math.hypot(down * down_m, right * across_m) <= limit_m
    )
    transform = pair.averaged.grid.transform
    right, down = np.array([transform.a, transform.d]), np.array([transform.b, transform.e])
    right, down = right / np.hypot(*right) * across_m, down / np.hypot(*down) * down_m
    return ShiftTable(
        step_m=((float(right[0]), float(right[1])), (float(down[0]), float(down[1]))),
        shifts=shifts,
        sums=np.zeros((len(shifts), 4)),
    )


def add_shifts(table: ShiftTable, reader: PairReader, cells: Cells) -> None:
    """Add the errors of a window under every shift to a table."""
    stride, _ = shift_steps(reader.pair)
    shifts = [(down * stride, right * stride) for down, right in table.shifts]
    for part in cells.parts(PIECE_PX):
        predicted, true, common = reader.read_shifted(part, shifts)
        if common.any():
            d = predicted[:, common] - true[:, common]
            table.sums[:] += np.stack(
                [np.full(len(d), common.sum()), np.abs(d).sum(1), d.sum(1), (d * d).sum(1)], axis=1
            )


def shift_as_json(table: ShiftTable | None) -> dict[str, Any] | None:
    """Return the best shift of the map, and errors there and without a shift on the same pixels."""
    best = table.best if table else None
    if table is None or best is None or len(table.shifts) == 1:
        return None
    east, north = table.offset_m(best)
    return {
        "east_m": round(east, 3),
        "north_m": round(north, 3),
        "distance_m": round(math.hypot(east, north), 3),
        "shifts_tried": len(table.shifts),
        "pixels": int(table.sums[best, 0]),
        "at_best": errors_at(table.sums[best]),
        "unshifted": errors_at(table.sums[table.shifts.index((0, 0))]),
    }


def errors_at(sums: Array) -> dict[str, float]:
    """Return errors of count and sums of |d|, d and d2."""
    n, absolute, d, dd = sums.tolist()
    return {"mae_m": absolute / n, "rmse_m": math.sqrt(dd / n), "bias_m": d / n}


def each_at_its_best(tables: Sequence[ShiftTable]) -> dict[str, Any] | None:
    """Return the errors of all sites together, each under its own best shift, and under none."""
    found = [(table, table.best) for table in tables if len(table.shifts) > 1]
    best = [table.sums[index] for table, index in found if index is not None]
    if not best:
        return None
    none = [table.sums[table.shifts.index((0, 0))] for table, index in found if index is not None]
    lengths = [math.hypot(*table.offset_m(index)) for table, index in found if index is not None]
    return {
        "sites": len(best),
        "pixels": int(np.sum(best, axis=0)[0]),
        "median_distance_m": float(np.median(lengths)),
        "at_best": errors_at(np.sum(best, axis=0)),
        "unshifted": errors_at(np.sum(none, axis=0)),
    }


def common_table(tables: Sequence[ShiftTable]) -> ShiftTable | None:
    """Return the table of all sites under one shift; None where they do not share their steps."""
    if not tables or not all(tables[0].is_like(table) for table in tables):
        return None
    first = tables[0]
    sums = np.sum([table.sums for table in tables], axis=0)
    return ShiftTable(step_m=first.step_m, shifts=first.shifts, sums=sums)
