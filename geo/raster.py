"""Raster: pixels, which of them are valid, and where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from geo.grid import Grid

Pixels = np.ndarray[tuple[int, ...], np.dtype[Any]]
Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@dataclass(frozen=True, kw_only=True)
class Raster:
    """Pixels in memory.

    Attributes:
        pixels: (bands, rows, columns), of any type.
        valid: (rows, columns), True where the pixels mean something.
        grid: where they lie.
    """

    pixels: Pixels
    valid: Mask
    grid: Grid
