"""All that joins the cells of a region, put into its store: each file whole, or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pystac

from geo.region_products.cell_record import ITEM_NAME, folder_of, record_of
from geo.region_products.collection import PARQUET_TYPE, CollectionDraft
from geo.region_products.items_table import write_items_table
from geo.region_products.mosaic import mosaics
from geo.region_products.picture import RegionPicture, draw_region
from geo.stores.local_store import LocalStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shapely.geometry.base import BaseGeometry

    from geo.region_products.collection import RegionFacts
    from geo.region_products.report import RegionReport
    from geo.stores.store import Store

COLLECTION, TABLE = "collection.json", "items.parquet"
REPORT, PICTURE = "report.json", "report.png"


def items_of(store: Store, cell_ids: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the items of cells that stand in a store, as JSON values.

    Raises:
        NoSuchProductError: a cell does not stand.
        StoreError: the store cannot be read.
    """
    for cell_id in cell_ids:
        yield json.loads(store.read_bytes(f"{folder_of(cell_id)}/{ITEM_NAME}"))


def write_joint_products(
    store: Store, items: Iterable[dict[str, Any]], facts: RegionFacts
) -> list[str]:
    """Write collection, table of items and mosaics over cells.

    The collection comes last: it names the others. Products of an earlier run that these do not
    replace, the mosaic of a zone without cells now, are taken away.

    Args:
        store: where the cells stand.
        items: of the cells, as JSON values; read once, and few at a time are in memory.
        facts: what they do not tell.

    Returns:
        The names of what was written; none where there are no items.

    Raises:
        MapFileError: the cells do not fit together.
        StoreError: a product cannot be put.
    """
    draft = CollectionDraft(facts=facts)
    written = _write_table(store, _noted(items, draft))
    if not written:
        _clear(store, kept=set())
        return []
    for name, data in mosaics(draft.cells).items():
        store.put_bytes(data, name)
        written.append(name)
    record = draft.record(_assets(written, drawn=facts.drawn))
    store.put_bytes(_json(record), COLLECTION)
    written = [COLLECTION, *written]
    _clear(store, kept=set(written))
    return written


def write_report(
    store: Store, report: RegionReport, area: BaseGeometry | None, *, drawn: bool = True
) -> list[str]:
    """Write the report of a run, as JSON and as a map.

    Args:
        store: where the cells stand.
        report: what came of it; of at least one cell.
        area: the ground that was asked for, EPSG:4326; None for that of the imagery.
        drawn: whether the map is wanted.

    Returns:
        The names of what was written.

    Raises:
        StoreError: a product cannot be put.
    """
    store.put_bytes(_json(report.as_json()), REPORT)
    if not drawn:
        store.delete(PICTURE)
        return [REPORT]
    caption = f"{len(report.states):,} cells, {report.speed}"
    picture = RegionPicture(states=report.states, area=area, title=report.title, caption=caption)
    with store.staging() as folder:
        path = folder / PICTURE
        draw_region(path, picture)
        store.put(path, PICTURE)
    return [REPORT, PICTURE]


def _noted(items: Iterable[dict[str, Any]], draft: CollectionDraft) -> Iterator[dict[str, Any]]:
    """Pass items on, and note in the collection what goes by."""
    for item in items:
        draft.add(record_of(item), item)
        yield item


def _write_table(store: Store, items: Iterator[dict[str, Any]]) -> list[str]:
    """Write the table of items; nothing where there are none."""
    first = next(items, None)
    if first is None:
        return []

    def everything() -> Iterator[dict[str, Any]]:
        yield first
        yield from items

    absolute = None if isinstance(store, LocalStore) else store.uri
    with store.staging() as folder:
        path = folder / TABLE
        write_items_table(everything(), path, absolute)
        store.put(path, TABLE)
    return [TABLE]


def _assets(names: list[str], *, drawn: bool) -> dict[str, dict[str, Any]]:
    """Return the assets of the collection itself."""
    assets: dict[str, dict[str, Any]] = {
        "items": {
            "href": f"./{TABLE}",
            "type": PARQUET_TYPE,
            "title": "All items in one table, stac-geoparquet",
            "roles": ["stac-items"],
        }
    }
    for name in names:
        if name.endswith(".vrt"):
            assets[name.removesuffix(".vrt")] = {
                "href": f"./{name}",
                "type": "application/x-gdal-vrt+xml",
                "title": "All cells as one virtual raster",
                "roles": ["data", "virtual"],
            }
    roles = {REPORT: ("report", pystac.MediaType.JSON, "metadata")}
    if drawn:
        roles[PICTURE] = ("overview", pystac.MediaType.PNG, "overview")
    for name, (key, kind, role) in roles.items():
        assets[key] = {"href": f"./{name}", "type": kind, "roles": [role]}
    return assets


def _clear(store: Store, kept: set[str]) -> None:
    """Take away what an earlier run wrote of this kind and these products do not replace."""
    for name in store.names(deep=False):
        old = name in {COLLECTION, TABLE} or (name.startswith("mosaic") and name.endswith(".vrt"))
        if old and name not in kept:
            store.delete(name)


def _json(record: dict[str, Any]) -> bytes:
    """Return JSON values as a file of people's."""
    return (json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
