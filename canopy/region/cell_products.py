"""What a cell leaves behind: a COG of heights, a COG of dates, and the item that tells of both."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pystac
import rasterio
from rasterio.enums import Resampling
from rasterio.warp import reproject

from canopy.correction.outputs import write_factors
from canopy.correction_network.map_correction import corrected_rows, tell
from canopy.correction_network.outputs import COUNTED
from canopy.mapping.facts import (
    band_facts,
    interval_facts,
    model_reference,
    summary_of,
)
from canopy.region.correcting import within_cell
from canopy.region.shown import acquisition_of, pixels_of_each, view_of, write_days
from canopy.version import SOFTWARE, __version__
from geo.errors import NoSuchProductError
from geo.height_maps.cog import check_cog, write_cog
from geo.height_maps.encoding import find_encoding
from geo.height_maps.map_facts import HeightMapFacts
from geo.height_maps.raw_raster import BandFacts, RawRaster
from geo.height_maps.regrid import regrid
from geo.height_maps.stac_item import NO_DATE, describe_height_map
from geo.height_maps.style import display_maximum
from geo.hrefs import source_name
from geo.region_products.cell_record import ITEM_NAME, folder_of
from geo.stores.local_store import LocalStore

if TYPE_CHECKING:
    from canopy.correction_network.seeing import Seen
    from canopy.height_models.height_model import HeightModel
    from canopy.region.cell_plan import CellPlan
    from canopy.region.cell_task import CellTask
    from canopy.region.settings import RegionJob
    from geo.cells import Cell
    from geo.height_maps.map_facts import HeightSummary, IntervalFacts
    from geo.imagery.image import Image
    from geo.stores.store import Store

HEIGHTS, DATES, EMPTY = "height.tif", "acquired.tif", "empty.json"
FACTORS = "factor.tif"
FINGERPRINT = "canopy:fingerprint"
DATE_FACTS = BandFacts(
    nodata=NO_DATE,
    scale=1.0,
    description="Days since 1970-01-01 of the image",
    unit="d",
    tags={"AREA_OR_POINT": "Area"},
)


@dataclass(frozen=True, kw_only=True)
class CellMade:
    """A cell in flat files, before it becomes products.

    Attributes:
        folder: where the files lie.
        plan: how it was made.
        model: what predicted.
        heights: encoded heights of the core; in metres where the cell has other pixels.
        shown: which image each pixel of the core shows.
        seen: what a correction network sees of it and one coarse cell around; None without one.
    """

    folder: Path
    plan: CellPlan
    model: HeightModel
    heights: RawRaster
    shown: RawRaster
    seen: Seen | None = None


def put_cell(made: CellMade, task: CellTask, job: RegionJob, store: Store) -> bool:
    """Make the products of a cell, then put them where they belong, the item last.

    Returns:
        Whether the cell shows anything; else a small file tells that it was looked at.

    Raises:
        MapFileError: a product cannot be made.
        StoreError: one cannot be put.
    """
    home = folder_of(task.id)
    files = make_products(made, task, job, store)
    for name in (ITEM_NAME, EMPTY, FACTORS):  # until its item stands again the cell is not whole
        store.delete(f"{home}/{name}")
    if not files:
        for name in (HEIGHTS, DATES):
            store.delete(f"{home}/{name}")
        store.put_bytes(json.dumps({FINGERPRINT: task.fingerprint}).encode(), f"{home}/{EMPTY}")
    for path in files:
        store.put(path, f"{home}/{path.name}")
    return bool(files)


def make_products(made: CellMade, task: CellTask, job: RegionJob, store: Store) -> list[Path]:
    """Make the files of a cell beside its flat ones, the item last; none where it shows nothing."""
    raster, facts, factors = corrected_on_cell(made)
    heights = summary_of(raster, 1, made.plan)
    if not heights.valid_percent:
        return []
    maps = [made.folder / HEIGHTS, made.folder / DATES]
    write_cog(raster.describe(facts), maps[0])
    write_cog(days_on_cell(made, task.images).describe(DATE_FACTS), maps[1])
    for path in maps:
        check_cog(path)
    item = item_of(made, task, store, heights, interval_facts(raster, made.plan))
    item.collection_id = job.collection
    item.properties[FINGERPRINT] = task.fingerprint
    if factors and made.seen:
        tell(item, within_cell(made.seen, made.plan.cell.grid), factors)
        maps.append(factors)
    record = item.to_dict(include_self_link=False, transform_hrefs=False)
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    path = made.folder / ITEM_NAME
    path.write_text(text + "\n", encoding="utf-8")
    return [*maps, path]


def corrected_on_cell(made: CellMade) -> tuple[RawRaster, BandFacts, Path | None]:
    """Return the encoded heights of a cell, what its file says, and a file of factors, if any."""
    raster, facts = on_cell(made), band_facts(made.plan, made.model)
    if made.seen is None:
        return raster, facts, None
    described, name = raster.describe(facts), made.plan.source_name
    done = corrected_rows(raster, described, made.seen, name)
    inside = within_cell(made.seen, made.plan.cell.grid)
    told = inside.lineage(name)
    path = made.folder / FACTORS
    write_factors(path, inside.field, inside.counts, COUNTED["description"], told)
    return done.raster, replace(facts, tags={**facts.tags, "CORRECTION": told}), path


def height_facts(plan: CellPlan, model: HeightModel) -> BandFacts:
    """Return what describes heights of a cell as predicted: metres before regridding."""
    if not plan.regrids:
        return band_facts(plan, model)
    level = f"{plan.interval.title}" if plan.interval else ""
    return BandFacts(
        nodata=find_encoding("float32").nodata,
        scale=1.0,
        description="heights",
        unit="m",
        tags={},
        more=tuple(f"{end} {level}" for end in ("lower", "upper"))[: plan.bands - 1],
    )


def on_cell(made: CellMade) -> RawRaster:
    """Return the encoded heights of a cell on its own pixels."""
    plan = made.plan
    if not plan.regrids:
        return made.heights
    target = RawRaster(made.folder / "on_cell", plan.cell.grid, plan.encoding.dtype, plan.bands)
    shrink = plan.cell.pixel_m > plan.core.pixel_m
    regrid(
        made.heights.describe(height_facts(plan, made.model)),
        target,
        plan.encoding,
        pixels_shrink=shrink,
    )
    return target


def days_on_cell(made: CellMade, images: tuple[Image, ...]) -> RawRaster:
    """Return the dates of a cell on its own pixels; of larger ones, that of their centre."""
    days = RawRaster(made.folder / "days", made.shown.grid, "int32")
    write_days(made.shown, days, images)
    if not made.plan.regrids:
        return days
    grid = made.plan.cell.grid
    target = RawRaster(made.folder / "days_on_cell", grid, "int32")
    values = np.full(grid.shape, NO_DATE, np.int32)
    with rasterio.open(days.describe(DATE_FACTS)) as source:
        reproject(
            rasterio.band(source, 1),
            values,
            dst_transform=grid.transform,
            dst_crs=grid.crs,
            dst_nodata=NO_DATE,
            resampling=Resampling.nearest,
        )
    target.write(0, values)
    return target


def item_of(
    made: CellMade,
    task: CellTask,
    store: Store,
    heights: HeightSummary,
    interval: IntervalFacts | None,
) -> pystac.Item:
    """Describe a finished cell as a STAC item of a collection."""
    pixels = pixels_of_each(made.shown, len(task.images))
    used = [image for image, count in zip(task.images, pixels, strict=True) if count]
    facts = HeightMapFacts(
        item_id=task.id,
        title=f"Canopy height of cell {task.id}",
        source=tuple(link_of(image, store) for image in used),
        model=model_reference(made.model),
        software=SOFTWARE,
        software_version=__version__,
        processed=datetime.now(UTC),
        pixel_m=task.cell.pixel_m,
        heights=heights,
        interval=interval,
        display_maximum_m=display_maximum(heights.percentiles_m[98]),
        acquired=acquisition_of(used),
        dates=made.folder / DATES,
        view=view_of(used, pixels[pixels > 0]),
        staged_in=made.folder,
    )
    home = made.folder / ITEM_NAME
    if isinstance(store, LocalStore):
        home = Path(store.uri(f"{folder_of(task.id)}/{ITEM_NAME}"))
    item = describe_height_map(made.folder / HEIGHTS, facts, home)
    for relation in (pystac.RelType.ROOT, pystac.RelType.PARENT, pystac.RelType.COLLECTION):
        item.links.append(pystac.Link(relation, "../../collection.json", pystac.MediaType.JSON))
    return item


def link_of(image: Image, store: Store) -> str:
    """Return how an item of a store names an image: one that lies here has no place in a bucket."""
    if isinstance(store, LocalStore):
        return image.link
    return source_name(image.link)


def stands(store: Store, cell: Cell, fingerprint: str) -> bool:
    """Whether a cell stands as it would be made now."""
    return fingerprint_of(store, cell) == fingerprint


def fingerprint_of(store: Store, cell: Cell) -> str | None:
    """Return what a cell that stands was made from; None where it does not, or cannot be read."""
    home = folder_of(cell.id)
    for name in (ITEM_NAME, EMPTY):
        try:
            record: Any = json.loads(store.read_bytes(f"{home}/{name}"))
            found = record[FINGERPRINT] if name == EMPTY else record["properties"][FINGERPRINT]
        except (NoSuchProductError, ValueError, KeyError, TypeError):
            continue
        return str(found)
    return None
