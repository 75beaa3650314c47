"""A raster moved on the ground by another shift in every place: its pixels are resampled, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.warp import transform
from rasterio.windows import Window
from scipy import ndimage

from geo.grid import Grid
from geo.ground import ground_pixel_m
from geo.height_maps.cog import plain_then_cog
from geo.registration.moved_raster import moved_transform

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from affine import Affine
    from numpy.typing import NDArray
    from rasterio.crs import CRS
    from rasterio.io import DatasetReader, DatasetWriter

    from geo.registration.shift_field import ShiftField

    Array = NDArray[np.float64]

STRIP_PX = 256
"""Rows resampled at once."""

KNOT_M = 10.0
"""The field is computed at knots so far apart [m], and interpolated between them."""

HALF = 0.5


def write_bent(
    source: Path, path: Path, field: ShiftField, crs: CRS, tags: Mapping[str, str]
) -> None:
    """Write a raster moved by a field of shifts as a cloud-optimized GeoTIFF.

    Its pixels are those of the source moved by the base of the field; what the field adds is
    interpolated (bilinear). A pixel has a value where at least half of what it is made of has one.

    Args:
        source: a raster with a CRS; type, nodata, scale, unit, descriptions and tags are kept.
        path: where the file will stand; the caller renames it when whole. A plain copy stands
            beside it meanwhile.
        field: what is added to x and y in ``crs`` [m], by place in the result.
        crs: a projected CRS in metres, which need not be that of the raster.
        tags: tags that are added.

    Raises:
        MapFileError: it cannot be written.
    """
    with plain_then_cog(path) as plain, rasterio.open(source) as dataset:
        placed = moved_transform(dataset, field.base, crs)
        with rasterio.open(plain, "w", **profile_of(dataset, placed)) as target:
            describe_alike(dataset, target, tags)
            knots = offsets_at_knots(dataset, placed, field, crs)
            for row in range(0, dataset.height, STRIP_PX):
                bend_strip(dataset, target, knots, row)


def profile_of(dataset: DatasetReader, placed: Affine) -> dict[str, object]:
    """Return how the plain copy is laid out; what may come in beyond an edge needs a nodata."""
    nodata = dataset.nodata
    if nodata is None and np.issubdtype(np.dtype(dataset.dtypes[0]), np.floating):
        nodata = np.nan
    return {
        "driver": "GTiff", "dtype": dataset.dtypes[0], "count": dataset.count,
        "height": dataset.height, "width": dataset.width, "crs": dataset.crs,
        "transform": placed, "nodata": nodata, "compress": "deflate", "BIGTIFF": "IF_SAFER",
    }  # fmt: skip


def describe_alike(dataset: DatasetReader, target: DatasetWriter, tags: Mapping[str, str]) -> None:
    """Give a raster what another says of itself, and tags."""
    target.scales, target.offsets = dataset.scales, dataset.offsets
    target.units = tuple(unit or "" for unit in dataset.units)
    target.descriptions = dataset.descriptions
    target.update_tags(**{**dataset.tags(), **tags})


def offsets_at_knots(
    dataset: DatasetReader, placed: Affine, field: ShiftField, crs: CRS
) -> tuple[Array, int]:
    """Return how far down and right in the source a pixel of the result lies, at knots.

    Returns:
        Offsets (2, knots down, knots across) [px], and the pixels between knots.
    """
    grid = Grid(crs=dataset.crs, transform=placed, height=dataset.height, width=dataset.width)
    step = max(1, int(KNOT_M / max(ground_pixel_m(grid))))
    rows, columns = (np.arange(0, length + step, step) + 0.5 for length in dataset.shape)
    down, right = (part.ravel() for part in np.meshgrid(rows, columns, indexing="ij"))
    x, y = located(placed, right, down)
    x, y = (np.array(part) for part in transform(dataset.crs, crs, x, y))
    east, north = field.at(np.stack([x, y], axis=1)).T
    x, y = (np.array(part) for part in transform(crs, dataset.crs, x - east, y - north))
    from_right, from_down = located(~dataset.transform, x, y)
    shape = (2, len(rows), len(columns))
    return np.stack([from_down - down, from_right - right]).reshape(shape), step


def located(placed: Affine, x: Array, y: Array) -> tuple[Array, Array]:
    """Return where a transform puts places."""
    return placed.a * x + placed.b * y + placed.c, placed.d * x + placed.e * y + placed.f


def bend_strip(
    dataset: DatasetReader, target: DatasetWriter, knots: tuple[Array, int], row: int
) -> None:
    """Resample rows of all bands from a row on, and write them."""
    offsets, step = knots
    count = min(STRIP_PX, dataset.height - row)
    places = np.mgrid[row : row + count, : dataset.width].astype(np.float64)
    places += np.stack(
        [ndimage.map_coordinates(part, places / step, order=1, mode="nearest") for part in offsets]
    )
    first = max(0, int(np.floor(places[0].min())))
    last = min(dataset.height, int(np.ceil(places[0].max())) + 1)
    window = Window(0, row, dataset.width, count)
    read = Window(0, first, dataset.width, last - first) if last > first else None
    places[0] -= first
    known = np.zeros((count, dataset.width), bool)
    for band in dataset.indexes:
        values, known = sampled(dataset, band, read, places)
        target.write(values, band, window=window)
    if target.nodata is None:
        target.write_mask(known, window=window)


def sampled(
    dataset: DatasetReader, band: int, read: Window | None, places: Array
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Return stored values between the pixels of a window, and where there are any."""
    kind = np.dtype(dataset.dtypes[band - 1])
    nodata = dataset.nodata
    empty = np.nan if nodata is None and np.issubdtype(kind, np.floating) else nodata or 0
    if read is None:
        return np.full(places.shape[1:], empty, kind), np.zeros(places.shape[1:], bool)
    stored = dataset.read(band, window=read).astype(np.float64)
    valid = (dataset.read_masks(band, window=read) > 0) & np.isfinite(stored)
    weight, total = (
        ndimage.map_coordinates(part, places, order=1, mode="grid-constant")
        for part in (valid.astype(np.float64), np.where(valid, stored, 0.0))
    )
    known = weight >= HALF
    values = total / np.maximum(weight, HALF)
    if np.issubdtype(kind, np.integer):
        values = np.rint(values)
    return np.where(known, values, empty).astype(kind), known
