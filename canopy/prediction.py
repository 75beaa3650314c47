"""From strips of a scene to finished rows of heights: read, predict, sew, in a stream."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from canopy.colour_field import ColourField
from canopy.errors import RunError
from canopy.prefetch import prefetched
from canopy.radiometry import as_unit
from geo.axis_weights import HALF, LEAST_WEIGHT
from geo.scene_reader import read_on
from geo.tiles import Mosaic

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from canopy.colour_field import Floats
    from canopy.forward import Forward
    from canopy.height_model import HeightModel
    from canopy.map_plan import MapPlan
    from geo.raster import Mask, Pixels
    from geo.scene_reader import StripReader
    from geo.tiles import Heights, Span

    Progress = Callable[[int, int], None]

LAYERS = 2
"""Heights, and the scale of their errors."""


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


@dataclass(frozen=True, kw_only=True)
class FinishedRows:
    """Rows of the map that no later tile changes.

    Attributes:
        heights: (rows, width) [m]; NaN where no tile was run.
        scale: of their errors [m], the same; None where the plan asks for none.
        valid: (rows, width), True where the scene has data.
        carry: what the mosaic needs to go on after them.
        run: tiles predicted for them.
        skipped: tiles left out because the scene has no data there.
    """

    heights: Heights
    scale: Heights | None
    valid: Mask
    carry: Heights | None
    run: int
    skipped: int


def finished_rows(
    plan: MapPlan,
    model: HeightModel,
    *,
    first: int = 0,
    carry: Heights | None = None,
    progress: Progress | None = None,
) -> Generator[FinishedRows]:
    """Yield the rows of a map from top to bottom; reading goes on while the model works.

    Args:
        plan: what is mapped.
        model: what predicts.
        first: row of tiles to begin with.
        carry: what the mosaic kept after the row of tiles before it.
        progress: told the number of finished tiles and of all tiles.

    Raises:
        SceneError: the scene cannot be read to its end.
    """
    mosaic = Mosaic(plan.tiles, carry, layers=LAYERS if plan.scaled else 0)
    across = len(plan.tiles.columns)
    fill = filling(model, plan)
    batch = plan.settings.batch or forward_of(plan, model).batch_for(longest_side(plan))
    with prefetched(read_strips(plan, first, fill)) as strips:
        for strip in strips:
            span = plan.tiles.rows[strip.index]
            wanted = columns_with_data(plan, strip)
            tiles = predict(plan, model, strip, batches(wanted, batch), progress)
            rows = mosaic.add_row(strip.index, tiles)
            if progress:
                progress((strip.index + 1) * across, plan.tiles.count)
            top = span.rise[0] - span.start
            yield FinishedRows(
                heights=rows[..., 0] if plan.scaled else rows,
                scale=rows[..., 1] if plan.scaled else None,
                valid=strip.valid[top : top + len(rows)],
                carry=mosaic.carry,
                run=len(wanted),
                skipped=across - len(wanted),
            )


def read_strips(plan: MapPlan, first: int, fill: Pixels) -> Generator[Strip]:
    """Yield what each row of tiles reads; rows that two strips share are read once.

    Args:
        plan: what is mapped.
        first: row of tiles to begin with.
        fill: what stands where the scene has no data (3,).
    """
    spans = plan.tiles.rows
    strip: Strip | None = None
    # On the way back to the scene's own pixels, each of them that is valid needs a height.
    least = LEAST_WEIGHT if plan.settings.grid == "scene" else HALF
    with read_on(plan.scene, plan.grid, least=least) as reader, colour_field(plan) as field:
        for index in range(first, len(spans)):
            span = spans[index]
            shared = spans[index - 1].stop - span.start if strip else 0
            rows = range(span.start + shared, min(span.stop, plan.grid.height))
            pixels, valid = read_rows(plan, reader, rows)
            if field:
                pixels = field.apply(as_unit(pixels), rows.start)
            if not valid.all():
                pixels = np.where(valid, pixels, fill[:, None, None])
            if strip and shared:
                pixels = np.concatenate([strip.pixels[:, -shared:], pixels], axis=1)
                valid = np.concatenate([strip.valid[-shared:], valid])
            strip = Strip(index=index, pixels=pixels, valid=valid)
            yield strip


def read_rows(plan: MapPlan, reader: StripReader, rows: range) -> tuple[Pixels, Mask]:
    """Return rows of a scene, stretched where it is, and where it has data."""
    raster = reader.read(rows.start, len(rows))
    return plan.stretch.apply(raster.pixels) if plan.stretch else raster.pixels, raster.valid


@contextmanager
def colour_field(plan: MapPlan) -> Iterator[ColourField | None]:
    """Lend what matches the colours of a scene, with a reader of its own; None where they stay."""
    if plan.colours is None:
        yield None
        return
    with read_on(plan.scene, plan.grid) as reader:

        def read(first: int, count: int) -> tuple[Floats, Mask]:
            pixels, valid = read_rows(plan, reader, range(first, first + count))
            return as_unit(pixels), valid

        yield ColourField(plan.colours, plan.grid.shape, read)


def filling(model: HeightModel, plan: MapPlan) -> Pixels:
    """Return the colour (3,) of missing pixels: the model's mean, to it neither dark nor bright."""
    mean = np.asarray(model.card.mean)
    real = plan.stretch or plan.colours
    return mean.astype(np.float32) if real else np.rint(mean * 255).astype(np.uint8)


