"""From pairs to a set of chips: read, cut, deal, write."""

from __future__ import annotations

import logging
import re
import shutil
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
from shapely.geometry import MultiPolygon, Polygon

from canopy.chips.black_borders import BlackBorder, words_black
from canopy.chips.card import BLOCKS_PNG, CARD_FILE, HEIGHT_EDGES_M, HEIGHTS_PNG, write_card
from canopy.chips.chip import Chip, Piece, as_chip
from canopy.chips.chip_set import (
    INDEX_FILE,
    SETTINGS_FILE,
    ChipSet,
    write_chips,
    write_settings,
)
from canopy.chips.collages import collages
from canopy.chips.known_ground import KnownGround
from canopy.chips.pairing import find_pairs
from canopy.chips.reading import TALLEST_M, open_pair
from canopy.chips.registering import register_pairs
from canopy.chips.settings import SPLITS, ChipSettings
from canopy.chips.splitting import LEFT_OUT, deal
from canopy.chips.windows import ChipWindow, block_of, starts
from canopy.errors import OutputError, SettingsError
from geo.acquisition import acquisition_from_tags
from geo.ground import longitude_latitude
from geo.outputs import others_in, refuse_missing_folder
from geo.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from canopy.chips.pairing import PairFiles
    from canopy.chips.reading import OpenPair

    Progress = Callable[[int, int], None]

log = logging.getLogger(__name__)

WGS84 = "EPSG:4326"

