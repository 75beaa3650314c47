"""The card of a height model: what it expects of pixels, and what its users must know."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a user of a height model must know; the content of ``config.json``.

    Attributes:
        name: short name.
        version: version of the weights.
        summary: one sentence.
        licence: SPDX identifier or name of the licence of the weights.
        training_data: what the weights learned from.
        gsd_m: ground sampling distance the model expects [m].
        maximum_height_m: no height exceeds it [m].
        mean: mean of red, green and blue, of pixels in [0, 1].
        std: standard deviation of red, green and blue, of pixels in [0, 1].
        bands: bands the model takes, in order.
        tile_px: recommended side of a tile [px].
        overlap_px: recommended least overlap of neighbouring tiles [px].
        multiple_px: sides of a tile must be multiples of it [px].
        url: where the model is described.
        notice: what every user must be told, in one sentence; shown with every map.
        imagery: what images the decoder learned from: ``satellite``, ``aerial``, or ``any``.
        notes: what a careful user wants to know, a sentence or two each; shown with the card.
    """

    name: str
    version: str
    summary: str
    licence: str
    training_data: str
    gsd_m: float
    maximum_height_m: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bands: tuple[str, str, str] = ("red", "green", "blue")
    tile_px: int = 256
    overlap_px: int = 32
    multiple_px: int = 32
    url: str = ""
    notice: str = ""
    imagery: Literal["satellite", "aerial", "any"] = "any"
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Name and version, where it has one."""
        return f"{self.name} {self.version}".strip()

    def __post_init__(self) -> None:
        """Refuse numbers that no model has.

        Raises:
            ValueError: one of them is out of range.
        """
        numbers = (*self.mean, *self.std, self.gsd_m, self.maximum_height_m)
        if not all(map(math.isfinite, numbers)) or min(*self.std, *numbers[-2:]) <= 0:
            msg = (
                f"mean {self.mean}, std {self.std}, gsd {self.gsd_m} m, heights up to "
                f"{self.maximum_height_m} m: expected finite numbers, all but the mean above 0"
            )
            raise ValueError(msg)
        if self.multiple_px < 1 or self.tile_px < 1 or self.tile_px % self.multiple_px:
            msg = f"tiles of {self.tile_px} px: expected a multiple of {self.multiple_px} px"
            raise ValueError(msg)
        if not 0 <= self.overlap_px <= self.tile_px // 2:
            msg = f"overlap of {self.overlap_px} px: expected 0 to half a tile"
            raise ValueError(msg)
