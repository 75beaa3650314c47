"""The main path: imagery in, a canopy height map with its companions out."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from canopy.errors import SettingsError
from canopy.height_models.forward import ForwardSettings
from canopy.intervals import read_calibration
from canopy.mapping.facts import Told
from canopy.mapping.plan import plan_map
from canopy.mapping.prediction import finished_rows
from canopy.mapping.products import Outputs, plan_outputs, write_products
from canopy.mapping.report import MapReport
from canopy.mapping.settings import MapSettings
from canopy.weights import (
    DEFAULT_MODEL,
    card_of,
    load_colour_matcher,
    load_height_model,
    zoo_entry,
)
from geo.height_maps.cog import refuse_without_room, room_needed
from geo.height_maps.partial_map import open_partial_map
from geo.height_maps.regrid import encoded_bands
from geo.scene import open_scene

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future

    from canopy.height_models.card import ModelCard
    from canopy.height_models.height_model import HeightModel
    from canopy.intervals import HeightInterval
    from canopy.mapping.plan import MapPlan
    from canopy.mapping.prediction import FinishedRows, Progress
    from canopy.mapping.products import HeightCorrection
    from geo.height_maps.partial_map import PartialMap
    from geo.raster import Pixels
    from geo.scene import Scene


def map_heights(  # noqa: PLR0913 - each is a choice of its own
    source: str | Path,
    output: str | Path,
    *,
    model: HeightModel | str | Path = DEFAULT_MODEL,
    settings: MapSettings | None = None,
    device: str = "auto",
    correction: HeightCorrection | None = None,
    progress: Progress | None = None,
) -> MapReport:
    """Map the canopy height of a scene into a cloud-optimized GeoTIFF.

    Beside the map stand a QGIS style, and where asked for a preview and a STAC item. Nothing
    stands at any of their paths before all are whole.

    Args:
        source: imagery, a path or an http, https, s3 or gs URL.
        output: where the map will stand, ending in ``.tif``.
        model: a height model, or the name or folder of one.
        settings: choices about the map.
        device: where a model given by name runs: ``auto``, ``cpu`` or ``cuda``.
        correction: what changes the heights before they become files, such as
            :class:`canopy.correction_network.map_correction.NetworkCorrection`; None for nothing.
        progress: told the number of finished tiles and of all tiles.

    Returns:
        What came of it.

    Raises:
        CanopyError: the settings or the model do not fit.
        GeoError: the scene cannot be read or put on a grid, or the map cannot be written.
    """
    began = time.perf_counter()
    job = prepare_map(
        source, output, model=model, settings=settings or MapSettings(), device=device,
        correction=correction,
    )  # fmt: skip
    plan, model, outputs = job.plan, job.model, job.outputs
    with open_partial_map(
        outputs.map,
        plan.grid,
        row_dtype(plan),
        plan.identity,
        resume=plan.settings.resume,
        bands=plan.bands,
    ) as partial:
        resumed = partial.done * len(plan.tiles.columns)
        rows = finished_rows(
            plan, model, first=partial.done, carry=partial.carry, progress=progress
        )
        tally = store(rows, plan, partial)
        products = write_products(partial, plan, model, outputs, correction)
    return MapReport(
        map=outputs.map,
        item=outputs.item,
        style=outputs.style,
        preview=outputs.preview,
        grid=plan.out_grid,
        heights=products.heights,
        interval=products.interval,
        factors=outputs.factors,
        correction=products.correction,
        seconds=time.perf_counter() - began,
        tiles_run=tally["run"],
        tiles_skipped=tally["skipped"],
        tiles_resumed=resumed,
        model=model.card,
        settings=plan.settings,
    )


@dataclass(frozen=True, kw_only=True)
class MapJob:
    """A map that may be made: everything is decided and checked, nothing is written.

    Attributes:
        plan: how the scene becomes the map.
        model: what predicts.
        outputs: where the files will stand.
    """

    plan: MapPlan
    model: HeightModel
    outputs: Outputs


def prepare_map(
    source: str | Path,
    output: str | Path,
    *,
    model: HeightModel | str | Path,
    settings: MapSettings,
    device: str = "auto",
    correction: HeightCorrection | None = None,
) -> MapJob:
    """Decide everything about a map and check that it can be made, as :func:`map_heights` does.

    Raises:
        CanopyError: the settings or the model do not fit.
        GeoError: the scene cannot be read or put on a grid, or the map may not stand there, or has
            no room.
    """
    scene, outputs = check_request(
        source, output, model=model, settings=settings, corrected=correction is not None
    )
    if isinstance(model, str | Path):
        model = load_height_model(model, device=device)
    model = adapted(model, settings)
    colours = None
    if settings.radiometry == "aerial":
        colours = load_colour_matcher(settings.colours, device=model.device.type)
    plan = plan_map(scene, model, settings, colours, interval_of(model, settings))
    if correction is not None:
        correction.check(plan)
    refuse_without_room(outputs.map.parent, space_needed(plan))
    return MapJob(plan=plan, model=model, outputs=outputs)


def check_request(
    source: str | Path,
    output: str | Path,
    *,
    model: HeightModel | str | Path,
    settings: MapSettings,
    corrected: bool = False,
) -> tuple[Scene, Outputs]:
    """Check all of a request that can be checked before a model is fetched or loaded.

    Returns:
        The scene, opened, and where the files of the map will stand.

    Raises:
        CanopyError: the settings do not fit.
        GeoError: the scene cannot be read, or the output may not be written.
    """
    scene = open_scene(source, bands=settings.bands, pixel_size_m=settings.pixel_size_m)
    outputs = plan_outputs(Path(output), scene.source, settings, corrected=corrected)
    if settings.calibration is not None:
        read_calibration(Path(settings.calibration))
    entry = zoo_entry(str(model)) if isinstance(model, str | Path) else None
    if entry and (card := card_of(entry)):
        refuse_matched_colours(card, settings)
    return scene, outputs


def interval_of(model: HeightModel, settings: MapSettings) -> HeightInterval | None:
    """Return what makes the intervals of a map, where they are asked for.

    Raises:
        ModelError: the model has no calibration, or it is of another model.
        SettingsError: the level is too high for it, or pixels were treated otherwise.
    """
    if settings.interval is None:
        return None
    interval = model.interval(settings.interval, settings.calibration)
    made_with = interval.calibration.radiometry
    if made_with != settings.radiometry:
        msg = (
            f"interval with radiometry {settings.radiometry}: the calibration was made with "
            f"{made_with}, whose heights differ; calibrate with this one, or map with that one"
        )
        raise SettingsError(msg)
    return interval


def refuse_matched_colours(card: ModelCard, settings: MapSettings) -> None:
    """Refuse to match colours for a model that learned from aerial images.

    Raises:
        SettingsError: that is asked for.
    """
    if settings.radiometry == "aerial" and card.imagery == "aerial":
        msg = (
            f"radiometry aerial with {card.name}: the model learned from aerial images, whose "
            "colours are not to be matched to satellite images, leave it out"
        )
        raise SettingsError(msg)


def adapted(model: HeightModel, settings: MapSettings) -> HeightModel:
    """Return a model that normalises and runs as a user chose.

    Raises:
        SettingsError: colours shall be matched for a model of aerial images.
    """
    card, run = model.card, model.run
    refuse_matched_colours(card, settings)
    if (settings.precision, settings.compiled) != ("auto", False):
        run = ForwardSettings(precision=settings.precision, compiled=settings.compiled)
    return replace(
        model,
        card=replace(card, mean=settings.mean or card.mean, std=settings.std or card.std),
        run=run,
        normalises=settings.radiometry != "none",
    )


def store(rows: Generator[FinishedRows], plan: MapPlan, partial: PartialMap) -> Counter[str]:
    """Write finished rows while the next ones are made; return how many tiles were run or not."""
    tally: Counter[str] = Counter(run=0, skipped=0)
    written: Future[None] | None = None
    with closing(rows), ThreadPoolExecutor(max_workers=1) as writer:
        for finished in rows:
            if written:
                written.result()
            written = writer.submit(partial.append, stored(finished, plan), finished.carry)
            tally.update(run=finished.run, skipped=finished.skipped)
        if written:
            written.result()
    return tally


class Kept(Told, Protocol):
    """A plan whose rows are kept until the map is whole: of a scene, or of a cell."""

    @property
    def regrids(self) -> bool:
        """Whether the map's grid is another than the model's."""


def stored(rows: FinishedRows, plan: Kept) -> Pixels:
    """Return rows as they are kept until the map is whole.

    Rows that will be resampled are kept in metres; on the way to the scene's own grid they keep
    the heights under missing pixels, since the scene itself says there which pixels are missing.

    Returns:
        (rows, width), or (rows, width, 3) with the lower and upper ends of intervals.
    """
    bands = rows.heights[None]
    if plan.interval and rows.scale is not None:
        bands = np.stack([rows.heights, *plan.interval.ends(rows.heights, rows.scale)])
    if not (plan.settings.grid == "scene" and plan.regrids):
        bands = np.where(rows.valid, bands, np.float32(np.nan))
    if not plan.regrids:
        return encoded_bands(bands, plan.encoding)
    return np.moveaxis(bands, 0, -1) if plan.interval else bands[0]


def row_dtype(plan: Kept) -> str:
    """Return the type of the rows that are kept until the map is whole."""
    return "float32" if plan.regrids else plan.encoding.dtype


def space_needed(plan: MapPlan) -> int:
    """Return an upper estimate of the disk space that a run needs [bytes]."""
    needed = room_needed(plan.out_grid, plan.bands * np.dtype(plan.encoding.dtype).itemsize)
    rows = 4 * plan.bands * plan.grid.height * plan.grid.width
    return needed + (rows if plan.regrids else 0)
