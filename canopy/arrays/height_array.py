"""Canopy heights of a labelled array: lazy, on Dask, the numbers of the map of a file."""

from __future__ import annotations

import uuid
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from dask.base import tokenize

from canopy.arrays.graph import lazy_heights
from canopy.arrays.imagery import read_imagery
from canopy.arrays.tasks import PieceJob
from canopy.arrays.windows import ArrayWindows
from canopy.errors import SettingsError
from canopy.height_models.forward import CPU_BATCH
from canopy.mapping.map_heights import interval_of
from canopy.mapping.plan import plan_map
from canopy.mapping.settings import MapSettings
from canopy.mapping.tile_heights import batches
from canopy.shared_model import share_model
from canopy.version import __version__
from canopy.weights import DEFAULT_MODEL
from geo.ground import to_pyproj

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import pyproj

    from canopy.arrays.imagery import ArrayImagery
    from canopy.height_models.height_model import HeightModel
    from canopy.mapping.plan import MapPlan
    from geo.grid import Grid

NAME = "canopy_height"
LAYERS = ("height", "lower", "upper")

WITHOUT_MEANING = {
    "grid": "reproject the heights instead",
    "resolution_m": "reproject the heights instead",
    "encoding": "heights are float32 metres, store them as you like",
    "preview": "nothing is written",
    "stac": "nothing is written",
    "overwrite": "nothing is written",
    "resume": "nothing is written",
}
"""Settings of a map that decide nothing about an array, and what to do instead."""


def predict(
    imagery: xr.DataArray | xr.Dataset,
    *,
    model: HeightModel | str | Path = DEFAULT_MODEL,
    settings: MapSettings | None = None,
    crs: object = None,
    device: str = "auto",
    chunk_px: int | None = None,
) -> xr.DataArray:
    """Return the canopy height of an image as a lazy array.

    Nothing of the image is computed before the heights are. They are those that
    :func:`canopy.map_heights` finds in a file of the same pixels, on the same grid, and depend
    neither on the chunks of the image nor on their own.

    Args:
        imagery: (band, y, x) in any order, or a data set with a variable a band; NumPy's or
            Dask's. Coordinates are centres of pixels. The bands called red, green and blue are
            taken, else the first three. Missing pixels are NaN, or the value that ``_FillValue``
            or ``nodata`` names, or have 0 in a band called alpha.
        model: a height model, or the name or folder of one. A name is loaded once in each process
            that predicts, a model in memory is sent to each once.
        settings: choices about the map; those about files have no meaning here.
        crs: CRS of the coordinates, whatever rasterio understands; None for what the imagery
            states in ``spatial_ref``, as rioxarray and odc-geo write it, or in ``attrs["crs"]``.
        device: where a model given by name runs: ``auto``, ``cpu`` or ``cuda``.
        chunk_px: about how many pixels a side each chunk of the heights has, in whole tiles; None
            for one row of tiles by as many as are predicted at once.

    Returns:
        Heights [m] (y, x), float32, NaN where the imagery has no data, y from north to south; CRS
        in the coordinate ``spatial_ref``. With ``settings.interval`` (band, y, x), bands
        ``height``, ``lower`` and ``upper``.

    Raises:
        CanopyError: the settings or the model do not fit.
        GeoError: the imagery has no colours, or no place on Earth, or is too coarse.
    """
    settings = settings or MapSettings()
    refuse_meaningless(settings, chunk_px)
    image = read_imagery(imagery, bands=settings.bands, crs=crs, pixel_size_m=settings.pixel_size_m)
    shared, here = share_model(model, device, settings)
    plan = array_plan(image, here, settings)
    job = PieceJob(
        plan=plan,
        windows=ArrayWindows(scene=image.scene, grid=plan.grid),
        columns=piece_columns(plan),
        samples=looks_at_pixels(image, settings),
    )
    token = tokenize(
        image.pixels.name,
        here.fingerprint or uuid.uuid4().hex,
        plan.identity,
        settings.stretch,
        settings.batch,
        image.scene.nodata,
    )
    heights = lazy_heights(image, job, shared, token, chunk_px=chunk_px)
    return labelled(heights, plan, here)


