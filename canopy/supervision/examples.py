"""Training examples: two overlapping tiles of one piece of ground, wooded or treeless."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from canopy.errors import SettingsError
from canopy.supervision.canvas import Canvas, altered, cut, treeless, with_ground
from canopy.supervision.chance import happens
from canopy.supervision.zero_height import (
    check_made_gsd,
    ground_patches,
    ground_scene,
    make_scene,
    mirrored,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from canopy.supervision.augment import AugmentSettings
    from canopy.supervision.categories import CategoryShares
    from canopy.supervision.pairs import HeightPair


@dataclass(frozen=True, kw_only=True)
class ExampleSettings:
    """What examples are made of.

    Attributes:
        tiles_px: Sides of the tiles [px]; each batch takes one of them at random.
        pixels: Pixels in a batch; a batch of larger tiles holds fewer.
        shift_px: Canvas beyond the tile, the most by which two tiles of a canvas are apart [px].
        paired: Share of the steps, the last ones, whose tiles come in overlapping pairs. Before
            them each tile shows other ground: there is more to learn from a batch.
        collages: Share of canvases put together from four plots.
        made: Share of canvases that are made scenes without trees.
        ground: Share of canvases filled with real bare ground; made scenes where plots have none.
        pasted: Share of the plots and collages that have treeless ground pasted on them.
    """

    tiles_px: tuple[int, ...] = (64, 64, 96)
    pixels: int = 32768
    shift_px: int = 32
    paired: float = 0.4
    collages: float = 0.15
    made: float = 0.15
    ground: float = 0.05
    pasted: float = 0.3

    def __post_init__(self) -> None:
        """Refuse shares that do not leave room for plots.

        Raises:
            ValueError: A share is none, they add up to more than 1, or there is no tile.
        """
        shares = (self.paired, self.collages, self.made, self.ground, self.pasted)
        if min(shares) < 0 or max(shares) > 1 or self.collages + self.made + self.ground > 1:
            message = "found shares below 0 or that add up to more than 1; lower them"
            raise ValueError(message)
        if not self.tiles_px or min(*self.tiles_px, self.pixels) < 1 or self.shift_px < 0:
            message = f"found tiles of {self.tiles_px} px; expected one or more, of 1 px or more"
            raise ValueError(message)


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Tiles, in pairs where they have corners: tile 2i and tile 2i + 1 then show canvas i.

    Attributes:
        pixels: Red, green, blue in 0..255 (b, 3, y, x).
        heights: Canopy heights [m] (b, y, x).
        valid: True where the height is known (b, y, x).
        corners: Row and column of each tile's upper left corner on its canvas (b, 2) [px]; without
            rows where each tile shows other ground.
    """

    pixels: NDArray[np.float32]
    heights: NDArray[np.float32]
    valid: NDArray[np.bool_]
    corners: NDArray[np.int64]


