"""A raster moved on the ground: its georeference changes, its pixels do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.warp import transform

from geo.height_maps.cog import plain_then_cog

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rasterio.crs import CRS
    from rasterio.io import DatasetReader

    from geo.grid import Grid


def write_moved(
    source: Path, path: Path, shift_m: tuple[float, float], crs: CRS, tags: Mapping[str, str]
) -> None:
    """Write a raster with another georeference as a cloud-optimized GeoTIFF.

    Args:
        source: a raster with a CRS; nodata, scale, unit, descriptions and tags are kept.
        path: where the file will stand; the caller renames it when whole. A plain copy stands
            beside it meanwhile.
        shift_m: what is added to x and y in ``crs`` [m].
        crs: a projected CRS in metres, which need not be that of the raster.
        tags: tags that are added.

    Raises:
        MapFileError: it cannot be written.
    """
    with plain_then_cog(path) as plain:
        rasterio.shutil.copy(source, plain, driver="GTiff", COMPRESS="DEFLATE", BIGTIFF="IF_SAFER")
        with rasterio.open(plain, "r+") as dataset:
            dataset.transform = moved_transform(dataset, shift_m, crs)
            dataset.update_tags(**tags)


def moved_transform(
    dataset: DatasetReader | Grid, shift_m: tuple[float, float], crs: CRS
) -> Affine:
    """Return the transform of a raster whose centre moves by metres of another CRS."""
    before = dataset.transform * (dataset.width / 2, dataset.height / 2)
    if dataset.crs == crs:
        return shifted(dataset.transform, *shift_m)
    (x,), (y,) = transform(dataset.crs, crs, [before[0]], [before[1]])
    # Back from the same CRS without a shift too: what the two projections round off cancels.
    xs, ys = transform(crs, dataset.crs, [x, x + shift_m[0]], [y, y + shift_m[1]])
    return shifted(dataset.transform, xs[1] - xs[0], ys[1] - ys[0])


def shifted(placed: Affine, x: float, y: float) -> Affine:
    """Return a transform whose results are moved."""
    return Affine(placed.a, placed.b, placed.c + x, placed.d, placed.e, placed.f + y)
