"""Random changes to training examples that keep heights and pixel size true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from canopy.supervision.chance import happens

Pixels = NDArray[np.float32]
"""Red, green, blue in 0..255 (3, y, x)."""
Heights = NDArray[np.float32]
"""Canopy heights [m] (y, x)."""
Mask = NDArray[np.bool_]
"""True where there is a height to learn from (y, x)."""


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """How far examples are changed. 0 turns a change off.

    Colour jitter costs accuracy within a site, whose colours tell its forest type, and gains it on
    sites never seen.

    Attributes:
        share: Share of the examples whose colours and sharpness are changed at all. The rest keep
            what ties colour to height where the imagery is like that of the plots.
        brightness: Largest relative change of brightness.
        colour: Largest relative change of one band against the others.
        gamma: Largest relative change of the exponent of the tone curve.
        saturation: Largest relative change of saturation.
        haze: Largest share of bluish haze.
        blur_px: Largest spread of an added blur [px].
        noise: Largest spread of added noise, in grey values of 0..255.
        holes: Chance that part of an example is blank, as beside the edge of a scene.
    """

    share: float = 0.5
    brightness: float = 0.25
    colour: float = 0.08
    gamma: float = 0.2
    saturation: float = 0.3
    haze: float = 0.2
    blur_px: float = 0.6
    noise: float = 4.0
    holes: float = 0.1


def turned(
    rng: np.random.Generator, pixels: Pixels, heights: Heights, valid: Mask
) -> tuple[Pixels, Heights, Mask]:
    """One of the eight turns and mirror images of an example, the same for all three arrays."""
    quarter, mirror = int(rng.integers(4)), bool(rng.integers(2))

    def turn(values: NDArray[np.generic]) -> NDArray[np.generic]:
        rotated = np.rot90(values, quarter, axes=(-2, -1))
        return rotated[..., ::-1] if mirror else rotated

    return turn(pixels), turn(heights), turn(valid)  # type: ignore[return-value]


def recoloured(rng: np.random.Generator, pixels: Pixels, settings: AugmentSettings) -> Pixels:
    """Pixels (3, y, x) under other light, air and processing, in 0..255."""
    grey = pixels.mean(axis=0, keepdims=True)
    changed = grey + (pixels - grey) * _factor(rng, settings.saturation)
    bands = np.array([_factor(rng, settings.colour) for _ in range(3)])[:, None, None]
    changed = np.clip(changed * bands * _factor(rng, settings.brightness), 0, 255)
    changed = 255 * (changed / 255) ** _factor(rng, settings.gamma)
    haze = rng.uniform(0, settings.haze) * happens(rng, 0.5)
    changed = changed * (1 - haze) + haze * np.array([200.0, 210.0, 225.0])[:, None, None]
    hazy: Pixels = np.clip(changed, 0, 255).astype(np.float32)
    return hazy


def resampled(rng: np.random.Generator, pixels: Pixels, settings: AugmentSettings) -> Pixels:
    """Pixels (3, y, x) a little less sharp or noisier, as resampling and compression leave them."""
    spread = rng.uniform(0, settings.blur_px) * happens(rng, 0.5)
    changed = ndimage.gaussian_filter(pixels, (0, spread, spread)) if spread else pixels
    if settings.noise and happens(rng, 0.3):
        changed = changed + rng.normal(0, rng.uniform(0, settings.noise), pixels.shape)
    return np.clip(changed, 0, 255).astype(np.float32)


def with_hole(
    rng: np.random.Generator, pixels: Pixels, valid: Mask, fill: NDArray[np.float32]
) -> tuple[Pixels, Mask]:
    """Blank one side of an example, as a tile that hangs over the edge of a scene.

    Args:
        rng: Source of chance.
        pixels: In 0..255 (3, y, x).
        valid: True where there is a height (y, x).
        fill: Colour of blank ground (3,), in 0..255.

    Returns:
        Pixels with `fill` in the hole, and the mask, False in it.
    """
    rows, columns = np.mgrid[: valid.shape[0], : valid.shape[1]] / max(valid.shape)
    turn = rng.uniform(0, 2 * np.pi)
    beyond = (rows - 0.5) * np.cos(turn) + (columns - 0.5) * np.sin(turn) > rng.uniform(0, 0.4)
    return np.where(beyond, fill[:, None, None], pixels), valid & ~beyond


def _factor(rng: np.random.Generator, span: float) -> float:
    """A factor around 1, as often above as below on a logarithmic scale."""
    return float(np.exp(rng.uniform(-1, 1) * np.log1p(span)))
