"""What pixel values mean: the range of a scene's values, and the normalisation of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt
    from torch import Tensor

    from geo.raster import Pixels, Raster


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return pixels with the mean and spread that a network expects.

    Args:
        pixels: (batch, bands, height, width), uint8 or float32 in [0, 1].
        mean: mean of each band, of pixels in [0, 1].
        std: standard deviation of each band, of pixels in [0, 1].

    Returns:
        (pixels - mean) / std, float32.
    """
    scale = 255.0 if pixels.dtype == torch.uint8 else 1.0
    centre = pixels.new_tensor(mean, dtype=torch.float32).view(-1, 1, 1)
    spread = pixels.new_tensor(std, dtype=torch.float32).view(-1, 1, 1)
    # Two passes over a copy: subtracting and dividing with the types mixed takes twice as long.
    copied = pixels.to(torch.float32, copy=True)
    return copied.mul_(1 / (scale * spread)).sub_(centre / spread)


def as_unit(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Return bytes as float32 in [0, 1]; real numbers are left as they are."""
    if pixels.dtype == np.uint8:
        return np.multiply(pixels, np.float32(1 / 255), dtype=np.float32)
    return pixels.astype(np.float32, copy=False)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A linear map of a scene's pixel values to [0, 1], the same everywhere in the scene.

    Attributes:
        low: value of red, green and blue that becomes 0.
        high: value of red, green and blue that becomes 1.
        clips: whether what lies beyond becomes 0 or 1.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    clips: bool = True

    def apply(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """Return pixels (3, rows, columns) as float32, in [0, 1] where it clips."""
        low, high = np.asarray([self.low, self.high], np.float32)[:, :, None, None]
        scaled: npt.NDArray[np.float32] = (pixels.astype(np.float32) - low) / (high - low)
        return np.clip(scaled, 0, 1, out=scaled) if self.clips else scaled


PERCENTILES = (2, 98)
"""Percentiles of valid pixels that the automatic stretch maps to 0 and 1."""


def choose_stretch(
    wanted: str | tuple[float, float], dtype: str, sample: Callable[[], Raster]
) -> Stretch | None:
    """Return how a scene's values become what a model expects; None for uint8 as it is.

    Args:
        wanted: ``auto`` (uint8 as it is, else percentiles of each band), ``none`` (whole numbers
            over the range of their type, real ones as they are), or the values that become 0 and 1.
        dtype: type of the scene's pixels.
        sample: gives a sample of the whole scene, where it is needed.
    """
    if isinstance(wanted, tuple):
        low, high = wanted
        return Stretch(low=(low,) * 3, high=(high,) * 3)
    if dtype == "uint8":
        return None
    if wanted == "none":
        whole = np.issubdtype(np.dtype(dtype), np.integer)
        highest = float(np.iinfo(dtype).max) if whole else 1.0
        return Stretch(low=(0.0,) * 3, high=(highest,) * 3)
    return percentile_stretch(sample())


def percentile_stretch(sample: Raster) -> Stretch:
    """Return the stretch from the 2nd to the 98th percentile of each band's valid pixels."""
    if not sample.valid.any():
        return Stretch(low=(0.0,) * 3, high=(1.0,) * 3)
    values = sample.pixels[:, sample.valid].astype(np.float64)
    low, high = np.percentile(values, PERCENTILES, axis=1)
    high = np.where(high > low, high, low + 1)
    return Stretch(low=tuple(low.tolist()), high=tuple(high.tolist()))
