"""Where the pixels of a labelled array lie: its axes, its coordinates and its CRS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from geo.errors import SceneError
from geo.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr

DOWN_NAMES = ("y", "latitude", "lat")
ACROSS_NAMES = ("x", "longitude", "lon")
DEGREES = ("latitude", "lat")

GRID_MAPPING = "spatial_ref"
"""Coordinate that holds the CRS where nothing else is said, as rioxarray and odc-geo write it."""

EPSG_COORDINATES = ("epsg", "proj:epsg", "proj:code")
"""Coordinates in which stackstac keeps the CRS."""

REGULAR_PX = 0.01
"""Pixel centres may stray this far from a straight count [px]."""

SAME_CORNER_PX = 1e-3
"""A transform in the attributes that strays no farther from the coordinates is believed [px]."""


def axis_names(imagery: xr.DataArray | xr.Dataset) -> tuple[str, str]:
    """Return the names of the rows' and the columns' dimension.

    Raises:
        SceneError: there are none.
    """
    found = [
        next((name for name in names if name in imagery.dims), None)
        for names in (DOWN_NAMES, ACROSS_NAMES)
    ]
    if found[0] is None or found[1] is None:
        msg = (
            f"imagery has the dimensions {', '.join(map(str, imagery.dims)) or '(none)'}: expected "
            "y and x (or latitude and longitude), rename them"
        )
        raise SceneError(msg)
    return found[0], found[1]


def grid_of(
    imagery: xr.DataArray | xr.Dataset, crs: object = None, pixel_size_m: float | None = None
) -> Grid:
    """Return the grid of an array whose coordinates are centres of pixels.

    Args:
        imagery: the array.
        crs: its CRS, where it does not say it itself or says it wrongly.
        pixel_size_m: side of a pixel [m] of an array that has no CRS.

    Raises:
        SceneError: it has no CRS, or its coordinates are missing or irregular.
    """
    names = axis_names(imagery)
    height, width = (imagery.sizes[name] for name in names)
    if not (height and width):
        msg = f"imagery has {height} x {width} pixels: expected at least one, select a larger part"
        raise SceneError(msg)
    found = read_crs(crs, "crs") if crs is not None else stated_crs(imagery)
    if found is None and pixel_size_m is not None:
        transform = Affine.scale(pixel_size_m, -pixel_size_m)
        return Grid(crs=None, transform=transform, height=height, width=width)
    if found is None:
        degrees = names[0] in DEGREES
        msg = (
            "imagery has no CRS: expected a spatial_ref coordinate or attrs['crs'], give "
            f"crs='EPSG:{4326 if degrees else 32633}'{'' if degrees else ' (its own)'}"
        )
        raise SceneError(msg)
    if pixel_size_m is not None:
        msg = "imagery is georeferenced: leave pixel_size_m out, its own grid is used"
        raise SceneError(msg)
    transform = transform_of(imagery, *names)
    return Grid(crs=found, transform=transform, height=height, width=width)


def transform_of(imagery: xr.DataArray | xr.Dataset, down: str, across: str) -> Affine:
    """Return the transform of pixel corners, exactly as attributes have it where they agree."""
    written = written_transform(imagery)
    rows, columns = (centres(imagery, name) for name in (down, across))
    if written and agrees(written, rows, columns):
        return written
    (top, height), (left, width) = (
        corner_and_step(values, name) for values, name in ((rows, down), (columns, across))
    )
    return Affine(width, 0, left, 0, height, top)


def centres(imagery: xr.DataArray | xr.Dataset, name: str) -> np.ndarray:
    """Return the coordinates of an axis.

    Raises:
        SceneError: it has none, or they are no numbers.
    """
    if name not in imagery.coords:
        msg = (
            f"imagery has no coordinates along {name}: expected centres of pixels, assign them "
            "with imagery.assign_coords"
        )
        raise SceneError(msg)
    values = np.asarray(imagery.coords[name].values)
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        msg = f"the coordinates along {name} are not all numbers: expected centres of pixels"
        raise SceneError(msg)
    return values.astype(np.float64)


def corner_and_step(values: np.ndarray, name: str) -> tuple[float, float]:
    """Return where the first pixel begins and how long each is, of centres along an axis.

    Where a shorter decimal lies within the noise of the coordinates, it is what was meant.

    Raises:
        SceneError: the centres are not evenly spaced.
    """
    if len(values) == 1:
        msg = (
            f"imagery has one pixel along {name} and no GeoTransform: the size of its pixels is "
            "unknown, select two or more"
        )
        raise SceneError(msg)
    count = len(values) - 1
    step = float(values[-1] - values[0]) / count
    strays = np.abs(values - (values[0] + step * np.arange(len(values)))).max()
    if not step or strays > REGULAR_PX * abs(step):
        msg = (
            f"the coordinates along {name} are not evenly spaced (one is {strays:g} off, at "
            f"steps of {step:g}): expected centres of pixels, resample the imagery to a grid"
        )
        raise SceneError(msg)
    noise = 4 * float(np.spacing(np.abs(values).max()))
    step = rounder(step, 9, noise / count)
    return rounder(float(values[0]) - step / 2, 12, noise), step


def rounder(value: float, digits: int, noise: float) -> float:
    """Return a number with fewer digits if it lies within the noise of another."""
    short = float(f"{value:.{digits}g}")
    return short if abs(short - value) <= noise else value


def written_transform(imagery: xr.DataArray | xr.Dataset) -> Affine | None:
    """Return the GeoTransform that rioxarray or odc-geo wrote, where there is one."""
    for attributes in crs_attributes(imagery):
        words = str(attributes.get("GeoTransform", "")).split()
        if len(words) == 6:  # noqa: PLR2004 - GDAL's six
            try:
                return Affine.from_gdal(*map(float, words))
            except ValueError:
                return None
    return None


def agrees(transform: Affine, rows: np.ndarray, columns: np.ndarray) -> bool:
    """Whether a transform puts the first and last centres where the coordinates do."""
    if transform.b or transform.d:
        return False
    axes = (
        (rows, transform.f, transform.e),
        (columns, transform.c, transform.a),
    )
    return all(
        abs(corner + step * (index % len(values) + 0.5) - values[index])
        < SAME_CORNER_PX * abs(step)
        for values, corner, step in axes
        for index in (0, len(values) // 2, -1)
    )


def stated_crs(imagery: xr.DataArray | xr.Dataset) -> CRS | None:
    """Return the CRS that an array states, or None.

    Raises:
        SceneError: what it states is none.
    """
    for attributes in crs_attributes(imagery):
        for name in ("crs_wkt", "spatial_ref"):
            if text := attributes.get(name):
                return read_crs(text, f"attribute {name}")
    for attributes in array_attributes(imagery):
        if attributes.get("crs") is not None:
            return read_crs(attributes["crs"], "attrs['crs']")
    for name in EPSG_COORDINATES:
        if name in imagery.coords and imagery.coords[name].size == 1:
            return read_crs(imagery.coords[name].item(), f"coordinate {name}")
    return None


def crs_attributes(imagery: xr.DataArray | xr.Dataset) -> Iterator[dict[str, Any]]:
    """Yield the attributes of the coordinates that may hold the CRS, the likeliest first."""
    names = [
        source.get("grid_mapping")
        for array in arrays_of(imagery)
        for source in (array.encoding, array.attrs)
    ]
    others = [name for name, coordinate in imagery.coords.items() if coordinate.ndim == 0]
    for name in dict.fromkeys([*names, GRID_MAPPING, *others]):
        if name in imagery.coords:
            yield imagery.coords[name].attrs
        elif name in getattr(imagery, "data_vars", ()):
            yield imagery[name].attrs


def array_attributes(imagery: xr.DataArray | xr.Dataset) -> Iterator[dict[str, Any]]:
    """Yield the attributes of an array, or of a data set and its variables."""
    yield imagery.attrs
    for array in arrays_of(imagery):
        yield array.attrs


def arrays_of(imagery: xr.DataArray | xr.Dataset) -> list[xr.DataArray]:
    """Return the variables of a data set, or the array itself."""
    variables = getattr(imagery, "data_vars", None)
    return [imagery] if variables is None else list(variables.values())  # type: ignore[list-item]


def read_crs(value: object, where: str) -> CRS:
    """Return the CRS of whatever states it: a code, text, a number or an object.

    Raises:
        SceneError: it is none.
    """
    try:
        return CRS.from_user_input(value)
    except (CRSError, TypeError, ValueError) as error:
        msg = f"{where} is {str(value)[:60]!r}: expected a CRS, such as 'EPSG:32633'"
        raise SceneError(msg) from error
