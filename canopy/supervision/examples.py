"""Training examples: two overlapping tiles of one piece of ground, wooded or treeless."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from canopy.supervision import augment
from canopy.supervision.chance import happens
from canopy.supervision.zero_height import ground_patches, ground_scene, make_scene, mirrored, paste

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from canopy.supervision.augment import AugmentSettings
    from canopy.supervision.pairs import HeightPair


@dataclass(frozen=True, kw_only=True)
class ExampleSettings:
    """What examples are made of.

    Attributes:
        tiles_px: Sides of the tiles, multiples of 32 [px]; each batch takes one of them at random.
        pixels: Pixels in a batch; a batch of larger tiles holds fewer.
        shift_px: Canvas beyond the tile, the most by which two tiles of a canvas are apart [px].
        paired: Share of the steps, the last ones, whose tiles come in overlapping pairs. Before
            them each tile shows other ground: there is more to learn from a batch.
        collages: Share of canvases put together from four plots.
        made: Share of canvases that are made scenes without trees.
        ground: Share of canvases filled with real bare ground.
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
            ValueError: If the shares add up to more than 1, or a tile is no multiple of 32 px.
        """
        if self.collages + self.made + self.ground > 1:
            message = "found shares that add up to more than 1; lower collages, made or ground"
            raise ValueError(message)
        if any(side % 32 for side in self.tiles_px):
            message = f"found tiles of {self.tiles_px} px; expected multiples of 32"
            raise ValueError(message)


@dataclass(frozen=True, kw_only=True, eq=False)
class Canvas:
    """A piece of ground larger than a tile.

    Attributes:
        pixels: Red, green, blue in 0..255 (3, y, x).
        heights: Canopy heights [m] (y, x).
        valid: True where the height is known (y, x).
    """

    pixels: NDArray[np.float32]
    heights: NDArray[np.float32]
    valid: NDArray[np.bool_]


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
    """Draws batches from plots; the same seed draws the same batches."""

    def __init__(
        self,
        pairs: Sequence[HeightPair],
        settings: ExampleSettings,
        changes: AugmentSettings,
        *,
        seed: int,
    ) -> None:
        """Prepare to draw.

        Args:
            pairs: Plots to learn from.
            settings: What examples are made of.
            changes: How they are changed.
            seed: Source of chance.

        Raises:
            ValueError: If there are no plots.
        """
        if not pairs:
            message = (
                "found no plots to learn from; expected at least one; check the sites of the recipe"
            )
            raise ValueError(message)
        self.pairs = list(pairs)
        self.settings = settings
        self.changes = changes
        self.rng = np.random.default_rng(seed)
        areas = np.array([pair.box.area for pair in pairs])
        self.shares = areas / areas.sum()
        self.patches = ground_patches(pairs)
        self.blank = np.mean([pair.image.mean(axis=(1, 2)) for pair in pairs], axis=0)

    def batch(self, *, paired: bool = True) -> Batch:
        """Draw the next batch, its tiles in overlapping pairs or each of other ground."""
        side = int(self.rng.choice(self.settings.tiles_px))
        count = max(2, self.settings.pixels // (side * side))
        if not paired:
            return as_batch([self.canvas(side) for _ in range(count)], [])
        tiles, corners = [], []
        for _ in range(count // 2):
            canvas = self.canvas(side + self.settings.shift_px)
            for corner in self._corners():
                tiles.append(cut(canvas, corner, side))
                corners.append(corner)
        return as_batch(tiles, corners)

    def canvas(self, size: int) -> Canvas:
        """Draw one changed canvas (size, size)."""
        raw = self._raw_canvas(size)
        pixels, heights, valid = augment.turned(self.rng, raw.pixels, raw.heights, raw.valid)
        if happens(self.rng, self.changes.share):
            pixels = augment.recoloured(self.rng, pixels, self.changes)
            pixels = augment.resampled(self.rng, pixels, self.changes)
        if happens(self.rng, self.changes.holes):
            pixels, valid = augment.with_hole(self.rng, pixels, valid, self.blank)
        return Canvas(pixels=pixels, heights=heights, valid=valid)

    def _raw_canvas(self, size: int) -> Canvas:
        settings, kind = self.settings, self.rng.random()
        if kind < settings.made + settings.ground:
            return self._treeless(size, real=kind < settings.ground)
        collage = kind < settings.made + settings.ground + settings.collages
        canvas = self._collage(size) if collage else self._plot(size)
        return self._pasted(canvas) if happens(self.rng, settings.pasted) else canvas

    def _plot(self, size: int) -> Canvas:
        """A plot, mirrored until it fills the canvas, with its heights mirrored alike."""
        pair = self.pairs[self.rng.choice(len(self.pairs), p=self.shares)]
        start = (int(self.rng.integers(1000)), int(self.rng.integers(1000)))
        return Canvas(
            pixels=mirrored(pair.image, size, start),
            heights=mirrored(pair.image_heights, size, start),
            valid=mirrored(pair.image_valid, size, start),
        )

    def _collage(self, size: int) -> Canvas:
        """Four plots around a random point."""
        row, column = self.rng.integers(size // 4, 3 * size // 4, 2)
        parts = [self._plot(size) for _ in range(4)]
        quarter = 2 * (np.arange(size) < row)[:, None] + (np.arange(size) < column)[None]
        return Canvas(
            pixels=np.choose(quarter[None], [part.pixels for part in parts]),
            heights=np.choose(quarter, [part.heights for part in parts]),
            valid=np.choose(quarter, [part.valid for part in parts]),
        )

    def _treeless(self, size: int, *, real: bool) -> Canvas:
        """Bare ground of a plot if there is any and it is asked for, else a made scene."""
        if real and self.patches:
            pixels = ground_scene(self.rng, self.patches, size)
        else:
            pixels = make_scene(self.rng, size).pixels
        heights = np.zeros((size, size), np.float32)
        return Canvas(pixels=pixels, heights=heights, valid=heights == 0)

    def _pasted(self, canvas: Canvas) -> Canvas:
        """The canvas with treeless ground laid over a part; its height is known there."""
        ground = self._treeless(canvas.heights.shape[0], real=happens(self.rng, 0.5))
        pixels, heights, there = paste(self.rng, canvas.pixels, canvas.heights, ground.pixels)
        return Canvas(pixels=pixels, heights=heights, valid=canvas.valid | there)

    def _corners(self) -> list[tuple[int, int]]:
        """Corners of two tiles; half the time at opposite ends, as neighbouring tiles lie."""
        shift = self.settings.shift_px
        drawn = self.rng.integers(0, shift + 1, (2, 2))
        if happens(self.rng, 0.5):
            axis = int(self.rng.integers(2))
            drawn[:, axis] = (0, shift)
        return [(int(row), int(column)) for row, column in drawn]


def cut(canvas: Canvas, corner: tuple[int, int], side: int) -> Canvas:
    """The tile of a side [px] at a corner (row, column) of a canvas."""
    rows, columns = (slice(start, start + side) for start in corner)
    return Canvas(
        pixels=canvas.pixels[:, rows, columns],
        heights=canvas.heights[rows, columns],
        valid=canvas.valid[rows, columns],
    )


def as_batch(tiles: Sequence[Canvas], corners: Sequence[tuple[int, int]]) -> Batch:
    """Stack tiles of one size."""
    return Batch(
        pixels=np.stack([tile.pixels for tile in tiles]),
        heights=np.stack([tile.heights for tile in tiles]),
        valid=np.stack([tile.valid for tile in tiles]),
        corners=np.array(corners, dtype=np.int64).reshape(-1, 2),
    )
