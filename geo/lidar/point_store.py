"""Points sorted into squares of ground on disk, so that any place can be read again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from geo.errors import MapFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from geo.grid import FloatArray

Bounds = tuple[float, float, float, float]
"""West, south, east and north [m]."""

BYTES_PER_POINT = 24
PIECE_POINTS = 500_000
"""Points of a square read at once."""


class PointStore:
    """Points on disk, in one file for each square that has some.

    Squares have their corners on multiples of their side in the CRS, whichever points come first.
    """

    def __init__(self, folder: Path, cell_m: float) -> None:
        """Describe an empty store in a new folder, with squares of a side [m]."""
        folder.mkdir()
        self.folder, self.cell_m = folder, cell_m
        self.counts: dict[tuple[int, int], int] = {}

    def add(self, xyz: FloatArray) -> None:
        """Add points (points, 3) x, y and z [m].

        Raises:
            MapFileError: the disk does not take them.
        """
        if not len(xyz):
            return
        cells = np.floor(xyz[:, :2] / self.cell_m).astype(np.int64)
        order = np.lexsort((cells[:, 0], cells[:, 1]))
        cells, xyz = cells[order], xyz[order]
        starts = np.flatnonzero(np.any(np.diff(cells, axis=0), axis=1)) + 1
        for part, cell in zip(np.split(xyz, starts), cells[[0, *starts]], strict=True):
            self._append((int(cell[0]), int(cell[1])), part)

    def _append(self, cell: tuple[int, int], xyz: FloatArray) -> None:
        try:
            with self._path(cell).open("ab") as file:
                file.write(np.ascontiguousarray(xyz, "<f8").data)
        except OSError as error:
            msg = f"points cannot be kept in {self.folder} ({error.strerror}): make room there"
            raise MapFileError(msg) from error
        self.counts[cell] = self.counts.get(cell, 0) + len(xyz)

    def _path(self, cell: tuple[int, int]) -> Path:
        return self.folder / f"{cell[0]}_{cell[1]}.xyz"

    def estimate(self, bounds: Bounds) -> float:
        """Return about how many points lie in bounds: the share of each square that is inside."""
        west, south, east, north = bounds
        total = 0.0
        for column, row in self._cells(bounds):
            x, y = column * self.cell_m, row * self.cell_m
            across = min(east, x + self.cell_m) - max(west, x)
            down = min(north, y + self.cell_m) - max(south, y)
            total += self.counts[column, row] * across * down / self.cell_m**2
        return total

    def has_points(self, bounds: Bounds) -> bool:
        """Whether any square that touches bounds has points."""
        return next(self._cells(bounds), None) is not None

    def read(self, bounds: Bounds) -> FloatArray:
        """Return the points in bounds, edges included: (points, 3) x, y and z [m]."""
        west, south, east, north = bounds
        parts = [np.empty((0, 3))]
        for piece in (piece for cell in self._cells(bounds) for piece in self.pieces(cell)):
            x, y = piece[:, 0], piece[:, 1]
            parts.append(piece[(west <= x) & (x <= east) & (south <= y) & (y <= north)])
        return np.concatenate(parts)

    def pieces(self, cell: tuple[int, int]) -> Iterator[FloatArray]:
        """Yield the points of a square, so many at a time."""
        for start in range(0, self.counts[cell], PIECE_POINTS):
            count = min(PIECE_POINTS, self.counts[cell] - start)
            flat = np.fromfile(self._path(cell), "<f8", 3 * count, offset=BYTES_PER_POINT * start)
            yield flat.reshape(-1, 3)

    def _cells(self, bounds: Bounds) -> Iterator[tuple[int, int]]:
        west, south, east, north = (math.floor(value / self.cell_m) for value in bounds)
        for row in range(south, north + 1):
            for column in range(west, east + 1):
                if (column, row) in self.counts:
                    yield column, row


def cell_side(bounds: Bounds, cell_m: float, most: int = 100_000) -> float:
    """Return a side of squares [m], so that no more than so many cover bounds."""
    west, south, east, north = bounds
    while (east - west) * (north - south) / cell_m**2 > most:
        cell_m *= 2
    return cell_m
