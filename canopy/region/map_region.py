"""The main path of regions: images of an area in; cells with items, and what joins them, out."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from canopy.errors import SettingsError
from canopy.mapping.report import settings_as_json
from canopy.region.cell_products import stands
from canopy.region.cell_work import make_cell
from canopy.region.correcting import correction_in_words
from canopy.region.planning import plan_region
from canopy.region.run import RunSettings, reached, run_cells
from canopy.region.settings import RegionJob, RegionSettings
from canopy.shared_model import keep, name_model
from canopy.version import SOFTWARE, __version__
from canopy.weights import DEFAULT_MODEL
from geo.cells import Cell
from geo.height_maps.style import display_maximum, write_qml
from geo.region_products.cell_record import ITEM_NAME
from geo.region_products.collection import RegionFacts
from geo.region_products.report import RegionReport
from geo.region_products.write import items_of, write_joint_products, write_report
from geo.stores.store import store_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from distributed import Client
    from shapely.geometry.base import BaseGeometry

    from canopy.region.cell_task import CellOutcome, CellTask
    from canopy.region.planning import RegionPlan
    from canopy.region.progress import TellProgress
    from canopy.region.run import RunResult
    from canopy.shared_model import NamedModel
    from geo.imagery.image import Image
    from geo.region_products.report import CellState
    from geo.stores.store import Store

LOOKERS = 16
"""Threads that see at once which cells stand: in a bucket each look is a wait."""


@dataclass(frozen=True, kw_only=True)
class RegionRun:
    """What came of a region.

    Attributes:
        output: where it stands.
        report: what came of each cell.
        files: names of what joins the cells.
        dashboard: URL of the cluster's dashboard; None without a cluster.
    """

    output: str
    report: RegionReport
    files: list[str]
    dashboard: str | None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        where = {"output": self.output, "files": self.files, "dashboard": self.dashboard}
        return where | self.report.as_json()


@dataclass(frozen=True, kw_only=True)
class RegionRequest:
    """What a region is made from, and how.

    Attributes:
        images: the imagery.
        area: its ground in EPSG:4326 (longitude, latitude); None for that of all images.
        model: name or folder of the height model.
        device: where it runs: ``auto``, ``cpu`` or ``cuda``.
        settings: choices about the map.
        run: how the work is spread.
    """

    images: Sequence[Image]
    area: BaseGeometry | None = None
    model: str = DEFAULT_MODEL
    device: str = "auto"
    settings: RegionSettings
    run: RunSettings


def map_region(
    request: RegionRequest,
    output: str | Path,
    *,
    client: Client | None = None,
    progress: TellProgress | None = None,
) -> RegionRun:
    """Map the canopy height of an area, cell by cell, into a folder or bucket.

    A cell that stands and would be made in the same way is kept: the same call again makes what is
    missing, failed or stale. A cell that fails is tried again, then given up, and the rest goes on.

    Args:
        request: what is mapped, and how.
        output: a folder, or ``s3://bucket/prefix``.
        client: a client of a Dask cluster to use, instead of what the request says.
        progress: told whenever a cell ends.

    Returns:
        What came of it; cells that were given up are told there and raise nothing.

    Raises:
        CanopyError: the settings or the model do not fit, or the scheduler goes away.
        GeoError: the area cannot be cut into cells, or the output not be written.
    """
    began = time.perf_counter()
    store = store_of(output)
    # A run that reaches no cluster, or has no plan, leaves no folder.
    with reached(request.run, client) as (run, cluster):
        plan, model = planned(request, predicts=cluster is None and not run.starts_cluster)
        store.prepare()
        with store.lock(f"{SOFTWARE} {__version__}"):
            refuse_other_cells(store, plan.cells[0])
            states: dict[str, CellState] = {}
            tasks = missing(store, plan, states, anew=request.settings.map.overwrite)
            result = run_cells(
                tasks,
                partial(make_cell, job_of(request, store, model)),
                run,
                client=cluster,
                progress=progress,
                on_done=partial(note, states),
            )
            report = reported(request, result, states, began)
            files = write_products(store, request, plan, report)
    return RegionRun(output=store.url, report=report, files=files, dashboard=result.dashboard)


def plan_as_json(request: RegionRequest, output: str | Path) -> dict[str, Any]:
    """Return what a run would do, as JSON values; nothing is written.

    Raises:
        CanopyError: the settings or the model do not fit.
        GeoError: the area cannot be cut into cells.
    """
    store, (plan, _) = store_of(output), planned(request, predicts=False)
    kept: dict[str, CellState] = {}
    tasks = missing(store, plan, kept, anew=request.settings.map.overwrite)
    return {
        "output": store.url,
        "cells": {"all": len(plan.cells), "missing": len(tasks), "kept": len(kept)},
        "cell_px": request.settings.cell_px,
        "pixel_m": plan.cells[0].pixel_m,
        "images": len(plan.images),
        "prefer": request.settings.prefer.by,
        "model": plan.card.title,
        "correction": correction_in_words(request.settings.correction),
        "settings": settings_as_json(request.settings.map),
    }


def planned(request: RegionRequest, *, predicts: bool) -> tuple[RegionPlan, NamedModel]:
    """Load the model, see that it fits, and cut the area into cells.

    Args:
        request: what is mapped.
        predicts: whether this process makes the cells, with the model as it is loaded here;
            workers load theirs, and here the CPU does.

    Returns:
        The cells, and the model as each worker finds it.

    Raises:
        CanopyError: the settings or the model do not fit.
        GeoError: the area cannot be cut into cells.
    """
    device = request.device if predicts else "cpu"
    named, model = name_model(request.model, device, request.settings.map)
    if predicts:
        keep(named, model)
    plan = plan_region(request.images, request.area, model, request.settings)
    return plan, replace(named, device=request.device)


def job_of(request: RegionRequest, store: Store, model: NamedModel) -> RegionJob:
    """Return what all cells have in common."""
    return RegionJob(
        output=store.url,
        model=model,
        settings=request.settings,
        collection=collection_id(store),
        anew=request.settings.map.overwrite,
    )


def collection_id(store: Store) -> str:
    """Return the identifier of a region: the name of its folder."""
    return store.url.rstrip("/").rpartition("/")[2] or SOFTWARE


def missing(
    store: Store, plan: RegionPlan, states: dict[str, CellState], *, anew: bool
) -> list[CellTask]:
    """Return the cells to make, and note those that stand as they would be made.

    Args:
        store: where cells stand.
        plan: the region.
        states: gets the cells that are kept.
        anew: make all.
    """
    tasks = list(plan.tasks(plan.cells))
    if anew:
        return tasks
    with ThreadPoolExecutor(LOOKERS) as lookers:
        kept = lookers.map(lambda task: stands(store, task.cell, task.fingerprint), tasks)
        paired = list(zip(tasks, kept, strict=True))
    states |= {task.id: "kept" for task, is_kept in paired if is_kept}
    return [task for task, is_kept in paired if not is_kept]


def note(states: dict[str, CellState], task: CellTask, outcome: CellOutcome) -> None:
    """Note what came of a cell."""
    states[task.id] = outcome.state


def refuse_other_cells(store: Store, cell: Cell) -> None:
    """Refuse an output that holds cells of another size: no mosaic joins both.

    Raises:
        SettingsError: it does.
    """
    for found in standing(store):
        if (found.pixel_m, found.side_px) != (cell.pixel_m, cell.side_px):
            msg = (
                f"{store.url} holds cells of {found.side_px} px of {found.pixel_m:g} m, now they "
                f"would be of {cell.side_px} px of {cell.pixel_m:g} m: choose another output"
            )
            raise SettingsError(msg)


def standing(store: Store) -> Iterator[Cell]:
    """Yield the cells that stand in a store, of this run and of earlier ones."""
    for name in store.names("cells"):
        if name.endswith(f"/{ITEM_NAME}"):
            yield Cell.from_id(name.split("/")[-2])


def reported(
    request: RegionRequest, result: RunResult, states: dict[str, CellState], began: float
) -> RegionReport:
    """Return what came of a run."""
    states |= dict.fromkeys(result.failed, "failed")
    chosen = request.settings
    return RegionReport(
        title="Canopy height",
        states=dict(sorted(states.items())),
        failed=result.failed,
        pixels=result.pixels,
        seconds=time.perf_counter() - began,
        settings={
            "model": request.model,
            "correction": chosen.correction,
            "cell_px": chosen.cell_px,
            "prefer": chosen.prefer.by,
            "prefer_date": chosen.prefer.date and chosen.prefer.date.isoformat(),
            "map": settings_as_json(chosen.map),
        },
        software={SOFTWARE: __version__},
        finished=datetime.now(UTC),
    )


def write_products(
    store: Store, request: RegionRequest, plan: RegionPlan, report: RegionReport
) -> list[str]:
    """Write what joins the cells; return the names."""
    card = plan.card
    facts = RegionFacts(
        id=collection_id(store),
        title=report.title,
        description=(
            f"Canopy height above ground in metres, predicted from RGB imagery by {card.name} "
            f"{card.version}. Each item is a cell of ground and tells which images it shows."
            f" {correction_in_words(request.settings.correction)}"
        ).strip(),
        drawn=request.settings.map.preview,
        summaries={"canopy:model_name": [card.name], "canopy:model_version": [card.version]},
    )
    cells = sorted(cell.id for cell in standing(store))
    tallest: list[float] = []
    files = write_joint_products(store, noting(tallest, items_of(store, cells)), facts)
    mosaics = [name for name in files if name.endswith(".vrt")]
    files += write_styles(store, mosaics, max(tallest, default=0.0))
    drawn = request.settings.map.preview
    return files + write_report(store, report, request.area, drawn=drawn)


def noting(tallest: list[float], items: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Pass items on, and note how high their canopies are (98th percentiles) [m]."""
    for item in items:
        tallest.append(item["properties"]["canopy:height_m"]["p98"])
        yield item


def write_styles(store: Store, mosaics: list[str], tallest_m: float) -> list[str]:
    """Write the style with which QGIS opens each mosaic; return the names."""
    names = [name.replace(".vrt", ".qml") for name in mosaics]
    with store.staging() as folder:
        for name in names:
            write_qml(folder / name, display_maximum(tallest_m))
            store.put(folder / name, name)
    return names
