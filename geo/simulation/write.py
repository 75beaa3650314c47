"""A world as files that any GIS opens: rasters, points and tables."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import geopandas
import laspy
import numpy as np
import rasterio
from pyproj import CRS, Transformer

from geo.errors import MapFileError
from geo.height_maps.cog import write_cog
from geo.simulation.footprints import RANKS
from geo.simulation.species import SPECIES

if TYPE_CHECKING:
    from pathlib import Path

    from geo.grid import Grid
    from geo.raster import Pixels
    from geo.simulation.world import World

IMAGERY, CHM, DTM, DSM = "imagery.tif", "chm.tif", "dtm.tif", "dsm.tif"
NIGHT_DEG = -25.0
"""Height of the sun when a satellite passed: by night, as filters of footprints ask [degrees]."""

POINTS, TREES, FOOTPRINTS = "points.laz", "trees.parquet", "footprints.parquet"
SETTINGS = "settings.json"

POINT_STEP_M = 0.001
"""Coordinates of points are whole multiples of it [m]."""


def write_world(world: World, folder: Path) -> None:
    """Write a world into a folder that exists, without its STAC item.

    Raises:
        MapFileError: the disk does not take it.
    """
    try:
        _write_raster(folder / IMAGERY, world.imagery, world.grid, "")
        _write_raster(folder / CHM, world.chm[None], world.grid, "Canopy height above ground")
        _write_raster(folder / DTM, world.dtm[None], world.grid, "Elevation of ground and water")
        _write_raster(folder / DSM, world.dsm[None], world.grid, "Elevation of the surface")
        _write_points(folder / POINTS, world)
        tree_table(world).to_parquet(folder / TREES)
        footprint_table(world).to_parquet(folder / FOOTPRINTS)
        facts = {"seed": world.seed, **asdict(world.settings)}
        (folder / SETTINGS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        msg = (
            f"{folder} cannot be written ({error.strerror or error}): make room, or choose another"
        )
        raise MapFileError(msg) from error


def _write_raster(path: Path, pixels: Pixels, grid: Grid, description: str) -> None:
    """Write pixels (bands, rows, columns) as a cloud-optimized GeoTIFF; heights where described."""
    plain = path.with_suffix(".plain.tif")
    profile: dict[str, Any] = {
        "driver": "GTiff", "count": pixels.shape[0], "dtype": pixels.dtype.name,
        "height": grid.height, "width": grid.width, "crs": grid.crs, "transform": grid.transform,
    }  # fmt: skip
    profile |= {"nodata": np.nan} if description else {"photometric": "RGB"}
    with rasterio.open(plain, "w", **profile) as dataset:
        dataset.write(pixels)
        if description:
            dataset.set_band_description(1, description)
            dataset.units = ("m",)
    write_cog(plain, path)
    plain.unlink()


def _write_points(path: Path, world: World) -> None:
    """Write laser points as LAZ 1.4 with the CRS in its header, in point format 6."""
    points, settings = world.points, world.settings
    header = laspy.LasHeader(point_format=6, version="1.4")
    header.scales = np.full(3, POINT_STEP_M)
    header.offsets = np.array([settings.west_m, settings.south_m, 0.0])
    header.add_crs(CRS.from_user_input(settings.crs))
    header.system_identifier, header.generating_software = "simulated", "canopy simulate"
    cloud = laspy.LasData(header)
    cloud.x, cloud.y = points.x + settings.west_m, points.y + settings.south_m
    cloud.z = points.z
    cloud.return_number, cloud.number_of_returns = points.number, points.of
    cloud.classification = points.kind
    cloud.write(str(path))


def tree_table(world: World) -> geopandas.GeoDataFrame:
    """Return the trees of a world, one a row, with the point of the stem as geometry."""
    trees, side = world.trees, world.settings.side_m
    inside = (np.minimum(trees.x, trees.y) >= 0) & (np.maximum(trees.x, trees.y) < side)
    columns = {
        "species": np.array([species.name for species in SPECIES], object)[trees.species],
        "height_m": trees.height_m,
        "crown_radius_m": trees.radius_m,
        "diameter_cm": trees.diameter_cm,
        "ground_m": trees.ground_m,
        "inside": inside,
    }
    return _table(world, columns, trees.x, trees.y)


def footprint_table(world: World) -> geopandas.GeoDataFrame:
    """Return the footprints of a world, one a row, with the reported point as geometry.

    Columns that GEDI's level 2A has carry its names; `true_*` columns are what it cannot know.
    """
    shots, settings = world.footprints, world.settings
    to_globe = Transformer.from_crs(settings.crs, "EPSG:4979", always_xy=True)
    longitude, latitude = to_globe.transform(shots.x + settings.west_m, shots.y + settings.south_m)
    count = len(shots)
    columns = {
        "shot_number": world.seed * 10_000 + np.arange(count, dtype=np.int64),
        "beam": shots.beam.astype(object),
        "full_power": shots.full_power,
        "lon_lowestmode": longitude,
        "lat_lowestmode": latitude,
        "elev_lowestmode": shots.ground_m,
        "sensitivity": shots.sensitivity,
        "quality_flag": shots.quality.astype(np.uint8),
        "degrade_flag": np.zeros(count, np.uint8),
        "solar_elevation": np.full(count, NIGHT_DEG),
        "track": shots.track,
        "cover": shots.cover,
        "true_x": shots.true_x + settings.west_m,
        "true_y": shots.true_y + settings.south_m,
        "true_ground_m": shots.true_ground_m,
        "true_rh98": shots.true_rh98,
    }
    columns |= {f"rh{rank}": shots.rh[:, rank] for rank in RANKS}
    return _table(world, columns, shots.x, shots.y)


def _table(world: World, columns: dict[str, Any], x: Pixels, y: Pixels) -> geopandas.GeoDataFrame:
    """Return columns with points [m from the lower left corner] in the CRS of a world."""
    settings = world.settings
    points = geopandas.points_from_xy(x + settings.west_m, y + settings.south_m)
    return geopandas.GeoDataFrame(columns, geometry=points, crs=settings.crs)
