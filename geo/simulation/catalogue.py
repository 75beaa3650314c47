"""Simulated worlds told to a STAC catalogue: an item a world, and their collection."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pystac
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.view import ViewExtension

from geo.footprint import grid_footprint
from geo.simulation import write

if TYPE_CHECKING:
    from pathlib import Path

    from geo.simulation.world import World

MOMENT = datetime(2024, 7, 1, 16, tzinfo=UTC)
"""When the photographs would have been taken: the same for all, or worlds would not repeat."""

COLOURS = ("red", "green", "blue")
EO_SCHEMA = "https://stac-extensions.github.io/eo/v2.0.0/schema.json"

PARQUET, LAZ = "application/vnd.apache.parquet", "application/vnd.laszip"

ASSETS = {
    "imagery": (write.IMAGERY, "Simulated aerial photograph", pystac.MediaType.COG, "visual"),
    "chm": (write.CHM, "Canopy height above ground [m]", pystac.MediaType.COG, "data"),
    "dtm": (write.DTM, "Elevation of ground and water [m]", pystac.MediaType.COG, "data"),
    "dsm": (write.DSM, "Elevation of ground, roofs and canopy [m]", pystac.MediaType.COG, "data"),
    "points": (write.POINTS, "Airborne laser points", LAZ, "data"),
    "trees": (write.TREES, "Trees", PARQUET, "data"),
    "footprints": (write.FOOTPRINTS, "Spaceborne laser footprints", PARQUET, "data"),
    "settings": (write.SETTINGS, "What the world was made from", pystac.MediaType.JSON, "metadata"),
}


def describe_world(world: World, name: str) -> pystac.Item:
    """Return a world as a STAC item, whose files stand beside it."""
    footprint = grid_footprint(world.grid)
    item = pystac.Item(
        id=name,
        geometry=footprint.geometry if footprint else None,
        bbox=footprint.bbox if footprint else None,
        datetime=MOMENT,
        properties=_properties(world),
    )
    grid, code = world.grid, world.grid.crs.to_authority() if world.grid.crs else None
    ProjectionExtension.ext(item, add_if_missing=True).apply(
        code=":".join(code) if code else None,
        shape=list(grid.shape),
        transform=list(grid.transform)[:6],
        bbox=list(grid.bounds),
    )
    sun = world.settings.sun
    ViewExtension.ext(item, add_if_missing=True).apply(
        off_nadir=world.settings.camera.tilt_deg,
        sun_azimuth=sun.azimuth_deg,
        sun_elevation=sun.elevation_deg,
    )
    for key, (file, title, kind, role) in ASSETS.items():
        item.add_asset(key, pystac.Asset(f"./{file}", title, media_type=kind, roles=[role]))
    item.assets["imagery"].extra_fields["bands"] = [
        {"name": colour, "eo:common_name": colour, "data_type": "uint8"} for colour in COLOURS
    ]
    item.stac_extensions.append(EO_SCHEMA)
    return item


def _properties(world: World) -> dict[str, Any]:
    """Return what the item of a world says beside time and place."""
    covered = float((world.chm > 2).mean())  # noqa: PLR2004 - canopy cover counts from 2 m
    return {
        "title": f"Simulated world: {world.settings.name}, seed {world.seed}",
        "gsd": world.settings.gsd_m,
        "canopy:simulated": True,
        "canopy:preset": world.settings.name,
        "canopy:seed": world.seed,
        "canopy:height_m": {
            "mean": round(float(world.chm.mean()), 3), "maximum": round(float(world.chm.max()), 3)
        },
        "canopy:cover": round(covered, 4),
    }  # fmt: skip


def write_collection(items: list[pystac.Item], folder: Path, seed: int) -> None:
    """Write the collection of some worlds and their items into the folder of their files."""
    collection = pystac.Collection(
        id=f"simulated-worlds-{seed}",
        description="Simulated forests with exact canopy heights. Nothing here exists on Earth.",
        extent=pystac.Extent.from_items(items),
        title=f"Simulated worlds of seed {seed}",
        license="CC0-1.0",
        keywords=["simulated", "forest", "canopy height"],
    )
    collection.add_items(items)
    collection.normalize_hrefs(folder.absolute().as_posix())
    collection.save(pystac.CatalogType.SELF_CONTAINED)
