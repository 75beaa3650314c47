"""Footprints with the windows of imagery around them: gathered from pairs, split by ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyproj
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from canopy.correction.footprints import read_footprints
from canopy.correction.settings import CorrectionSettings
from canopy.correction_network.imagery import open_imagery
from canopy.correction_network.metadata import Metadata, joined
from canopy.correction_network.place_facts import ViewFacts, facts_of_item, metadata_at
from canopy.correction_network.windows import read_windows
from canopy.errors import SettingsError
from canopy.evaluation.height_source import HeightSource
from geo.spatial_split import PlotBox, spatial_folds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from canopy.correction_network.imagery import Imagery
    from canopy.correction_network.training_run import CorrectionRun, ImagePair

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

EQUAL_AREA, GLOBE, GEOCENTRIC = "EPSG:6933", "EPSG:4979", "EPSG:4978"
"""Blocks of ground are squares of a global equal-area grid; distances are taken through the Earth,
so that no border of a zone lies between neighbours."""

FEWEST = 8
"""Footprints to learn from, and again kept aside, at least."""


@dataclass(frozen=True, kw_only=True)
class Shots:
    """Footprints over one image whose windows may be whole.

    Attributes:
        imagery: what they lie over.
        middles: row and column of each on the grid of the imagery (n, 2) [px].
        rh: relative heights (n,) [m].
        metadata: what is known of each.
    """

    imagery: Imagery
    middles: Indices
    rh: Array
    metadata: Metadata


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What is learned from, and what is kept aside.

    Attributes:
        windows: bytes (n, 3, window_px, window_px), in a file.
        rh: relative heights (n,) [m].
        metadata: what is known of each.
        train: which are learned from.
        aside: which are kept aside; no window of one shares ground with one of the other.
        aside_block: number of the block of ground of each of these.
    """

    windows: NDArray[np.uint8]
    rh: Array
    metadata: Metadata
    train: Indices
    aside: Indices
    aside_block: Indices


def gather(
    run: CorrectionRun,
    home: Path,
    file: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Samples:
    """Read all footprints and the windows around them.

    Args:
        run: the configuration.
        home: folder that paths are relative to.
        file: where windows are kept while the run lasts.
        progress: told how many of all pairs are read.

    Raises:
        CanopyError: footprints and images do not fit together, or are too few.
        GeoError: a file cannot be read.
    """
    every = [shots_of(pair, run, home) for pair in run.pairs]
    side, count = run.architecture.window_px, sum(len(shots.rh) for shots in every)
    refuse_few(count, "footprints whose window may lie in their image")
    windows = np.lib.format.open_memmap(
        file, mode="w+", dtype=np.uint8, shape=(count, 3, side, side)
    )
    whole, first = np.zeros(count, bool), 0
    for number, shots in enumerate(every):
        read_into(windows[first : first + len(shots.rh)], whole[first:], shots)
        first += len(shots.rh)
        if progress is not None:
            progress(number + 1, len(every))
    windows.flush()
    metadata = joined([shots.metadata for shots in every])
    kept = np.flatnonzero(whole)
    refuse_few(len(kept), "footprints with full imagery in their window")
    train, aside, blocks = split(metadata.part(kept), run)
    return Samples(
        windows=windows,
        rh=np.concatenate([shots.rh for shots in every]),
        metadata=metadata,
        train=kept[train],
        aside=kept[aside],
        aside_block=blocks,
    )


def shots_of(pair: ImagePair, run: CorrectionRun, home: Path) -> Shots:
    """Return the footprints of a pair that may be learned from."""
    chosen = run.samples
    imagery = open_imagery(str(resolved(home, pair.image)), chosen.gsd_m)
    grid = imagery.grid
    source = HeightSource(
        path=imagery.scene.source, grid=grid, pixel_m=(chosen.gsd_m, chosen.gsd_m), scale=1.0,
        offset=0.0, dtype="float32", date=None, evidence=None,
    )  # fmt: skip
    settings = CorrectionSettings(
        percentile=chosen.percentile, rh_column=chosen.rh_column or None, filters=chosen.filters,
        least_sensitivity=chosen.least_sensitivity, full_power=chosen.full_power,
    )  # fmt: skip
    shots = read_footprints(resolved(home, pair.footprints), source, settings)
    places = np.stack([shots.down, shots.right], axis=1) / chosen.gsd_m
    middles = np.rint(places).astype(np.int64)
    half = run.architecture.window_px // 2
    kept = (middles >= half).all(axis=1) & (middles + half <= np.array(grid.shape)).all(axis=1)
    kept &= shots.rh <= chosen.tallest_m
    metadata = metadata_at(grid, places[kept], facts_of_pair(pair, home))
    return Shots(imagery=imagery, middles=middles[kept], rh=shots.rh[kept], metadata=metadata)


def resolved(home: Path, name: str) -> Path:
    """Return a path relative to a folder."""
    return home / name


def facts_of_pair(pair: ImagePair, home: Path) -> ViewFacts:
    """Return how the image of a pair was taken: as is said of it, else as its item does."""
    said = ViewFacts(
        sun_elevation=pair.sun_elevation,
        off_nadir=pair.off_nadir,
        slope=pair.slope,
        terrain=str(resolved(home, pair.terrain)) if pair.terrain else None,
    )
    return said.over(facts_of_item(resolved(home, pair.item))) if pair.item else said


def read_into(windows: NDArray[np.uint8], whole: NDArray[np.bool_], shots: Shots) -> None:
    """Read the windows of some shots, and note which are whole."""
    side, shape = windows.shape[-1], shots.imagery.grid.shape
    with shots.imagery.read() as reader:
        for which, pixels in read_windows(reader, shape, shots.middles, side):
            if pixels.dtype != np.uint8:
                pixels = np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8)  # noqa: PLW2901
            windows[which], whole[which] = pixels, True


