"""What a scheduler runs: the tiles of a piece of a map, and their heights sewn to a chunk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from canopy.arrays.windows import Rectangle, validity
from canopy.inference_threads import submitting
from canopy.mapping.map_heights import stored
from canopy.mapping.prediction import LAYERS, FinishedRows
from canopy.mapping.strips import Strip, columns_with_data, filling
from canopy.mapping.tile_heights import predict_tiles
from canopy.radiometry import as_unit, percentile_stretch
from geo.raster import Raster
from geo.tiles import Mosaic, TilePlan, moved

if TYPE_CHECKING:
    from canopy.arrays.windows import ArrayWindows, Shape
    from canopy.mapping.plan import MapPlan
    from canopy.radiometry import Stretch
    from canopy.shared_model import SharedModel
    from geo.raster import Mask, Pixels
    from geo.scene import Scene
    from geo.tiles import Heights, Span

    Blocks = list[list[list[Pixels]]]


@dataclass(frozen=True, kw_only=True)
class PieceJob:
    """All that pieces of one map have in common.

    A piece is some neighbouring tiles of one row, predicted at once: always the same ones, so that
    the heights depend neither on the chunks of the imagery nor on those of the map.

    Attributes:
        plan: how the imagery becomes the map.
        windows: how parts of the model's grid are read.
        columns: the first column of tiles of each piece, and the end of the last.
        samples: whether the stretch is that of a sample of the imagery, not the plan's.
    """

    plan: MapPlan
    windows: ArrayWindows
    columns: tuple[int, ...]
    samples: bool = False

    @property
    def across(self) -> int:
        """Pieces side by side."""
        return len(self.columns) - 1

    def spans(self, piece: int) -> tuple[Span, ...]:
        """Return the columns of tiles in a column of pieces."""
        return self.plan.tiles.columns[self.columns[piece] : self.columns[piece + 1]]

    def rows_read(self, row: int) -> range:
        """Return the rows of the model's grid that a row of tiles reads."""
        span = self.plan.tiles.rows[row]
        return range(span.start, min(span.stop, self.plan.grid.height))

    def columns_read(self, piece: int) -> range:
        """Return the columns of the model's grid that a column of pieces reads."""
        spans = self.spans(piece)
        return range(spans[0].start, min(spans[-1].stop, self.plan.grid.width))

    def columns_finished(self, piece: int) -> range:
        """Return the columns of the map that a column of pieces finishes, of pieces before too."""
        spans = self.spans(piece)
        last = piece + 1 == self.across
        return range(spans[0].rise[0], spans[-1].fall[1] if last else spans[-1].fall[0])

    def rows_finished(self, row: int) -> range:
        """Return the rows of the map that a row of tiles finishes."""
        span = self.plan.tiles.rows[row]
        last = row + 1 == len(self.plan.tiles.rows)
        return range(span.rise[0], span.fall[1] if last else span.fall[0])


