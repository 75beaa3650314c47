"""Finished cells of a region: COGs with known pixels and their items, in any store."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pystac
import rasterio

from geo.cells import Cell
from geo.height_maps.cog import write_cog
from geo.height_maps.encoding import ENCODINGS, find_encoding
from geo.height_maps.map_facts import (
    AcquisitionInterval,
    HeightMapFacts,
    HeightSummary,
    IntervalFacts,
    ModelReference,
)
from geo.height_maps.stac_item import describe_height_map

SIDE_PX, PIXEL_M = 512, 0.5


def cell_at(column, row, epsg=32617, **sizes):
    return Cell(
        epsg=epsg, column=column, row=row, **{"pixel_m": PIXEL_M, "side_px": SIDE_PX} | sizes
    )


def stored_heights(cell, encoding="float32", bands=1):
    """Return stored values (bands, rows, columns) that differ from cell to cell and are known."""
    find_encoding(encoding)
    rng = np.random.default_rng([cell.epsg, cell.column + 1000, cell.row + 1000])
    metres = rng.uniform(0, 40, (bands, cell.side_px, cell.side_px)).astype(np.float32)
    metres[:, :40, :30] = np.nan
    return ENCODINGS[encoding].encode(metres)


def put_cell(store, cell, *, encoding="float32", bands=1, day=1):
    """Put a finished cell into a store and return its item as JSON values."""
    stored = stored_heights(cell, encoding, bands)
    with store.staging() as folder:
        _write(folder / "height.tif", cell.grid, stored, ENCODINGS[encoding])
        days = np.full((1, *cell.grid.shape), 19000 + day, np.int32)
        _write(folder / "acquired.tif", cell.grid, days, None)
        item = _item(folder, cell, bands, day)
        item.collection_id = "region"
        for relation in ("root", "parent", "collection"):
            item.add_link(_link(relation))
        record = item.to_dict(include_self_link=False, transform_hrefs=False)
        (folder / "item.json").write_text(json.dumps(record))
        for name in ("height.tif", "acquired.tif", "item.json"):
            store.put(folder / name, f"cells/{cell.id}/{name}")
    return record


def _link(relation):
    return pystac.Link(relation, "../../collection.json", "application/json")


def _write(path, grid, stored, encoding):
    raw = path.with_suffix(".raw.tif")
    names = ("Canopy height", "lower", "upper")
    profile = {
        "driver": "GTiff", "crs": grid.crs, "transform": grid.transform, "height": grid.height,
        "width": grid.width, "count": len(stored), "dtype": stored.dtype,
        "nodata": encoding.nodata if encoding else -1,
    }  # fmt: skip
    with rasterio.open(raw, "w", **profile) as file:
        file.write(stored)
        for band in range(1, len(stored) + 1):
            file.set_band_description(band, names[band - 1])
        if encoding:
            file.scales = [encoding.scale] * len(stored)
            file.units = ["m"] * len(stored)
    write_cog(raw, path)
    raw.unlink()


def _item(folder, cell, bands, day):
    heights = HeightSummary(
        mean_m=12.5, stddev_m=float(day), minimum_m=0.0, maximum_m=40.0, valid_percent=99.0,
        percentiles_m={5: 0.5, 50: 13.0, 95: 24.0},
    )  # fmt: skip
    interval = IntervalFacts(level=0.9, lower=heights, upper=heights, calibration="of plots")
    facts = HeightMapFacts(
        item_id=cell.id,
        title=f"Canopy height of cell {cell.id}",
        source=("https://example.com/image.tif",),
        model=ModelReference(name="small", version="1.0.0", href=None, licence="Apache-2.0",
                             weights_sha256=None),
        software="canopy-height",
        software_version="0.1.0",
        processed=datetime(2026, 1, 1, tzinfo=UTC),
        pixel_m=cell.pixel_m,
        heights=heights,
        interval=interval if bands > 1 else None,
        display_maximum_m=40.0,
        acquired=AcquisitionInterval(
            start=datetime(2022, 1, day, tzinfo=UTC),
            end=datetime(2022, 2, day, 12, tzinfo=UTC),
            evidence="catalog",
        ),
        dates=folder / "acquired.tif",
        staged_in=folder,
    )  # fmt: skip
    return describe_height_map(folder / "height.tif", facts, Path(folder) / "item.json")
