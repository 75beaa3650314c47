"""Predicted beside true heights on pairs of imagery and lidar, block of ground by block."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from canopy.calibration.conformal import PlotSample
from canopy.errors import SettingsError
from canopy.evaluation.area_means import AreaMeans, Cells
from canopy.evaluation.height_source import open_heights
from canopy.evaluation.read_pairs import shared_part
from canopy.mapping.map_heights import adapted
from canopy.mapping.plan import plan_map
from canopy.mapping.prediction import finished_rows
from geo.registration.moved_raster import moved_transform
from geo.scene import open_scene
from geo.spatial_split import PlotBox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from rasterio.crs import CRS

    from canopy.chips.pairing import PairFiles
    from canopy.colour_matching import ColourMatcher
    from canopy.evaluation.height_source import HeightSource
    from canopy.height_models.height_model import HeightModel
    from canopy.mapping.plan import MapPlan
    from canopy.mapping.prediction import FinishedRows
    from canopy.mapping.settings import MapSettings
    from geo.grid import Grid

    Progress = Callable[[int, int], None]

log = logging.getLogger(__name__)

LEAST_KNOWN = 0.25
"""Share of a block that must have imagery and lidar: a sliver would weigh as much as a plot."""

MOST_PIXELS = 2000
"""Pixels taken of a block: its neighbours say the same, and a block weighs as one draw anyway."""


@dataclass(frozen=True, kw_only=True)
class Predicting:
    """How pairs are predicted.

    Attributes:
        model: what predicts.
        settings: of the maps to be: radiometry and what the machine takes.
        colours: what matches the colours of aerial images, where that is asked for.
        block_m: side of a block of ground [m]; an image of less than two is a block of its own.
        seed: chooses the pixels of a block.
    """

    model: HeightModel
    settings: MapSettings
    colours: ColourMatcher | None
    block_m: float
    seed: int = 0


def sample_pairs(
    pairs: Sequence[PairFiles], how: Predicting, progress: Progress | None = None
) -> list[PlotSample]:
    """Return the blocks of ground of all pairs; ground under two images counts once.

    Args:
        pairs: imagery and lidar.
        how: how they are predicted.
        progress: told how many pairs are finished, and of how many.

    Raises:
        SceneError: a file cannot be read.
        SettingsError: a file of heights has no place on Earth, or its image has none.
    """
    found: list[PlotSample] = []
    for number, files in enumerate(pairs):
        samples = list(sample_pair(files, how))
        if not samples:
            log.warning("%s has hardly any ground with imagery and lidar: left out", files.name)
        found += samples
        if progress:
            progress(number + 1, len(pairs))
    return counted_once(found)


def sample_pair(files: PairFiles, how: Predicting) -> Iterator[PlotSample]:
    """Yield the blocks of ground of a pair, predicted as a map of it would be.

    Raises:
        SceneError: a file cannot be read.
        SettingsError: one of both files has no CRS.
    """
    scene = open_scene(files.image)
    model = adapted(how.model, how.settings)
    plan = replace(plan_map(scene, model, how.settings, how.colours), scaled=True)
    lidar = open_heights(files.heights)
    if lidar.grid.crs is None or plan.grid.crs is None:
        lacking = files.heights if lidar.grid.crs is None else files.image
        msg = f"{lacking} has no CRS: a pair is matched by its coordinates, georeference it"
        raise SettingsError(msg)
    lidar = moved(lidar, files.shift_m, plan.grid.crs)
    if shared_part(plan.grid, lidar.grid) is None:
        return
    with lidar.open() as reader, closing(finished_rows(plan, model)) as rows:
        means = AreaMeans(reader, plan.grid)
        for strip in block_rows(rows, cuts(plan.grid.height, block_px(plan, how.block_m))):
            true, known = means.read(strip.cells)
            yield from blocks_of(strip, true, known, files, how, plan)


def moved(lidar: HeightSource, shift_m: tuple[float, float], crs: CRS) -> HeightSource:
    """Return heights whose place is moved by metres of a CRS, east and north."""
    if not any(shift_m):
        return lidar
    placed = moved_transform(lidar.grid, shift_m, crs)
    return replace(lidar, grid=replace(lidar.grid, transform=placed))


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockRow:
    """Rows of an image that hold a row of blocks.

    Attributes:
        cells: where they lie on the model's grid.
        heights, scale: predicted [m] (rows, width).
        valid: where the image has data (rows, width), True = valid.
    """

    cells: Cells
    heights: NDArray[np.float32]
    scale: NDArray[np.float32]
    valid: NDArray[np.bool_]


def block_px(plan: MapPlan, block_m: float) -> int:
    """Return the side of a block [px]: an image of less than two blocks is one."""
    side = max(1, round(block_m / plan.grid.pixel_size[0]))
    longest = max(plan.grid.shape)
    return longest if longest < 2 * side else side


def cuts(length: int, side: int) -> list[int]:
    """Return where an axis is cut into parts of about a side, its ends included [px]."""
    count = max(1, round(length / side))
    return [round(index * length / count) for index in range(count + 1)]


def block_rows(rows: Iterable[FinishedRows], edges: Sequence[int]) -> Iterator[BlockRow]:
    """Put finished rows together to rows of blocks."""
    waiting: list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]] = []
    start, number = 0, 1
    for finished in rows:
        scale = finished.scale if finished.scale is not None else finished.heights
        waiting.append((finished.heights, scale, finished.valid))
        # As many rows of blocks as are whole by now.
        while (
            number < len(edges) and start + sum(len(part[0]) for part in waiting) >= edges[number]
        ):
            heights, scales, valid = (np.concatenate(parts) for parts in zip(*waiting, strict=True))
            count = edges[number] - start
            cells = Cells(row=start, column=0, height=count, width=heights.shape[1])
            yield BlockRow(
                cells=cells, heights=heights[:count], scale=scales[:count], valid=valid[:count]
            )
            waiting = [(heights[count:], scales[count:], valid[count:])]
            start, number = edges[number], number + 1


def blocks_of(
    strip: BlockRow,
    true: NDArray[np.float64],
    known: NDArray[np.bool_],
    files: PairFiles,
    how: Predicting,
    plan: MapPlan,
) -> Iterator[PlotSample]:
    """Yield the blocks of a row of them that have enough imagery and lidar."""
    usable = strip.valid & known & np.isfinite(strip.heights)
    edges = cuts(strip.cells.width, block_px(plan, how.block_m))
    alone = len(edges) == 2 and strip.cells.height == plan.grid.height  # noqa: PLR2004 - one block
    for left, right in pairwise(edges):
        inside = usable[:, left:right]
        if inside.mean() < LEAST_KNOWN:
            continue
        rows, columns = chosen(inside, [how.seed, strip.cells.row, left])
        place = rows, columns + left
        part = plan.grid.part(strip.cells.row, left, strip.cells.height, right - left)
        yield PlotSample(
            plot=files.name if alone else f"{files.name} {strip.cells.row},{left}",
            site=files.site,
            image=files.name,
            box=box_of(part),
            heights=strip.heights[place],
            scale=strip.scale[place],
            true=true[place].astype(np.float32),
        )


def chosen(usable: NDArray[np.bool_], seed: Sequence[int]) -> tuple[NDArray[np.intp], ...]:
    """Return rows and columns of the usable pixels (rows, columns), of many only some by chance."""
    places = np.flatnonzero(usable)
    if len(places) > MOST_PIXELS:
        rng = np.random.default_rng(seed)
        places = np.sort(rng.choice(places, MOST_PIXELS, replace=False))
    return np.unravel_index(places, usable.shape)


def box_of(grid: Grid) -> PlotBox:
    """Return the ground of a grid, of a place that is its CRS: others cannot be compared."""
    left, bottom, right, top = grid.bounds
    crs = grid.crs.to_string() if grid.crs else ""
    return PlotBox(site=crs, left=left, bottom=bottom, right=right, top=top)


def counted_once(samples: Sequence[PlotSample]) -> list[PlotSample]:
    """Leave out blocks whose centre lies on an earlier block of another image."""
    kept: list[PlotSample] = []
    for sample in samples:
        x = (sample.box.left + sample.box.right) / 2
        y = (sample.box.bottom + sample.box.top) / 2
        if not any(
            other.image != sample.image and other.box.site == sample.box.site
            and other.box.left <= x < other.box.right and other.box.bottom <= y < other.box.top
            for other in kept
        ):  # fmt: skip
            kept.append(sample)
    if left_out := len(samples) - len(kept):
        log.info("%d blocks of ground lie under two images and are counted once", left_out)
    return kept