class Piece(NamedTuple):
    """The heights of a piece's tiles, not sewn yet.

    Attributes:
        columns: which columns of tiles they are; those without data are left out.
        heights: theirs [m] (tiles, rows, columns), or with the scale of errors as last axis.
        valid: True where the imagery has data, of the part of the map that the piece finishes.
    """

    columns: list[int]
    heights: Heights
    valid: Mask


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a piece lies.

    Attributes:
        row: which row of tiles.
        piece: which piece of the row.
        needed: the pixels of the imagery it is made from.
        first: row and column at which the first block of the imagery begins that holds them.
    """

    row: int
    piece: int
    needed: Rectangle
    first: Shape


def predict_piece(
    job: PieceJob, model: SharedModel, stretch: Stretch | None, place: Place, blocks: Blocks
) -> Piece:
    """Read and predict one piece.

    Args:
        job: what all pieces have in common.
        model: what predicts.
        stretch: how pixel values become what the model expects; None for bytes as they are.
        place: which piece it is.
        blocks: the blocks of the imagery that it reads, by bands, rows and columns.

    Raises:
        ModelError: the model cannot be loaded here.
        RunError: it predicts what is no height.
    """
    loaded = model.load()
    plan = piece_plan(replace(job.plan, stretch=stretch), job.spans(place.piece), place.row)
    rows, columns = job.rows_read(place.row), job.columns_read(place.piece)
    part = Rectangle(rows.start, rows.stop, columns.start, columns.stop)
    pixels, valid = job.windows.read(blocks, place.first, place.needed, part)
    if stretch:
        pixels = stretch.apply(pixels)
    fill = filling(loaded)
    colour = as_unit(fill) if stretch else fill
    pixels = np.where(valid, pixels, colour[:, None, None])
    strip = Strip(index=0, pixels=pixels, valid=valid)
    wanted = columns_with_data(plan, strip)
    heights: Heights = np.empty(0, np.float32)
    if wanted:
        # Schedulers run as many tasks at once as they like.
        with submitting(loaded.device) as submit:
            heights = submit(predict_tiles, plan, loaded, strip, wanted).result()
    down, right = job.rows_finished(place.row), job.columns_finished(place.piece)
    return Piece(
        columns=[job.columns[place.piece] + column for column in wanted],
        heights=heights,
        valid=valid[
            down.start - rows.start : down.stop - rows.start,
            right.start - columns.start : right.stop - columns.start,
        ],
    )


def piece_plan(plan: MapPlan, spans: tuple[Span, ...], row: int) -> MapPlan:
    """Return the plan of one piece alone, whose columns count from the first that it reads."""
    columns = moved(spans, -spans[0].start)
    width = columns[-1].fall[1]
    tiles = TilePlan(
        height=plan.tiles.height, width=width, rows=(plan.tiles.rows[row],), columns=columns
    )
    return replace(plan, tiles=tiles)


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Which part of a map a chunk is.

    Attributes:
        rows: its rows of tiles.
        pieces: its columns of pieces.
    """

    rows: range
    pieces: range

    @property
    def pieces_read(self) -> range:
        """Columns of pieces that have a part in it: one more to the left."""
        return range(max(0, self.pieces.start - 1), self.pieces.stop)

    @property
    def rows_read(self) -> range:
        """Rows of tiles that have a part in it: one more above."""
        return range(max(0, self.rows.start - 1), self.rows.stop)


def sew_chunk(job: PieceJob, chunk: Chunk, pieces: list[list[Piece]]) -> Heights:
    """Sew the heights of tiles to one chunk of a map.

    Args:
        job: what all pieces have in common.
        chunk: which part of the map it is.
        pieces: the pieces that have a part in it, by rows and columns.

    Returns:
        Heights [m] (rows, columns), NaN where the imagery has no data; or with intervals (3, rows,
        columns): heights, lower and upper ends.
    """
    plan = job.plan
    spans = [span for piece in chunk.pieces_read for span in job.spans(piece)]
    # The first tile's seam with those to its left lies outside of the chunk.
    origin, first = spans[0].rise[0], job.columns[chunk.pieces_read.start]
    tiles = TilePlan(
        height=plan.tiles.height,
        width=spans[-1].fall[1] - origin,
        rows=plan.tiles.rows,
        columns=moved(tuple(spans), -origin),
    )
    mosaic = Mosaic(tiles, layers=LAYERS if plan.scaled else 0)
    columns = [job.columns_finished(piece) for piece in chunk.pieces]
    wanted = slice(columns[0].start - origin, columns[-1].stop - origin)
    finished = []
    for row, across in zip(chunk.rows_read, pieces, strict=True):
        sewn = mosaic.add_row(row, tiles_of(across, first))[:, wanted]
        if row in chunk.rows:
            valid = np.concatenate([each.valid for each in across[-len(chunk.pieces) :]], axis=1)
            finished.append(finished_part(sewn, valid, plan))
    return np.concatenate(finished, axis=-2)


def tiles_of(pieces: list[Piece], first: int) -> list[tuple[int, Heights]]:
    """Return the tiles of some pieces, their columns counted from the first one."""
    return [
        (column - first, heights)
        for piece in pieces
        for column, heights in zip(piece.columns, piece.heights, strict=True)
    ]


def finished_part(sewn: Heights, valid: Mask, plan: MapPlan) -> Heights:
    """Return heights as the map keeps them: (rows, columns), or (3, rows, columns) [m]."""
    part = FinishedRows(
        heights=sewn[..., 0] if plan.scaled else sewn,
        scale=sewn[..., 1] if plan.scaled else None,
        valid=valid,
        carry=None,
        run=0,
        skipped=0,
    )
    kept = stored(part, plan)
    return np.moveaxis(kept, -1, 0) if plan.interval else kept


def stretch_of(sample: Pixels, scene: Scene) -> Stretch:
    """Return the automatic stretch of a scene from a sample of it (bands, rows, columns)."""
    valid = validity(sample, scene)
    return percentile_stretch(Raster(pixels=sample[:3], valid=valid, grid=scene.grid))