def split(metadata: Metadata, run: CorrectionRun) -> tuple[Indices, Indices, Indices]:
    """Return which footprints are learned from, which are kept aside, and the blocks of these.

    Blocks of ground are dealt whole. Footprints so near to one kept aside that their windows could
    share ground are neither.

    Raises:
        SettingsError: too few blocks, or too few footprints on either side.
    """
    chosen = run.samples
    move = pyproj.Transformer.from_crs("EPSG:4326", EQUAL_AREA, always_xy=True)
    flat = np.stack(move.transform(metadata.longitude, metadata.latitude), axis=1)
    blocks, number = np.unique(np.floor(flat / chosen.block_m), axis=0, return_inverse=True)
    folds = max(2, round(1 / chosen.aside))
    if len(blocks) < folds:
        msg = (
            f"{len(blocks)} blocks of ground of {chosen.block_m:g} m, at least {folds} are needed "
            f"to keep {chosen.aside:g} of them aside: give more footprints, or a smaller block_m"
        )
        raise SettingsError(msg)
    fold = np.array(
        spatial_folds([box_of(block) for block in blocks], folds=folds, seed=chosen.seed)
    )
    is_aside = fold[number.ravel()] == 0
    near = near_to(metadata, is_aside, np.sqrt(2) * run.architecture.window_px * chosen.gsd_m)
    train, aside = np.flatnonzero(~is_aside & ~near), np.flatnonzero(is_aside)
    for indices, name in ((train, "learned from"), (aside, "kept aside")):
        refuse_few(len(indices), f"footprints to be {name}", "or choose another block_m")
    return train, aside, number.ravel()[aside]


def box_of(block: Array) -> PlotBox:
    """Return a block as the splitting of ground takes it."""
    left, bottom = block.tolist()
    return PlotBox(site="", left=left, bottom=bottom, right=left + 1, top=bottom + 1)


def near_to(metadata: Metadata, aside: NDArray[np.bool_], reach_m: float) -> NDArray[np.bool_]:
    """Return which places lie within reach of one that is kept aside (n,)."""
    move = pyproj.Transformer.from_crs(GLOBE, GEOCENTRIC, always_xy=True)
    level = np.zeros(len(metadata))
    places = np.stack(move.transform(metadata.longitude, metadata.latitude, level), axis=1)
    distance, _ = cKDTree(places[aside]).query(places)
    return np.asarray(distance < reach_m)


def refuse_few(count: int, what: str, else_: str = "") -> None:
    """Refuse to go on with fewer than a few.

    Raises:
        SettingsError: there are fewer.
    """
    if count < FEWEST:
        msg = f"{count} {what}, at least {FEWEST} are needed: give more images and footprints"
        raise SettingsError(f"{msg}, {else_}" if else_ else msg)


def constants(
    windows: NDArray[np.uint8], which: Indices
) -> tuple[Sequence[float], Sequence[float]]:
    """Return mean and standard deviation of each colour of some windows, in [0, 1]."""
    step = max(1, len(which) // 500)
    pixels = windows[np.sort(which)[::step]].astype(np.float64) / 255
    mean, std = pixels.mean(axis=(0, 2, 3)), pixels.std(axis=(0, 2, 3))
    return mean.round(4).tolist(), np.maximum(std, 1e-3).round(4).tolist()
