"""From strips of a scene to finished rows of heights: read, predict, sew, in a stream."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from canopy.colour_field import ColourField
from canopy.errors import RunError
from canopy.inference_threads import submitting, threads_on
from canopy.prefetch import prefetched
from canopy.radiometry import as_unit
from geo.tiles import Mosaic

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from canopy.colour_field import Floats
    from canopy.colour_matching import ColourMatcher
    from canopy.forward import Forward
    from canopy.height_model import HeightModel
    from canopy.inference_threads import Submit
    from geo.grid import Grid
    from geo.raster import Mask, Pixels
    from geo.scene_reader import StripReader
    from geo.tiles import Heights, Span, TilePlan

    Progress = Callable[[int, int], None]

LAYERS = 2
"""Heights, and the scale of their errors."""


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


@dataclass(frozen=True, kw_only=True)
class BegunRow:
    """A row of tiles that threads predict.

    Attributes:
        strip: what it reads.
        run: tiles predicted; those without data are left out.
        batches: their columns, and what will be their heights, as far as they are not taken yet.
    """

    strip: Strip
    run: int
    batches: deque[tuple[list[int], Future[Heights]]]

    @property
    def unfinished(self) -> int:
        """Batches that are waiting or running."""
        return sum(not heights.done() for _, heights in self.batches)


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
    plan: TilesToPredict,
    model: HeightModel,
    *,
    first: int = 0,
    carry: Heights | None = None,
    progress: Progress | None = None,
    turn: AbstractContextManager[object] | None = None,
) -> Generator[FinishedRows]:
    """Yield the rows of a map from top to bottom; reading goes on while the model works.

    Batches of tiles run in :mod:`canopy.inference_threads`, so that no bit of a height depends on
    the number of cores.

    Args:
        plan: what is mapped.
        model: what predicts.
        first: row of tiles to begin with.
        carry: what the mosaic kept after the row of tiles before it.
        progress: told the number of finished tiles and of all tiles.
        turn: held while tiles are predicted, and left while reading is waited for; what has begun
            goes on meanwhile.

    Raises:
        SceneError: the scene cannot be read to its end.
        RunError: the model predicts what is no height.
    """
    mosaic = Mosaic(plan.tiles, carry, layers=LAYERS if plan.scaled else 0)
    across = len(plan.tiles.columns)
    reading = prefetched(read_strips(plan, first, filling(model)), turn)
    with reading as strips, submitting(model.device) as submit:
        for row, tiles in predicted_rows(plan, model, strips, submit, progress):
            strip = row.strip
            rows = mosaic.add_row(strip.index, tiles)
            if progress:
                progress((strip.index + 1) * across, plan.tiles.count)
            span = plan.tiles.rows[strip.index]
            top = span.rise[0] - span.start
            yield FinishedRows(
                heights=rows[..., 0] if plan.scaled else rows,
                scale=rows[..., 1] if plan.scaled else None,
                valid=strip.valid[top : top + len(rows)],
                carry=mosaic.carry,
                run=row.run,
                skipped=across - row.run,
            )


def predicted_rows(
    plan: TilesToPredict,
    model: HeightModel,
    strips: Iterator[Strip],
    submit: Submit,
    progress: Progress | None,
) -> Iterator[tuple[BegunRow, Iterator[tuple[int, Heights]]]]:
    """Yield rows of tiles, each with its columns and their heights [m] as they are predicted.

    Rows to come begin as soon as a thread would have nothing to do.

    Raises:
        SceneError: the scene cannot be read to its end; rows that were read come before.
    """
    ahead = RowsAhead(plan, model, strips, submit)
    ahead.keep_busy()
    while ahead.begun:
        row = ahead.begun[0]
        yield row, tiles_of(row, plan, ahead.keep_busy, progress)
        ahead.begun.popleft()
        ahead.keep_busy()
    if ahead.failure:
        raise ahead.failure


class RowsAhead:
    """Rows of tiles that threads predict: this one, and as many to come as keep all threads busy.

    Attributes:
        begun: them; no more than full rows would need for that, since each holds its strip.
        failure: why no more of them can be read.
    """

    def __init__(
        self, plan: TilesToPredict, model: HeightModel, strips: Iterator[Strip], submit: Submit
    ) -> None:
        """Begin nothing yet."""
        self.plan, self.model, self.strips, self.submit = plan, model, strips, submit
        self.batch = plan.batch or forward_of(plan, model).batch_for(longest_side(plan))
        self.threads = threads_on(model.device)
        self.most = 1 + -(-self.threads * self.batch // len(plan.tiles.columns))
        self.begun: deque[BegunRow] = deque()
        self.failure: Exception | None = None
        self.at_end = False

    def keep_busy(self) -> None:
        """Begin rows until no thread waits for one."""
        while not self.at_end and len(self.begun) < self.most and self._may_wait():
            self._begin_next()

    def _may_wait(self) -> bool:
        """Whether a thread has nothing to do, or soon will have."""
        return sum(row.unfinished for row in self.begun) <= self.threads

    def _begin_next(self) -> None:
        strip = None
        try:
            strip = next(self.strips, None)
        except Exception as error:  # noqa: BLE001 - raised when the rows before it are whole
            self.failure = error
        # Beyond the last strip nothing is asked for: the turn would end before its heights come.
        self.at_end = strip is None or strip.index + 1 == len(self.plan.tiles.rows)
        if strip is not None:
            row = begin_row(self.plan, self.model, strip, self.batch, self.submit)
            self.begun.append(row)


def begin_row(
    plan: TilesToPredict, model: HeightModel, strip: Strip, batch: int, submit: Submit
) -> BegunRow:
    """Hand the tiles of a strip to the threads, a batch each."""
    wanted = columns_with_data(plan, strip)
    jobs = [
        (columns, submit(predict_tiles, plan, model, strip, columns))
        for columns in batches(wanted, batch)
    ]
    return BegunRow(strip=strip, run=len(wanted), batches=deque(jobs))


def tiles_of(
    row: BegunRow,
    plan: TilesToPredict,
    keep_busy: Callable[[], None],
    progress: Progress | None,
) -> Iterator[tuple[int, Heights]]:
    """Yield columns of tiles and their heights in order, and let go of them."""
    before = row.strip.index * len(plan.tiles.columns)
    while row.batches:
        keep_busy()
        columns, heights = row.batches.popleft()
        yield from zip(columns, heights.result(), strict=True)
        if progress:
            progress(before + columns[-1] + 1, plan.tiles.count)


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


def predict_tiles(
    plan: TilesToPredict, model: HeightModel, strip: Strip, columns: list[int]
) -> Heights:
    """Return the heights of some tiles of a strip (tiles, rows, columns) [m].

    Where the plan asks for the scale of errors, a tile has both as layers (rows, columns, 2): what
    is sewn is what a calibration compared, and an interval follows from it afterwards.

    Raises:
        RunError: they are no numbers.
    """
    down = plan.tiles.rows[strip.index]
    tiles = [cut(strip.pixels, down, plan.tiles.columns[column]) for column in columns]
    heights = layers_of(plan, model, np.stack(tiles))
    if not np.isfinite(heights).all():
        msg = (
            f"{model.card.name} predicts heights that are no numbers: its weights are broken "
            "or its input is, see canopy models verify"
        )
        raise RunError(msg)
    return heights


def layers_of(plan: TilesToPredict, model: HeightModel, tiles: Pixels) -> Heights:
    """Return heights (tiles, rows, columns), or heights and scale (tiles, rows, columns, 2) [m].

    A tile alone is added up otherwise than among others, which the last bit shows and a height
    rounded from it may: it goes in twice, unless all tiles of the plan go alone.
    """
    if len(tiles) == 1 and plan.batch != 1:
        return layers_of(plan, model, np.concatenate([tiles, tiles]))[:1]
    if plan.scaled:
        return np.stack(model.predict_with_scale(tiles), axis=-1)
    return model.predict(tiles)


def forward_of(plan: TilesToPredict, model: HeightModel) -> Forward:
    """Return what runs the network for a plan."""
    if plan.scaled and model.scale == "bins":
        return model.forward_with_spread
    return model.forward


def longest_side(plan: TilesToPredict) -> int:
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