FILES_OF_A_SET = {INDEX_FILE, SETTINGS_FILE, CARD_FILE, HEIGHTS_PNG, BLOCKS_PNG}
CHIPS_FILE = re.compile(rf"({'|'.join(SPLITS)})-\d{{5,}}\.safetensors")


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What is found before anything is written.

    Attributes:
        pairs: all pairs.
        windows: all windows with enough lidar.
        acquired: when each pair's image was taken, as text; empty where it does not say.
    """

    pairs: list[PairFiles]
    windows: list[ChipWindow]
    acquired: list[str]


def make_chips(
    sources: Sequence[str],
    output: Path,
    settings: ChipSettings,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ChipSet:
    """Cut pairs of imagery and lidar into a set of chips.

    Args:
        sources: as :func:`canopy.chips.pairing.find_pairs` takes them.
        output: the folder of the set; it stands there when it is whole, or not at all.
        settings: how it is cut.
        overwrite: whether a set that stands there is replaced.
        progress: told the number of pairs that are done and of all, twice over: each is read once
            to see where its lidar lies, and once to be cut; three times where they are registered.

    Raises:
        SettingsError: the pairs do not fit, or a split gets nothing.
        OutputError: something stands at the output.
        GeoError: a file cannot be read.
    """
    refuse_occupied(output, overwrite=overwrite)
    pairs = find_pairs(sources)
    registers, all_pairs = settings.register != "off", len(pairs)

    def tell(readings: int, done: int) -> None:
        if progress:
            progress(readings * all_pairs + done, (2 + registers) * all_pairs)

    registered = None
    if registers:
        drop = settings.register == "drop-unclear"
        registered = register_pairs(pairs, drop_unclear=drop, done=partial(tell, 0))
        pairs = registered.pairs
    survey = survey_pairs(pairs, settings, partial(tell, registers))
    splits = deal(survey.windows, settings)
    part = output.with_name(f".{output.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        chips = cut_all(survey, splits, settings, partial(tell, 1 + registers))
        index = write_all(chips, survey, settings, part)
        facts = {
            "pairs": len(pairs),
            "left_out": splits.count(LEFT_OUT),
            "chips": len(index),
            "registration": registered.as_json() if registered else None,
        }
        write_settings(settings, part, facts)
        write_card(part, index, settings, facts)
        put_in_place(part, output)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return ChipSet(folder=output, settings=settings, index=index)


def refuse_occupied(output: Path, *, overwrite: bool) -> None:
    """Refuse to write over what is no set of chips, or may not be replaced.

    Raises:
        OutputError: as said.
    """
    refuse_missing_folder(output)
    if not output.exists():
        return
    if not output.is_dir() or (any(output.iterdir()) and not (output / INDEX_FILE).is_file()):
        msg = f"{output} exists and is no set of chips: choose another output"
        raise OutputError(msg)
    if others := others_in(output, is_of_set):
        msg = (
            f"{output} holds {others} beside a set of chips: move that elsewhere, or choose "
            "another output"
        )
        raise OutputError(msg)
    if any(output.iterdir()) and not overwrite:
        msg = f"{output} exists: choose another output, or replace it with --overwrite"
        raise OutputError(msg)


def is_of_set(name: str) -> bool:
    """Whether a file is one that sets of chips have."""
    return name in FILES_OF_A_SET or CHIPS_FILE.fullmatch(name) is not None


def put_in_place(part: Path, output: Path) -> None:
    """Move a finished folder to where it belongs."""
    old = output.with_name(f".{output.name}.old")
    if output.exists():
        shutil.rmtree(old, ignore_errors=True)
        output.rename(old)
    part.rename(output)
    shutil.rmtree(old, ignore_errors=True)


def survey_pairs(
    pairs: list[PairFiles], settings: ChipSettings, done: Callable[[int], None]
) -> Survey:
    """Look where each pair has lidar; warn of heights that no tree has, and of black borders.

    Raises:
        SettingsError: none has enough.
        GeoError: a file cannot be read.
    """
    windows: list[ChipWindow] = []
    acquired: list[str] = []
    beyond: dict[Path, float] = {}
    black: dict[Path, float] = {}
    for number, files in enumerate(pairs):
        with open_pair(files, settings.gsd_m) as pair:
            taken = acquisition_from_tags(pair.scene.tags)
            acquired.append(taken.moment.date().isoformat() if taken else "")
            found = windows_of(pair, number, settings)
        windows += found.windows
        if found.beyond_m:
            beyond[files.heights] = found.beyond_m
        if found.black:
            black[files.image] = found.black
        done(number + 1)
    if not windows:
        why = words_beyond(beyond) or "do images and heights lie on the same ground?"
        share = f"{settings.least_known:.0%}"
        msg = f"no window of {len(pairs)} pairs has lidar on {share} of it: {why}"
        raise SettingsError(msg)
    for words in (words_beyond(beyond), words_black(black)):
        if words:
            log.warning("%s", words)
    return Survey(pairs=pairs, windows=windows, acquired=acquired)


def words_beyond(heights: Mapping[Path, float]) -> str:
    """Say which files have heights that no tree has [m], and what to do; empty if none has."""
    if not heights:
        return ""
    path, height = next(iter(heights.items()))
    more = f" (and so in {len(heights) - 1} more)" if len(heights) > 1 else ""
    return (
        f"{path} has heights such as {height:.0f} m{more}: beyond {-TALLEST_M:g} to {TALLEST_M:g} "
        "m they are taken as no data; expected metres above the ground, not above the sea, and "
        "missing pixels declared as nodata"
    )


@dataclass(frozen=True, kw_only=True)
class FoundWindows:
    """What is found in a pair.

    Attributes:
        windows: those where enough is known.
        beyond_m: of the heights that no tree has the one farthest from 0 [m]; 0 if there is none.
        black: share of the image that is black from its border inwards and has heights; 0 where no
            window has much of it.
    """

    windows: list[ChipWindow]
    beyond_m: float
    black: float


def windows_of(pair: OpenPair, number: int, settings: ChipSettings) -> FoundWindows:
    """Return the windows of a pair where enough is known, and what is odd about it."""
    rows, columns = pair.grid.shape
    height, width = min(settings.tile_px, rows), min(settings.tile_px, columns)
    windows, beyond, border = [], 0.0, BlackBorder(pair.grid.shape)
    for row in starts(rows, settings.tile_px):
        strip = pair.read(row, height)
        border.see(row, strip)
        beyond = max(beyond, strip.beyond_m, key=abs)
        for column in starts(columns, settings.tile_px):
            share = float(strip.known[:, column : column + width].mean())
            if share < settings.least_known:
                continue
            grid = pair.grid.part(row, column, height, width)
            windows.append(
                ChipWindow(
                    pair=number,
                    site=pair.files.site,
                    row=row,
                    column=column,
                    height=height,
                    width=width,
                    grid=grid,
                    known=share,
                    block=block_of(grid, settings.block_m),
                )
            )
    return FoundWindows(windows=windows, beyond_m=beyond, black=border.share(windows))


def cut_all(
    survey: Survey, splits: Sequence[str], settings: ChipSettings, done: Callable[[int], None]
) -> Iterator[tuple[str, Chip]]:
    """Yield every chip with its split; small plots wait until all plots of their site were read."""
    side = settings.tile_px
    small: dict[tuple[str, str], list[Piece]] = defaultdict(list)
    numbered = list(zip(survey.windows, splits, strict=True))
    for number, group in groupby(numbered, key=lambda item: item[0].pair):
        for piece, split in pieces_of(survey.pairs[number], group, settings):
            if min(piece.window.height, piece.window.width) == side or not settings.collages:
                yield split, as_chip([(piece, 0, 0)], side)
            else:
                small[split, piece.window.site].append(piece)
        done(number + 1)
    for (split, _), pieces in sorted(small.items(), key=lambda item: item[0]):
        for chip in collages(pieces, side):
            yield split, chip


def pieces_of(
    files: PairFiles, windows: Iterable[tuple[ChipWindow, str]], settings: ChipSettings
) -> Iterator[tuple[Piece, str]]:
    """Yield the pixels of a pair's windows that are not left out."""
    with open_pair(files, settings.gsd_m) as pair:
        for _, row in groupby(windows, key=lambda item: item[0].row):
            kept = [(window, split) for window, split in row if split != LEFT_OUT]
            if not kept:
                continue
            strip = pair.read(kept[0][0].row, kept[0][0].height)
            for window, split in kept:
                columns = slice(window.column, window.column + window.width)
                yield (
                    Piece(
                        window=window,
                        image=strip.image[:, :, columns],
                        heights=strip.heights[:, columns],
                        known=strip.known[:, columns],
                    ),
                    split,
                )


