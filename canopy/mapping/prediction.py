"""From strips of a scene to finished rows of heights: read, predict, sew, in a stream."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from canopy.inference_threads import submitting, threads_on
from canopy.mapping.prefetch import prefetched
from canopy.mapping.strips import columns_with_data, filling, read_strips
from canopy.mapping.tile_heights import batches, forward_of, longest_side, predict_tiles
from geo.tiles import Mosaic

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from canopy.height_models.height_model import HeightModel
    from canopy.inference_threads import Submit
    from canopy.mapping.strips import Strip, TilesToPredict
    from geo.raster import Mask
    from geo.tiles import Heights

    Progress = Callable[[int, int], None]

LAYERS = 2
"""Heights, and the scale of their errors."""


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
