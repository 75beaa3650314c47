"""A piece of ground with its heights, and what may be done to it without making them wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from canopy.supervision import augment
from canopy.supervision.chance import happens
from canopy.supervision.zero_height import paste

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from canopy.supervision.augment import AugmentSettings, Heights, Mask, Pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class Canvas:
    """A piece of ground.

    Attributes:
        pixels: red, green, blue in 0..255 (3, y, x).
        heights: canopy heights [m] (y, x).
        valid: True where the height is known (y, x).
    """

    pixels: Pixels
    heights: Heights
    valid: Mask


def treeless(pixels: Pixels) -> Canvas:
    """Return ground without any canopy: its height is known to be 0 everywhere."""
    heights = np.zeros(pixels.shape[1:], np.float32)
    return Canvas(pixels=pixels, heights=heights, valid=heights == 0)


def with_ground(rng: np.random.Generator, canvas: Canvas, ground: Pixels) -> Canvas:
    """Return a canvas with treeless ground laid over a part; its height is known there."""
    pixels, heights, there = paste(rng, canvas.pixels, canvas.heights, ground)
    return Canvas(pixels=pixels, heights=heights, valid=canvas.valid | there)


def altered(
    rng: np.random.Generator, canvas: Canvas, changes: AugmentSettings, blank: NDArray[np.float32]
) -> Canvas:
    """Return a canvas turned, and at times under other light, less sharp, or with a hole.

    Args:
        rng: source of chance.
        canvas: what is changed.
        changes: how far, and how often.
        blank: colour of a hole (3,), in 0..255.
    """
    pixels, heights, valid = augment.turned(rng, canvas.pixels, canvas.heights, canvas.valid)
    if happens(rng, changes.share):
        pixels = augment.recoloured(rng, pixels, changes)
        pixels = augment.resampled(rng, pixels, changes)
    if happens(rng, changes.holes):
        pixels, valid = augment.with_hole(rng, pixels, valid, blank)
    return Canvas(pixels=pixels, heights=heights, valid=valid)


def cut(canvas: Canvas, corner: tuple[int, int], side: int) -> Canvas:
    """Return the tile of a side [px] at a corner (row, column) of a canvas."""
    rows, columns = (slice(start, start + side) for start in corner)
    return Canvas(
        pixels=canvas.pixels[:, rows, columns],
        heights=canvas.heights[rows, columns],
        valid=canvas.valid[rows, columns],
    )
