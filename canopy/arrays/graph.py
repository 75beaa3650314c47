"""The graph of a lazy map: which blocks of the imagery a piece reads, which pieces a chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph

from canopy.arrays.tasks import Chunk, Place, predict_piece, sew_chunk, stretch_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from canopy.arrays.imagery import ArrayImagery
    from canopy.arrays.tasks import PieceJob
    from canopy.arrays.windows import Rectangle
    from canopy.shared_model import SharedModel

    Key = str | tuple[str | int, ...]
    Graph = dict[Key, Any]

SAMPLE_SIDE = 1024
"""Rows and columns, at most, of the sample that a stretch is chosen from."""

BANDS = ((3,),)
"""Chunks along the bands of heights with intervals."""

NOISE = 1e-10
"""What GDAL adds before it rounds down, so that whole numbers stay themselves [px]."""


def lazy_heights(
    image: ArrayImagery, job: PieceJob, model: SharedModel, token: str, *, chunk_px: int | None
) -> da.Array:
    """Return the heights of imagery, computed when they are needed.

    Args:
        image: the imagery.
        job: what all pieces of the map have in common.
        model: what predicts.
        token: tells this map from all others.
        chunk_px: about how many pixels a side each chunk has.

    Returns:
        (rows, columns), or (3, rows, columns) with intervals [m], float32.
    """
    rows, pieces = chunking(job, chunk_px)
    stretch, sample = stretch_task(image, job, token)
    graph = {
        # Values of their own, so that a worker gets each of them once.
        key_of("job", token): job,
        key_of("model", token): model,
        **stretch,
        **dict(piece_tasks(image, job, token)),
        **dict(chunk_tasks(job, token, rows, pieces)),
    }
    sizes = [
        tuple(finished(part[-1]).stop - finished(part[0]).start for part in parts)
        for parts, finished in ((rows, job.rows_finished), (pieces, job.columns_finished))
    ]
    name = key_of("height", token)
    # dask's own types say less than it does.
    sources: Any = [image.pixels, *sample]
    high = HighLevelGraph.from_collections(name, cast("Any", graph), dependencies=sources)
    chunks = (*BANDS[: bool(job.plan.interval)], *sizes)
    return da.Array(high, name, chunks=chunks, dtype=np.float32)  # type: ignore[no-untyped-call]


def chunk_tasks(
    job: PieceJob, token: str, rows: list[range], pieces: list[range]
) -> Iterator[tuple[Key, Any]]:
    """Yield the tasks that sew chunks, and their keys."""
    bands = (0,) if job.plan.interval else ()
    for i, down in enumerate(rows):
        for j, across in enumerate(pieces):
            chunk = Chunk(rows=down, pieces=across)
            parts = [
                [piece_key(token, row, piece) for piece in chunk.pieces_read]
                for row in chunk.rows_read
            ]
            key = (key_of("height", token), *bands, i, j)
            yield key, (sew_chunk, key_of("job", token), chunk, parts)


def key_of(what: str, token: str) -> str:
    """Return the key of something that all pieces share."""
    return f"canopy-{what}-{token}"


def piece_key(token: str, row: int, piece: int) -> Key:
    """Return the key of a piece."""
    return (key_of("piece", token), row, piece)


def stretch_task(image: ArrayImagery, job: PieceJob, token: str) -> tuple[Graph, list[da.Array]]:
    """Return what makes the stretch, and the sample it is made from, where it needs one."""
    key = key_of("stretch", token)
    if not job.samples:
        return {key: job.plan.stretch}, []
    sample = sampled(image.pixels)
    return {key: (stretch_of, (sample.name, 0, 0, 0), image.scene)}, [sample]


def sampled(pixels: da.Array) -> da.Array:
    """Return every so many pixels (bands, rows, columns), those that GDAL reads of a file."""
    scale = max(1.0, max(pixels.shape[1:]) / SAMPLE_SIDE)
    for axis, length in ((1, pixels.shape[1]), (2, pixels.shape[2])):
        count = max(1, round(length / scale))
        places = np.floor((np.arange(count) + 0.5) * (length / count) + NOISE).astype(int)
        pixels = da.take(pixels, np.minimum(places, length - 1), axis=axis)
    whole: da.Array = pixels.rechunk(-1)  # type: ignore[no-untyped-call]
    return whole


def piece_tasks(image: ArrayImagery, job: PieceJob, token: str) -> Iterator[tuple[Key, Any]]:
    """Yield the tasks that predict pieces, and their keys."""
    shared = [key_of(what, token) for what in ("job", "model", "stretch")]
    needed = job.windows.needed(
        [job.rows_read(row) for row in range(len(job.plan.tiles.rows))],
        [job.columns_read(piece) for piece in range(job.across)],
    )
    blocks = SourceBlocks(image.pixels)
    for row, parts in enumerate(needed):
        for piece, rectangle in enumerate(parts):
            keys, first = blocks.holding(rectangle)
            place = Place(row=row, piece=piece, needed=rectangle, first=first)
            yield piece_key(token, row, piece), (predict_piece, *shared, place, keys)


class SourceBlocks:
    """The blocks of a Dask array (bands, rows, columns)."""

    def __init__(self, pixels: da.Array) -> None:
        """Count where blocks begin."""
        self.name, self.bands = pixels.name, pixels.numblocks[0]
        self.rows, self.columns = (np.cumsum([0, *sizes]) for sizes in pixels.chunks[1:])

    def holding(self, needed: Rectangle) -> tuple[list[list[list[Key]]], tuple[int, int]]:
        """Return the keys of the blocks that hold some pixels, and where the first begins."""
        if needed.empty:
            return [], (0, 0)
        down = overlapping(self.rows, needed.top, needed.bottom)
        across = overlapping(self.columns, needed.left, needed.right)
        keys: list[list[list[Key]]] = [
            [[(self.name, band, row, column) for column in across] for row in down]
            for band in range(self.bands)
        ]
        return keys, (int(self.rows[down.start]), int(self.columns[across.start]))


def overlapping(edges: np.ndarray, start: int, stop: int) -> range:
    """Return which of the blocks between edges hold pixels from a first to before a last."""
    first = int(np.searchsorted(edges, start, side="right")) - 1
    return range(first, int(np.searchsorted(edges, stop, side="left")))


def chunking(job: PieceJob, chunk_px: int | None) -> tuple[list[range], list[range]]:
    """Return the rows of tiles and the columns of pieces of the chunks of a map.

    Args:
        job: what is known of the pieces.
        chunk_px: about how many pixels a side each chunk has; None for one piece each.
    """
    rows = [job.rows_finished(row) for row in range(len(job.plan.tiles.rows))]
    columns = [job.columns_finished(piece) for piece in range(job.across)]
    return grouped(rows, chunk_px or 0), grouped(columns, chunk_px or 0)


def grouped(parts: list[range], most: int) -> list[range]:
    """Return groups of neighbouring parts that have at most some pixels, or one part."""
    groups = [range(1)]
    for index in range(1, len(parts)):
        first = groups[-1].start
        if parts[index].stop - parts[first].start <= most:
            groups[-1] = range(first, index + 1)
        else:
            groups.append(range(index, index + 1))
    return groups
