"""Many worlds in one folder, which appears whole or not at all."""

from __future__ import annotations

import json
import logging
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geo.errors import MapFileError
from geo.simulation.catalogue import describe_world, write_collection
from geo.simulation.presets import PRESETS, sized_preset
from geo.simulation.settings import SimulationError
from geo.simulation.world import World, nth_world, simulate
from geo.simulation.write import write_world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from geo.simulation.settings import WorldSettings

logger = logging.getLogger(__name__)

COLLECTION = "collection.json"


@dataclass(frozen=True, kw_only=True)
class WorldsRequest:
    """Which worlds are wanted.

    Attributes:
        output: Folder for them.
        seed: Of all their chance, not negative.
        worlds: How many.
        presets: Names of presets, taken in turn.
        size_m: Side of a world [m].
        gsd_m: Side of a pixel [m].
        sun_elevation_deg: Height of the sun [degrees]; None for that of the preset.
        overwrite: Whether worlds that stand there are replaced.
    """

    output: Path
    seed: int
    worlds: int = 1
    presets: tuple[str, ...] = ("mixed",)
    size_m: float = 256.0
    gsd_m: float = 0.6
    sun_elevation_deg: float | None = None
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class WorldSummary:
    """What came of a world.

    Attributes:
        name: Of its folder.
        preset: Name of its preset.
        seed: Of its chance.
        pixels: Pixels along a side.
        trees: Trees that stand in it or reach into it.
        points: Laser points.
        footprints: Spaceborne footprints.
        cover: Share of pixels with a canopy above 2 m.
        p50_m: Median canopy height where there is canopy above 2 m [m]; 0 without any.
        p95_m: Its 95th percentile [m].
        maximum_m: Greatest canopy height [m].
    """

    name: str
    preset: str
    seed: int
    pixels: int
    trees: int
    points: int
    footprints: int
    cover: float
    p50_m: float
    p95_m: float
    maximum_m: float


def make_worlds(
    request: WorldsRequest, progress: Callable[[int, int], None] | None = None
) -> list[WorldSummary]:
    """Make worlds and write them with a STAC collection.

    Args:
        request: Which.
        progress: Is told how many of all worlds are finished.

    Raises:
        SimulationError: the request is none that can be met.
        MapFileError: the folder holds something else, or cannot be written.
    """
    plans = plan_worlds(request)
    _refuse_occupied(request)
    summaries, items = [], []
    with _whole_folder(request.output) as folder:
        for number, (name, settings, seed) in enumerate(plans):
            world = simulate(settings, seed)
            (folder / name).mkdir()
            write_world(world, folder / name)
            items.append(describe_world(world, name))
            summaries.append(_summary(world, name))
            logger.debug("%s is written", name)
            if progress is not None:
                progress(number + 1, len(plans))
        write_collection(items, folder, request.seed)
    return summaries


def plan_worlds(request: WorldsRequest) -> list[tuple[str, WorldSettings, int]]:
    """Return name, settings and seed of each world that is asked for.

    Raises:
        SimulationError: a number is out of range, or a preset unknown.
    """
    if request.worlds < 1:
        msg = f"{request.worlds} worlds: expected at least 1"
        raise SimulationError(msg)
    if request.seed < 0:
        msg = f"seed {request.seed}: expected a whole number from 0 on"
        raise SimulationError(msg)
    presets = tuple(PRESETS) if request.presets == ("all",) else request.presets
    plans = []
    for number in range(request.worlds):
        preset = sized_preset(
            presets[number % len(presets)],
            size_m=request.size_m,
            gsd_m=request.gsd_m,
            sun_elevation_deg=request.sun_elevation_deg,
        )
        plans.append((f"{preset.name}-{number:04d}", *nth_world(preset, request.seed, number)))
    return plans


def _summary(world: World, name: str) -> WorldSummary:
    tall = world.chm[world.chm > 2]  # noqa: PLR2004 - canopy cover counts from 2 m
    middle, upper = np.quantile(tall, (0.5, 0.95)) if tall.size else (0.0, 0.0)
    return WorldSummary(
        name=name, preset=world.settings.name, seed=world.seed, pixels=world.settings.pixels,
        trees=len(world.trees), points=len(world.points), footprints=len(world.footprints),
        cover=round(tall.size / world.chm.size, 4), p50_m=round(float(middle), 2),
        p95_m=round(float(upper), 2), maximum_m=round(float(world.chm.max()), 2),
    )  # fmt: skip


def _refuse_occupied(request: WorldsRequest) -> None:
    """Refuse a folder with anything in it, but for older worlds that may be replaced.

    Raises:
        MapFileError: there is something.
    """
    folder = request.output
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not request.overwrite:
        msg = f"{folder} exists: choose another --output, or replace its worlds with --overwrite"
        raise MapFileError(msg)
    strangers = sorted({path.name for path in folder.iterdir()} - _names_of_worlds(folder))
    if strangers:
        msg = f"{folder} holds {strangers[0]}, no simulated world: expected a folder of them alone"
        raise MapFileError(msg)


def _names_of_worlds(folder: Path) -> set[str]:
    """Return the names that simulated worlds and their collection have in a folder."""
    try:
        record = json.loads((folder / COLLECTION).read_text(encoding="utf-8"))
        links = [link["href"] for link in record["links"] if link["rel"] == "item"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    ours = str(record.get("id", "")).startswith("simulated-worlds-")
    return {COLLECTION, *(href.split("/")[-2] for href in links)} if ours else set()


@contextmanager
def _whole_folder(output: Path) -> Iterator[Path]:
    """Lend a folder beside `output` that takes its place when the block ends well.

    Raises:
        MapFileError: the operating system refuses.
    """
    output = output.absolute()
    scratch = output.with_name(f".{output.name}.{secrets.token_hex(4)}.part")
    # pystac takes a folder whose name has a dot for a file.
    part, old = scratch / "worlds", scratch / "old"
    try:
        part.mkdir(parents=True)
        yield part
        if output.exists():
            output.rename(old)
        part.rename(output)
    except OSError as error:
        msg = f"cannot write {output} ({error.strerror or error}): expected a writable folder"
        raise MapFileError(msg) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