class ExampleMaker:
    """Draws batches from plots; what it draws follows from the generator it is given."""

    def __init__(
        self,
        pairs: Sequence[HeightPair],
        settings: ExampleSettings,
        changes: AugmentSettings,
        categories: CategoryShares,
    ) -> None:
        """Prepare to draw.

        Args:
            pairs: Plots to learn from.
            settings: What examples are made of.
            changes: How they are changed.
            categories: How much is drawn from low and from tall plots.

        Raises:
            SettingsError: There are no plots, or scenes cannot be made of their pixels.
        """
        if not pairs:
            message = (
                "found no plots to learn from; expected at least one; check the sites of the recipe"
            )
            raise SettingsError(message)
        self.pairs = list(pairs)
        self.gsd_m = pairs[0].gsd_m
        if settings.made or settings.ground or settings.pasted:
            check_made_gsd(self.gsd_m)
        self.settings, self.changes = settings, changes
        self.shares = plot_shares(pairs, categories)
        self.patches = ground_patches(pairs)
        self.blank = np.mean([pair.image.mean(axis=(1, 2)) for pair in pairs], axis=0)

    def batch(self, rng: np.random.Generator, *, paired: bool = True) -> Batch:
        """Draw a batch, its tiles in overlapping pairs or each of other ground."""
        side = int(rng.choice(self.settings.tiles_px))
        count = max(2, self.settings.pixels // (side * side))
        if not paired:
            return as_batch([self.canvas(rng, side) for _ in range(count)], [])
        tiles, corners = [], []
        for _ in range(count // 2):
            canvas = self.canvas(rng, side + self.settings.shift_px)
            for corner in self._corners(rng):
                tiles.append(cut(canvas, corner, side))
                corners.append(corner)
        return as_batch(tiles, corners)

    def canvas(self, rng: np.random.Generator, size: int) -> Canvas:
        """Draw one changed canvas (size, size)."""
        return altered(rng, self._raw_canvas(rng, size), self.changes, self.blank)

    def _raw_canvas(self, rng: np.random.Generator, size: int) -> Canvas:
        settings, kind = self.settings, rng.random()
        if kind < settings.made + settings.ground:
            return treeless(self._ground(rng, size, real=kind < settings.ground))
        collage = kind < settings.made + settings.ground + settings.collages
        canvas = self._collage(rng, size) if collage else self._plot(rng, size)
        if not happens(rng, settings.pasted):
            return canvas
        return with_ground(rng, canvas, self._ground(rng, size, real=happens(rng, 0.5)))

    def _plot(self, rng: np.random.Generator, size: int) -> Canvas:
        """A plot, mirrored until it fills the canvas, with its heights mirrored alike."""
        pair = self.pairs[rng.choice(len(self.pairs), p=self.shares)]
        start = (int(rng.integers(1000)), int(rng.integers(1000)))
        return Canvas(
            pixels=mirrored(pair.image, size, start),
            heights=mirrored(pair.image_heights, size, start),
            valid=mirrored(pair.image_valid, size, start),
        )

    def _collage(self, rng: np.random.Generator, size: int) -> Canvas:
        """Four plots around a random point."""
        row, column = rng.integers(size // 4, 3 * size // 4, 2)
        parts = [self._plot(rng, size) for _ in range(4)]
        quarter = 2 * (np.arange(size) < row)[:, None] + (np.arange(size) < column)[None]
        return Canvas(
            pixels=np.choose(quarter[None], [part.pixels for part in parts]),
            heights=np.choose(quarter, [part.heights for part in parts]),
            valid=np.choose(quarter, [part.valid for part in parts]),
        )

    def _ground(self, rng: np.random.Generator, size: int, *, real: bool) -> NDArray[np.float32]:
        """Bare ground of a plot if there is any and it is asked for, else a made scene."""
        if real and self.patches:
            return ground_scene(rng, self.patches, size)
        return make_scene(rng, size, self.gsd_m).pixels

    def _corners(self, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Corners of two tiles; half the time at opposite ends, as neighbouring tiles lie."""
        shift = self.settings.shift_px
        drawn = rng.integers(0, shift + 1, (2, 2))
        if happens(rng, 0.5):
            axis = int(rng.integers(2))
            drawn[:, axis] = (0, shift)
        return [(int(row), int(column)) for row, column in drawn]


def plot_shares(pairs: Sequence[HeightPair], categories: CategoryShares) -> NDArray[np.float64]:
    """How often each plot is drawn (n,): by its area, among all, the low and the tall ones.

    A category without any plot leaves its share to all.
    """
    areas = np.array([pair.box.area for pair in pairs])
    known = [pair.heights[pair.heights_valid] for pair in pairs]
    # A plot without any lidar is neither low nor tall.
    mean = np.array([heights.mean() if heights.size else np.nan for heights in known])
    p95 = np.array([np.percentile(heights, 95) if heights.size else np.nan for heights in known])
    members = categories.members(mean, p95)
    shares = np.zeros(len(pairs))
    for name, share in (("low", categories.low), ("tall", categories.tall)):
        if len(members[name]):
            shares[members[name]] += share * areas[members[name]] / areas[members[name]].sum()
    left: NDArray[np.float64] = (1 - shares.sum()) * areas / areas.sum()
    return shares + left


def as_batch(tiles: Sequence[Canvas], corners: Sequence[tuple[int, int]]) -> Batch:
    """Stack tiles of one size."""
    return Batch(
        pixels=np.stack([tile.pixels for tile in tiles]),
        heights=np.stack([tile.heights for tile in tiles]),
        valid=np.stack([tile.valid for tile in tiles]),
        corners=np.array(corners, dtype=np.int64).reshape(-1, 2),
    )
