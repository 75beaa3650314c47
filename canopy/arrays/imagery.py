"""A labelled array as imagery: which bands are the colours, what is missing, where it lies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import xarray as xr

from canopy.arrays.georeference import array_attributes, axis_names, grid_of
from canopy.arrays.windows import GDAL_TYPES
from geo.bands import COLOUR_NAMES, Bands
from geo.errors import SceneError
from geo.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "imagery"
"""What messages call it."""

BAND_NAMES = ("band", "bands", "channel", "channels", "variable")
BAND_LABELS = ("common_name", "eo:common_name", "band_name")
"""Coordinates beside the band's own that may name the colours."""

SHORT = {"r": "red", "g": "green", "b": "blue"}
ALPHA = "alpha"
NODATA = ("_FillValue", "nodata", "missing_value")

CHUNK_PX = 2048
"""Side of the parts in which an array is read that is not Dask's yet [px]."""


@dataclass(frozen=True, kw_only=True)
class ArrayImagery:
    """Imagery whose pixels are computed when they are needed.

    Attributes:
        pixels: (3, rows, columns), red, green and blue, or (4, rows, columns) with an alpha band.
        scene: what is known of them without computing any: grid, type, nodata.
    """

    pixels: da.Array
    scene: Scene


def read_imagery(
    imagery: xr.DataArray | xr.Dataset,
    *,
    bands: Sequence[int] | None = None,
    crs: object = None,
    pixel_size_m: float | None = None,
) -> ArrayImagery:
    """Understand a labelled array as imagery, without computing any of it.

    Args:
        imagery: an array with bands, or a data set with one variable a band.
        bands: which bands are red, green and blue (1-based); decided from their names if None.
        crs: its CRS; None for what it states.
        pixel_size_m: side of a pixel [m] of an array without a CRS.

    Raises:
        SceneError: it has no three colours, no place on Earth, or pixels that are no numbers.
    """
    if not isinstance(imagery, xr.DataArray | xr.Dataset):
        msg = (
            f"imagery is a {type(imagery).__name__}: expected an xarray DataArray or Dataset, map "
            "files with canopy.map_heights"
        )
        raise SceneError(msg)
    array = without_other_axes(stacked(imagery))
    nodata = stated_nodata(imagery)
    grid = grid_of(imagery, crs, pixel_size_m)
    axis = band_axis(array)
    chosen = chosen_bands(array, axis, bands)
    checked_type(array)
    pixels = lazy_pixels(array.isel({axis: chosen}), axis)
    if whole := whole_type(array):
        pixels, nodata = as_stored(pixels, whole, array.encoding.get("_FillValue"))
    return ArrayImagery(
        pixels=pixels,
        scene=Scene(
            source=NAME,
            grid=grid,
            bands=Bands(colours=(1, 2, 3), alpha=4 if len(pixels) > len(COLOUR_NAMES) else None),
            dtype=pixels.dtype.name,
            nodata=representable(nodata, pixels.dtype),
            driver="xarray",
        ),
    )