def write_all(
    chips: Iterable[tuple[str, Chip]], survey: Survey, settings: ChipSettings, folder: Path
) -> gpd.GeoDataFrame:
    """Write all chips, many to a file, and their index; return the index."""
    waiting: dict[str, list[Chip]] = {name: [] for name in SPLITS}
    files = dict.fromkeys(SPLITS, 0)
    rows: list[dict[str, Any]] = []
    ground = KnownGround(survey.windows)

    def write(split: str) -> None:
        if waiting[split]:
            write_chips(waiting[split], folder / file_name(split, files[split]))
            waiting[split] = []
            files[split] += 1

    for split, chip in chips:
        name, place = file_name(split, files[split]), len(waiting[split])
        rows.append({**row_of(chip, survey, ground), "split": split, "file": name, "place": place})
        waiting[split].append(chip)
        if len(waiting[split]) == settings.per_file:
            write(split)
    for split in SPLITS:
        write(split)
    index = gpd.GeoDataFrame(rows, geometry="geometry", crs=WGS84)
    with whole_file(folder / INDEX_FILE) as part:
        index.to_parquet(part)
    return index


def file_name(split: str, number: int) -> str:
    """Return the name of a file of chips."""
    return f"{split}-{number:05d}.safetensors"


def row_of(chip: Chip, survey: Survey, ground: KnownGround) -> dict[str, Any]:
    """Return what the index says of a chip."""
    windows = [window for window, _, _ in chip.windows]
    areas = [
        ground.add(window, chip.known[row : row + window.height, column : column + window.width])
        for window, row, column in chip.windows
    ]
    heights = chip.heights[chip.known]
    numbers = sorted({window.pair for window in windows})
    percentiles = np.percentile(heights, [50, 95]).tolist() if heights.size else [None, None]
    return {
        "site": windows[0].site,
        "plots": [survey.pairs[number].name for number in numbers],
        "blocks": sorted({window.block for window in windows}),
        "acquired": next(iter({survey.acquired[number] for number in numbers}), ""),
        "known": float(chip.known.mean()),
        "known_m2": sum(known_m2 for known_m2, _ in areas),
        "new_ground_m2": sum(new_m2 for _, new_m2 in areas),
        "height_mean_m": float(heights.mean()) if heights.size else None,
        "height_p50_m": percentiles[0],
        "height_p95_m": percentiles[1],
        "height_counts": np.histogram(heights, HEIGHT_EDGES_M)[0].tolist(),
        "geometry": ground_of(windows),
    }


def ground_of(windows: Sequence[ChipWindow]) -> MultiPolygon:
    """Return the ground that windows show, in longitude and latitude."""
    outlines = []
    for window in windows:
        west, south, east, north = window.grid.bounds
        x, y = np.array([west, east, east, west]), np.array([south, south, north, north])
        crs = window.grid.crs
        longitudes, latitudes = longitude_latitude(crs, x, y) if crs else (x, y)
        outlines.append(Polygon(list(zip(longitudes, latitudes, strict=True))))
    return MultiPolygon(outlines)
