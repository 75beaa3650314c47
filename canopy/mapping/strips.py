"""What rows of tiles read of a scene, in a stream: strips, their holes filled, colours matched."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from canopy.mapping.colour_field import ColourField
from canopy.radiometry import as_unit

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from contextlib import AbstractContextManager

    from canopy.colour_matching import ColourMatcher
    from canopy.height_models.height_model import HeightModel
    from canopy.mapping.colour_field import Floats
    from geo.grid import Grid
    from geo.raster import Mask, Pixels
    from geo.scene_reader import StripReader
    from geo.tiles import Span, TilePlan


class TilesToPredict(Protocol):
    """What prediction needs to know: a scene's plan, or that of a cell of ground."""

    @property
    def grid(self) -> Grid:
        """Where the model sees imagery, at its GSD."""

    @property
    def tiles(self) -> TilePlan:
        """Every tile on the grid."""

    @property
    def batch(self) -> int | None:
        """Tiles predicted at once, in each thread of a CPU; None for what the device can take."""

    @property
    def scaled(self) -> bool:
        """Whether the scale of the errors is predicted too."""

    @property
    def colours(self) -> ColourMatcher | None:
        """What matches the colours of aerial images; None where they stay."""

    def read(self) -> AbstractContextManager[StripReader]:
        """Open the imagery for reading on the grid."""


@dataclass(frozen=True, kw_only=True)
class Strip:
    """What one row of tiles reads.

    Attributes:
        index: which row of tiles.
        pixels: (3, rows, width), uint8, or float32 in [0, 1].
        valid: (rows, width), True where the scene has data.
    """

    index: int
    pixels: Pixels
    valid: Mask


def read_strips(plan: TilesToPredict, first: int, fill: Pixels) -> Generator[Strip]:
    """Yield what each row of tiles reads; rows that two strips share are read once.

    Args:
        plan: what is mapped.
        first: row of tiles to begin with.
        fill: what stands where the scene has no data (3,), bytes.
    """
    spans = plan.tiles.rows
    strip: Strip | None = None
    with plan.read() as reader, colour_field(plan) as field:
        for index in range(first, len(spans)):
            span = spans[index]
            shared = spans[index - 1].stop - span.start if strip else 0
            rows = range(span.start + shared, min(span.stop, plan.grid.height))
            raster = reader.read(rows.start, len(rows))
            pixels, valid = raster.pixels, raster.valid
            if field:
                pixels = field.apply(as_unit(pixels), rows.start)
            if not valid.all():
                colour = fill if pixels.dtype == np.uint8 else as_unit(fill)
                pixels = np.where(valid, pixels, colour[:, None, None])
            if strip and shared:
                pixels = np.concatenate([strip.pixels[:, -shared:], pixels], axis=1)
                valid = np.concatenate([strip.valid[-shared:], valid])
            strip = Strip(index=index, pixels=pixels, valid=valid)
            yield strip


@contextmanager
def colour_field(plan: TilesToPredict) -> Iterator[ColourField | None]:
    """Lend what matches the colours of a scene, with a reader of its own; None where they stay."""
    if plan.colours is None:
        yield None
        return
    with plan.read() as reader:

        def read(first: int, count: int) -> tuple[Floats, Mask]:
            raster = reader.read(first, count)
            return as_unit(raster.pixels), raster.valid

        yield ColourField(plan.colours, plan.grid.shape, read)


def filling(model: HeightModel) -> Pixels:
    """Return the colour (3,) of missing pixels: the model's mean, to it neither dark nor bright.

    Bytes, so that neighbours of which one is read as bytes and one as real numbers get the same.
    """
    colour: Pixels = np.rint(np.asarray(model.card.mean) * 255).astype(np.uint8)
    return colour


def columns_with_data(plan: TilesToPredict, strip: Strip) -> list[int]:
    """Return the tiles of a strip whose part of the map has any data."""
    rows = plan.tiles.rows[strip.index].used
    return [
        column
        for column, span in enumerate(plan.tiles.columns)
        if strip.valid[rows, span.written].any()
    ]


def cut(pixels: Pixels, down: Span, across: Span) -> Pixels:
    """Return one tile (3, side, side) of a strip; beyond a small map it is mirrored."""
    tile = pixels[:, :, across.start : across.stop]
    missing = (down.stop - down.start - tile.shape[1], across.stop - across.start - tile.shape[2])
    if not any(missing):
        return tile
    return np.pad(tile, ((0, 0), (0, missing[0]), (0, missing[1])), mode="symmetric")
