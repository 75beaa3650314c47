"""One cell of ground: imagery in; a COG, its dates and its STAC item out, all or none."""

from __future__ import annotations

import threading
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from canopy.mapping.map_heights import interval_of, row_dtype, stored
from canopy.mapping.plan import stretch_for
from canopy.mapping.prediction import finished_rows
from canopy.region.cell_plan import CellImagery, plan_cell
from canopy.region.cell_products import CellMade, height_facts, put_cell, stands
from canopy.region.cell_task import CellOutcome
from canopy.region.correcting import margin_of, network_of, see_cell, within_cell
from canopy.region.shown import Recording
from canopy.weights import load_colour_matcher
from geo.height_maps.raw_raster import RawRaster
from geo.imagery.mosaic import MosaicReader, MosaicSettings
from geo.stores.store import store_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from canopy.colour_matching import ColourMatcher
    from canopy.height_models.height_model import HeightModel
    from canopy.mapping.settings import MapSettings
    from canopy.radiometry import Stretch
    from canopy.region.cell_plan import MosaicStrips
    from canopy.region.cell_task import CellTask
    from canopy.region.settings import RegionJob
    from geo.imagery.image import Image
    from geo.imagery.opened import Stretching
    from geo.imagery.pixel_window import PixelWindow
    from geo.scene import Scene

TURN = threading.Lock()
"""One cell at a time predicts in a process; the next one reads its first tiles meanwhile, and goes
on where the first has to wait for its imagery."""

LOADING = threading.Lock()

STRIP_PX = 512
"""Rows of heights that are copied at once."""

STRETCHES: dict[object, Stretch | None] = {}
"""What was decided about an image, for as long as the process lives."""


def make_cell(job: RegionJob, task: CellTask) -> CellOutcome:
    """Make the map of a cell and put it where it belongs, unless it stands there.

    Args:
        job: what all cells have in common.
        task: what this one is made from.

    Raises:
        GeoError: an image cannot be read, or a product not be written.
        CanopyError: the model cannot be loaded, or its heights are no numbers.
    """
    began = time.perf_counter()
    store = store_of(job.output)
    if not job.anew and stands(store, task.cell, task.fingerprint):
        return CellOutcome(id=task.id, state="kept", pixels=0, seconds=0.0)
    model, colours = loaded(job)
    with store.staging() as folder:
        made = map_cell(job, task, folder, model, colours)
        shows = put_cell(made, task, job, store)
    return CellOutcome(
        id=task.id,
        state="done" if shows else "empty",
        pixels=task.cell.side_px**2 if shows else 0,
        seconds=time.perf_counter() - began,
    )


def map_cell(
    job: RegionJob,
    task: CellTask,
    folder: Path,
    model: HeightModel,
    colours: ColourMatcher | None,
) -> CellMade:
    """Predict the heights of a cell into flat files of a folder."""
    settings = job.settings.map
    imagery = CellImagery(
        open_mosaic=partial(open_mosaic, job, task.images),
        name=name_of(task.images),
        colours=colours,
    )
    correction = job.settings.correction
    plan = plan_cell(
        task.cell, model.card, settings, imagery, interval_of(model, settings),
        margin_of(correction),
    )  # fmt: skip
    made = CellMade(
        folder=folder,
        plan=plan,
        model=model,
        heights=RawRaster(folder / "heights", plan.kept.grid, row_dtype(plan), plan.bands),
        shown=RawRaster(folder / "shown", plan.core.grid, "int16"),
    )
    predict_into(made)
    return made if correction is None else seen_through(made, correction, task)


def seen_through(made: CellMade, correction: str, task: CellTask) -> CellMade:
    """Look at a cell through a correction network, and keep the heights of its core alone."""
    plan, whole = made.plan, made.heights
    described = whole.describe(height_facts(plan, made.model))
    seen = see_cell(plan, described, network_of(correction), task.images)
    core = RawRaster(made.folder / "core", plan.core.grid, whole.dtype.name, whole.bands)
    down, across = plan.core.within(plan.kept)
    for row in range(down.start, down.stop, STRIP_PX):
        count = min(STRIP_PX, down.stop - row)
        bands = [whole.read(row, count, band + 1)[:, across] for band in range(whole.bands)]
        core.write(row - down.start, bands[0] if len(bands) == 1 else np.stack(bands, axis=-1))
    return replace(made, heights=core, seen=within_cell(seen, plan.cell.grid, around=1))


def predict_into(made: CellMade) -> None:
    """Predict all tiles of a cell, and keep the rows and columns that its plan keeps."""
    plan = made.plan
    down, across = plan.kept.within(plan.hull)
    recorded = replace(plan, open_mosaic=partial(recording, made))
    row = plan.tiles.rows[0].rise[0]
    with closing(finished_rows(recorded, made.model, turn=TURN)) as finished:
        for rows in finished:
            values = stored(rows, plan)
            first, last = max(row, down.start), min(row + len(values), down.stop)
            if first < last:
                made.heights.write(first - down.start, values[first - row : last - row, across])
            row += len(values)


@contextmanager
def recording(made: CellMade, hull: PixelWindow) -> Iterator[MosaicStrips]:
    """Open the imagery of a hull, and keep which image each pixel of the core shows."""
    with made.plan.open_mosaic(hull) as reader:
        yield Recording(reader, hull, made.plan.core, made.shown)


def open_mosaic(job: RegionJob, images: tuple[Image, ...], window: PixelWindow) -> MosaicReader:
    """Open the mosaic of images on a window."""
    settings = MosaicSettings(
        preference=job.settings.prefer,
        cell_px=job.settings.cell_px,
        stretch_of=partial(stretch_of, job.settings.map),
    )
    return MosaicReader(images, window, settings)


def stretch_of(settings: MapSettings, scene: Scene) -> Stretching | None:
    """Return what brings an image to [0, 1]: the same for all cells, from a sample of all of it.

    Raises:
        SettingsError: pixels shall be left as they are, and would be stretched.
    """
    key = settings.stretch, urlsplit(scene.source)._replace(query="").geturl(), scene.dtype
    if key not in STRETCHES:
        STRETCHES[key] = stretch_for(scene, settings)
    stretch = STRETCHES[key]
    return stretch.apply if stretch else None


def name_of(images: tuple[Image, ...]) -> str:
    """Return images in a few words, for the tags of a file."""
    names = sorted(image.id for image in images)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""  # noqa: PLR2004 - enough to know them by
    return ", ".join(names[:3]) + more


def loaded(job: RegionJob) -> tuple[HeightModel, ColourMatcher | None]:
    """Return the model and what matches colours, each loaded once in a process.

    Raises:
        ModelError: one of them cannot be loaded, or the model has other weights here.
    """
    model, settings = job.model.load(), job.settings.map
    if settings.radiometry != "aerial":
        return model, None
    with LOADING:
        return model, load_colours_once(settings.colours, model.device.type)


@lru_cache(maxsize=1)
def load_colours_once(name: str | Path | None, device: str) -> ColourMatcher:
    """Load what matches colours."""
    return load_colour_matcher(name, device=device)