def columns_with_data(plan: MapPlan, strip: Strip) -> list[int]:
    """Return the tiles of a strip whose part of the map has any data."""
    rows = plan.tiles.rows[strip.index].used
    return [
        column
        for column, span in enumerate(plan.tiles.columns)
        if strip.valid[rows, span.written].any()
    ]


def predict(
    plan: MapPlan,
    model: HeightModel,
    strip: Strip,
    batches: Iterable[list[int]],
    progress: Progress | None,
) -> Iterator[tuple[int, Heights]]:
    """Yield the heights [m] of a strip's tiles, in order, a batch at a time.

    Where the plan asks for the scale of errors, a tile has both as layers (rows, columns, 2): what
    is sewn is what a calibration compared, and an interval follows from it afterwards.
    """
    before = strip.index * len(plan.tiles.columns)
    down = plan.tiles.rows[strip.index]
    for batch in batches:
        tiles = [cut(strip.pixels, down, plan.tiles.columns[column]) for column in batch]
        heights = layers_of(plan, model, np.stack(tiles))
        if not np.isfinite(heights).all():
            msg = (
                f"{model.card.name} predicts heights that are no numbers: its weights are broken "
                "or its input is, see canopy models verify"
            )
            raise RunError(msg)
        yield from zip(batch, heights, strict=True)
        if progress:
            progress(before + batch[-1] + 1, plan.tiles.count)


def layers_of(plan: MapPlan, model: HeightModel, tiles: Pixels) -> Heights:
    """Return heights (tiles, rows, columns), or heights and scale (tiles, rows, columns, 2) [m]."""
    if plan.scaled:
        return np.stack(model.predict_with_scale(tiles), axis=-1)
    return model.predict(tiles)


def forward_of(plan: MapPlan, model: HeightModel) -> Forward:
    """Return what runs the network for a plan."""
    if plan.scaled and model.scale == "bins":
        return model.forward_with_spread
    return model.forward


def longest_side(plan: MapPlan) -> int:
    """Return the longest side of a plan's tiles [px]."""
    return max(span.stop - span.start for span in (plan.tiles.rows[0], plan.tiles.columns[0]))


def batches(columns: list[int], most: int) -> Iterator[list[int]]:
    """Yield the columns of a strip, at most some at once.

    Batches never reach into the next strip, so that a resumed run predicts the same ones. They are
    as equal as can be: a lone last tile costs more than its share.
    """
    count = -(-len(columns) // most)
    for index in range(count):
        yield columns[index * len(columns) // count : (index + 1) * len(columns) // count]


def cut(pixels: Pixels, down: Span, across: Span) -> Pixels:
    """Return one tile (3, side, side) of a strip; beyond a small map it is mirrored."""
    tile = pixels[:, :, across.start : across.stop]
    missing = (down.stop - down.start - tile.shape[1], across.stop - across.start - tile.shape[2])
    if not any(missing):
        return tile
    return np.pad(tile, ((0, 0), (0, missing[0]), (0, missing[1])), mode="symmetric")