def refuse_meaningless(settings: MapSettings, chunk_px: int | None) -> None:
    """Refuse settings that would have no effect.

    Raises:
        SettingsError: there is one.
    """
    default = MapSettings()
    for name in (field.name for field in fields(settings)):
        if name in WITHOUT_MEANING and getattr(settings, name) != getattr(default, name):
            msg = (
                f"{name} of {getattr(settings, name)} has no meaning for an array "
                f"({WITHOUT_MEANING[name]}): leave it out, or map a file with canopy.map_heights"
            )
            raise SettingsError(msg)
    if settings.radiometry == "aerial":
        msg = (
            "radiometry aerial of an array: its colours are matched over windows of the whole "
            "scene, which is done for files only, write it to one and use canopy.map_heights"
        )
        raise SettingsError(msg)
    if chunk_px is not None and chunk_px < 1:
        msg = f"chunk_px of {chunk_px}: expected at least 1"
        raise SettingsError(msg)


def array_plan(image: ArrayImagery, model: HeightModel, settings: MapSettings) -> MapPlan:
    """Decide everything about the heights but a stretch that needs pixels.

    Raises:
        SettingsError: the settings do not fit the imagery.
        GeoError: it is too coarse, or lies outside its CRS.
    """
    interval = interval_of(model, settings)
    if not looks_at_pixels(image, settings):
        return plan_map(image.scene, model, settings, None, interval)
    if settings.radiometry == "none":
        msg = (
            f"radiometry none with a stretch of auto: imagery has {image.scene.dtype}, whose "
            "values would be stretched; choose a stretch of none or (LOW, HIGH)"
        )
        raise SettingsError(msg)
    return plan_map(image.scene, model, replace(settings, stretch="none"), None, interval)


def looks_at_pixels(image: ArrayImagery, settings: MapSettings) -> bool:
    """Whether the stretch is that of the pixels themselves."""
    return settings.stretch == "auto" and image.scene.dtype != "uint8"


def piece_columns(plan: MapPlan) -> tuple[int, ...]:
    """Return the first column of tiles of each piece, and the end of the last.

    A piece holds the tiles that a map predicts at once where none is empty, since the last bit of
    a height depends on the number of its neighbours in the batch.
    """
    columns = list(range(len(plan.tiles.columns)))
    groups = list(batches(columns, plan.settings.batch or CPU_BATCH))
    return (*(group[0] for group in groups), len(columns))


def labelled(heights: Any, plan: MapPlan, model: HeightModel) -> xr.DataArray:  # noqa: ANN401 - Dask's
    """Return heights with the names, units, coordinates and CRS that others look for."""
    card = model.card
    attributes: dict[str, str | float] = {
        "standard_name": NAME,
        "long_name": "canopy height above ground",
        "units": "m",
        "model": card.title,
        "model_sha256": model.fingerprint,
        "source": f"canopy {__version__}",
    }
    bands = {}
    if plan.interval:
        bands = {"band": list(LAYERS)}
        attributes["interval"] = plan.interval.level
    array = xr.DataArray(
        heights,
        dims=(*bands, "y", "x"),
        coords=bands | coordinates(plan.grid),
        name=NAME,
        attrs={name: value for name, value in attributes.items() if value != ""},
    )
    array.encoding = {"_FillValue": np.float32(np.nan)}
    if plan.grid.crs:
        array.encoding["grid_mapping"] = "spatial_ref"
    return array


def coordinates(grid: Grid) -> dict[str, Any]:
    """Return the coordinates of a north-up grid, centres of pixels, and its CRS if it has one."""
    transform = grid.transform
    y = transform.f + transform.e * (np.arange(grid.height) + 0.5)
    x = transform.c + transform.a * (np.arange(grid.width) + 0.5)
    if grid.crs is None:
        units = {"units": "m"}
        return {"y": ("y", y, units), "x": ("x", x, units)}
    crs = to_pyproj(grid.crs)
    across, down = axis_attributes(crs)
    wkt = grid.crs.to_wkt()
    mapping = crs.to_cf() | {
        "crs_wkt": wkt,
        "spatial_ref": wkt,
        "GeoTransform": " ".join(repr(value) for value in transform.to_gdal()),
    }
    return {
        "y": ("y", y, down),
        "x": ("x", x, across),
        "spatial_ref": ((), np.int32(0), mapping),
    }


def axis_attributes(crs: pyproj.CRS) -> tuple[dict[str, str], dict[str, str]]:
    """Return the attributes of x and y in a CRS."""
    found = {attributes["axis"]: attributes for attributes in crs.cs_to_cf()}
    return found.get("X", {}), found.get("Y", {})
