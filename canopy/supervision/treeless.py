"""Treeless examples among chips: without them a network sees trees on meadows and roofs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from canopy.supervision.canvas import Canvas, treeless, with_ground
from canopy.supervision.chance import happens
from canopy.supervision.zero_height import check_made_gsd, make_scene

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class TreelessSettings:
    """How many examples are without trees, or partly so; their height there is 0.

    Attributes:
        made: share of the examples that are made scenes: lawn, meadow, soil, crop, asphalt, water,
            roads, roofs, and shadows on them.
        pasted: share of the chips that have such ground laid over a part.
    """

    made: float = 0.1
    pasted: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what is no share, and to learn from no chip.

        Raises:
            ValueError: a number is out of range.
        """
        if not (0 <= self.made < 1 and 0 <= self.pasted <= 1):
            msg = f"made {self.made}, pasted {self.pasted}: expected shares, made under 1"
            raise ValueError(msg)


class TreelessGround:
    """Replaces or covers examples of one pixel size."""

    def __init__(self, settings: TreelessSettings, gsd_m: float) -> None:
        """Prepare.

        Raises:
            SettingsError: scenes cannot be made of such pixels.
        """
        self.settings, self.gsd_m = settings, gsd_m
        if settings.made or settings.pasted:
            check_made_gsd(gsd_m)

    def among(self, rng: np.random.Generator, canvas: Canvas) -> Canvas:
        """Return an example, at times a made scene in its place, or one laid over a part of it."""
        if happens(rng, self.settings.made):
            return treeless(self._scene(rng, canvas))
        if happens(rng, self.settings.pasted):
            return with_ground(rng, canvas, self._scene(rng, canvas))
        return canvas

    def _scene(self, rng: np.random.Generator, canvas: Canvas) -> np.ndarray:
        return make_scene(rng, canvas.heights.shape[0], self.gsd_m).pixels