def stacked(imagery: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Return the variables of a data set as bands; an array as it is.

    Raises:
        SceneError: the data set has no variable on its axes.
    """
    if isinstance(imagery, xr.DataArray):
        return imagery
    axes = set(axis_names(imagery))
    images = {name: array for name, array in imagery.data_vars.items() if axes <= set(array.dims)}
    if not images:
        msg = "imagery is a Dataset without a variable over y and x: give red, green and blue"
        raise SceneError(msg)
    if len(images) == 1:
        return next(iter(images.values()))
    return xr.Dataset(images).to_dataarray(dim="band")


def without_other_axes(array: xr.DataArray) -> xr.DataArray:
    """Drop axes of length one that are neither bands nor y and x.

    Raises:
        SceneError: such an axis is longer.
    """
    kept = {*axis_names(array), *BAND_NAMES}
    others = [name for name in array.dims if name not in kept]
    for name in others:
        if array.sizes[name] > 1:
            msg = (
                f"imagery has {array.sizes[name]} along {name}: expected one image, choose it "
                f"with imagery.isel({name}=0) or take a median"
            )
            raise SceneError(msg)
    return array.squeeze(others)


def band_axis(array: xr.DataArray) -> str:
    """Return the name of the axis of bands.

    Raises:
        SceneError: there is none, or there are two.
    """
    found = [name for name in BAND_NAMES if name in array.dims]
    if len(found) != 1:
        what = f"the axes {' and '.join(found)} of bands" if found else "one grey band"
        msg = (
            f"imagery has {what}: canopy height needs red, green and blue along one axis called "
            "band, stack them so"
        )
        raise SceneError(msg)
    return found[0]


def chosen_bands(array: xr.DataArray, axis: str, wanted: Sequence[int] | None) -> list[int]:
    """Return the positions of red, green, blue, and of alpha where there is one.

    Those asked for win; then those called red, green and blue; then the first three.

    Raises:
        SceneError: there are no three, or it cannot be told which they are.
    """
    count = array.sizes[axis]
    labels = band_labels(array, axis)
    alpha = [labels.index(ALPHA)] if ALPHA in labels else []
    if wanted is not None:
        return [*asked_for(wanted, count, alpha), *alpha]
    optical = [index for index in range(count) if index not in alpha]
    if len(optical) < len(COLOUR_NAMES):
        msg = (
            f"imagery has {'one grey band' if len(optical) == 1 else f'{len(optical)} bands'}: "
            "canopy height needs red, green and blue, give a colour image"
        )
        raise SceneError(msg)
    if all(labels.count(name) == 1 for name in COLOUR_NAMES):
        return [*(labels.index(name) for name in COLOUR_NAMES), *alpha]
    if len(optical) > len(COLOUR_NAMES) and any(labels):
        names = ", ".join(label for label in labels if label)
        msg = (
            f"imagery has the bands {names}: which are red, green and blue is not said, choose "
            f"three in that order, such as imagery.isel({axis}=[2, 1, 0])"
        )
        raise SceneError(msg)
    return [*optical[:3], *alpha]


def asked_for(wanted: Sequence[int], count: int, alpha: list[int]) -> list[int]:
    """Return the positions of bands that a user asked for.

    Raises:
        SceneError: they are not three of the array's.
    """
    if len(wanted) != len(COLOUR_NAMES):
        msg = f"{len(wanted)} bands asked for: give three, red, green and blue, such as (3, 2, 1)"
        raise SceneError(msg)
    for band in wanted:
        if not 1 <= band <= count:
            msg = f"band {band} asked for: imagery has bands 1 to {count}"
            raise SceneError(msg)
        if band - 1 in alpha:
            msg = f"band {band} asked for: it is the alpha band of imagery, not a colour"
            raise SceneError(msg)
    return [band - 1 for band in wanted]


def band_labels(array: xr.DataArray, axis: str) -> list[str]:
    """Return what each band is called, in lower case; empty where it is only numbered.

    Names that tell the colours come before names that do not.
    """
    candidates: list[Any] = [
        array.coords[name].values.tolist()
        for name in (axis, *BAND_LABELS)
        if name in array.coords and array.coords[name].dims == (axis,)
    ]
    candidates.append(array.attrs.get("long_name"))
    usable = [
        in_full([label.strip().lower() for label in labels])
        for labels in candidates
        if isinstance(labels, list | tuple)
        and len(labels) == array.sizes[axis]
        and all(isinstance(label, str) for label in labels)
    ]
    telling = [labels for labels in usable if set(COLOUR_NAMES) <= set(labels)]
    return [*telling, *usable, [""] * array.sizes[axis]][0]


def in_full(labels: list[str]) -> list[str]:
    """Return labels with red, green and blue for r, g and b, where all three are there."""
    return [SHORT.get(label, label) for label in labels] if set(SHORT) <= set(labels) else labels


def checked_type(array: xr.DataArray) -> None:
    """Refuse pixels of a type that imagery has not.

    Raises:
        SceneError: it is none that imagery has.
    """
    if array.dtype.name not in GDAL_TYPES:
        msg = (
            f"imagery has {array.dtype} pixels: expected {', '.join(GDAL_TYPES)}, convert it with "
            "imagery.astype"
        )
        raise SceneError(msg)


def whole_type(array: xr.DataArray) -> str | None:
    """Return the type of the whole numbers of a file that xarray has made real ones, or None.

    It does so to put NaN where pixels are missing, and says it in ``encoding``, which no longer
    stands there once the values are others.
    """
    stored = np.dtype(array.encoding.get("dtype") or array.dtype)
    scaled = array.encoding.get("scale_factor", 1) != 1 or array.encoding.get("add_offset", 0) != 0
    if array.dtype.kind != "f" or stored.kind not in "iu" or scaled:
        return None
    return stored.name if stored.name in GDAL_TYPES else None


def as_stored(pixels: da.Array, whole: str, fill: float | None) -> tuple[da.Array, float | None]:
    """Return real numbers as the whole ones they were read from, and the value of missing ones.

    Args:
        pixels: (bands, rows, columns), NaN where missing.
        whole: their type in the file.
        fill: what missing pixels were there; where that is not known, a band of alpha tells them.
    """
    missing = da.isnan(pixels)
    numbers = da.where(missing, 0 if fill is None else fill, pixels).astype(whole)
    if fill is not None or len(pixels) > len(COLOUR_NAMES):
        return numbers, fill
    opaque = np.iinfo(whole).max
    alpha = da.where(missing.any(axis=0, keepdims=True), 0, opaque).astype(whole)
    return da.concatenate([numbers, alpha]), None  # type: ignore[no-untyped-call]


def lazy_pixels(array: xr.DataArray, axis: str) -> da.Array:
    """Return pixels (bands, rows, columns) as a Dask array."""
    down, across = axis_names(array)
    if array.chunks is None:
        array = array.chunk({down: CHUNK_PX, across: CHUNK_PX})
    pixels = array.transpose(axis, down, across).data
    if any(math.isnan(size) for sizes in pixels.chunks for size in sizes):
        msg = "imagery has chunks of unknown size: call compute_chunk_sizes on its data first"
        raise SceneError(msg)
    found: da.Array = pixels
    return found


def stated_nodata(imagery: xr.DataArray | xr.Dataset) -> float | None:
    """Return the value of missing pixels that an array states, or None.

    Raises:
        SceneError: its variables state different ones, or it is no number.
    """
    found = {
        number(attributes[name])
        for attributes in nodata_sources(imagery)
        for name in [next((name for name in NODATA if attributes.get(name) is not None), None)]
        if name
    }
    real = {value for value in found if not math.isnan(value)}
    if len(real) > 1:
        msg = (
            f"imagery states {' and '.join(f'{value:g}' for value in sorted(real))} for missing "
            "pixels: expected one value, mask them as NaN first"
        )
        raise SceneError(msg)
    return real.pop() if real else None


def nodata_sources(imagery: xr.DataArray | xr.Dataset) -> list[dict[Any, Any]]:
    """Return the attributes that may state what is missing.

    What xarray keeps of the file in ``encoding`` counts for whole numbers alone: in real ones it
    has put NaN there itself.
    """
    arrays = [imagery] if isinstance(imagery, xr.DataArray) else list(imagery.data_vars.values())
    encodings = [array.encoding for array in arrays if array.dtype.kind in "iu"]
    return [*array_attributes(imagery), *encodings]


def number(value: object) -> float:
    """Return the value of an attribute as a number.

    Raises:
        SceneError: it is none.
    """
    try:
        return float(np.asarray(value).item())
    except (TypeError, ValueError) as error:
        msg = f"imagery states {value!r} for missing pixels: expected one number"
        raise SceneError(msg) from error


def representable(nodata: float | None, dtype: np.dtype[Any]) -> float | None:
    """Return a nodata value if pixels of a type can have it."""
    if nodata is None or dtype.kind == "f":
        return nodata
    limits = np.iinfo(dtype)
    return nodata if nodata.is_integer() and limits.min <= nodata <= limits.max else None
