"""Tables and vector files: points with heights, polygons with groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from canopy.errors import SettingsError
from geo.errors import SceneError

VECTOR_SUFFIXES = {".gpkg", ".geojson", ".json", ".shp", ".fgb", ".csv", ".parquet", ".geoparquet"}
"""Files that hold points or polygons and not pixels."""

LONGITUDES = ("longitude", "lon", "lon_lowestmode", "long", "lng")
LATITUDES = ("latitude", "lat", "lat_lowestmode")
"""Columns of coordinates in degrees (WGS 84), in any case of letters."""

DRIVER_ERRORS = (OSError, ValueError, RuntimeError)
"""What readers of vector files raise: pyogrio's errors are RuntimeErrors, pyarrow's ValueErrors."""


def is_vector(path: str) -> bool:
    """Whether a reference is points and no raster, by its name."""
    return Path(path).suffix.lower() in VECTOR_SUFFIXES


def read_table(path: Path) -> Any:  # noqa: ANN401 - geopandas is published without types
    """Read a table, with geometry where it has one.

    Returns:
        A GeoDataFrame of GPKG, GeoJSON, GeoParquet and the like, and of CSV with longitude and
        latitude; else a DataFrame.

    Raises:
        SceneError: the file is missing or cannot be read.
    """
    import geopandas as gpd  # noqa: PLC0415 - slow, and rasters alone do not need it

    if path.is_dir():
        msg = f"{path} is a folder: expected a table or a vector file"
        raise SceneError(msg)
    if not path.is_file():
        msg = f"{path} does not exist: expected a table or a vector file, check the path"
        raise SceneError(msg)
    suffix = path.suffix.lower()
    try:
        if suffix == ".csv":
            return read_csv(path)
        if suffix in {".parquet", ".geoparquet"}:
            return gpd.read_parquet(path)
        return gpd.read_file(path)
    except DRIVER_ERRORS as error:
        detail = " ".join(str(error).split("; It might help")[0].split()).rstrip(".")
        msg = (
            f"{path} cannot be read as a table or vector file ({detail[:160]}): is it one, and "
            "whole? Known are GeoParquet, GPKG, GeoJSON, CSV and alike"
        )
        raise SceneError(msg) from error


def read_csv(path: Path) -> Any:  # noqa: ANN401 - see read_table
    """Read a CSV, as points where it has longitudes and latitudes."""
    import geopandas as gpd  # noqa: PLC0415 - see read_table

    table = gpd.read_file(path, AUTODETECT_TYPE="YES")
    names = {str(name).strip().lower(): name for name in table.columns}
    longitude = next((names[name] for name in LONGITUDES if name in names), None)
    latitude = next((names[name] for name in LATITUDES if name in names), None)
    if longitude is None or latitude is None:
        return table
    points = gpd.points_from_xy(table[longitude], table[latitude])
    return gpd.GeoDataFrame(table, geometry=points, crs="EPSG:4326")


def find_column(path: str, columns: list[str], wanted: str | None, usual: tuple[str, ...]) -> str:
    """Return the column that was asked for, or the first of the usual names in any case.

    Raises:
        SettingsError: there is none.
    """
    if wanted is not None:
        if wanted in columns:
            return wanted
        msg = f"{path} has no column {wanted}: found {', '.join(columns)}; choose one of them"
        raise SettingsError(msg)
    by_name = {name.lower(): name for name in reversed(columns)}
    for name in usual:
        if name in by_name:
            return by_name[name]
    msg = (
        f"{path} has no column of a usual name ({', '.join(usual[:4])}): found "
        f"{', '.join(columns)}; name it with --height-column"
    )
    raise SettingsError(msg)
