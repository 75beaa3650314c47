"""Cloud-optimized GeoTIFFs: written whole, checked strictly."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError  # what rasterio.shutil raises; it has no public name
from rasterio.errors import RasterioError
from rio_cogeo.cogeo import cog_validate

from geo.errors import MapFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from geo.grid import Grid

BLOCK_PX = 512

COG_OPTIONS = {
    "BLOCKSIZE": BLOCK_PX,
    "COMPRESS": "DEFLATE",
    "PREDICTOR": "YES",
    # Of heights as they are rounded, level 6 makes no smaller file and takes 1.7 times as long.
    "LEVEL": 4,
    "OVERVIEW_RESAMPLING": "AVERAGE",
    "NUM_THREADS": "ALL_CPUS",
    "BIGTIFF": "IF_SAFER",
}


@contextmanager
def plain_then_cog(path: Path) -> Iterator[Path]:
    """Give the place of a plain GeoTIFF to write, of which a checked COG is made afterwards.

    Args:
        path: where the COG will stand; the caller renames it when whole. The plain file stands
            beside it meanwhile.

    Raises:
        MapFileError: it cannot be written, or is no valid COG.
    """
    plain = path.with_suffix(".plain.tif")
    try:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_CACHEMAX=64):
            yield plain
    except (RasterioError, CPLE_BaseError) as error:
        detail = " ".join(str(error.__cause__ or error).split())
        msg = f"{path} cannot be written ({detail}): make room, or choose another output"
        raise MapFileError(msg) from error
    write_cog(plain, path)
    plain.unlink()
    check_cog(path)


def write_cog(source: Path, path: Path) -> None:
    """Copy a raster into a cloud-optimized GeoTIFF with 512 px blocks and average overviews.

    Args:
        source: a raster GDAL reads; its georeference, nodata, scale, unit, description and tags
            are kept.
        path: where the file will stand; the caller renames it when whole.

    Raises:
        MapFileError: it cannot be written.
    """
    try:
        with rasterio.Env(GDAL_CACHEMAX=64):
            rasterio.shutil.copy(source, path, driver="COG", **COG_OPTIONS)
    except (RasterioError, CPLE_BaseError) as error:
        detail = " ".join(str(error.__cause__ or error).split())
        msg = f"{path} cannot be written ({detail}): make room, or choose another output"
        raise MapFileError(msg) from error


def check_cog(path: Path) -> None:
    """Check that a file is a valid cloud-optimized GeoTIFF, without a warning.

    Raises:
        MapFileError: it is not; the line says why.
    """
    _, errors, warnings = cog_validate(path, strict=True, quiet=True)
    with rasterio.open(path) as dataset:
        if dataset.width == 1:  # it cannot be halved across, which rio-cogeo takes for a fault
            errors = [error for error in errors if not error.startswith("Invalid Decimation")]
    if faults := [*errors, *warnings]:
        msg = f"{path} is no valid cloud-optimized GeoTIFF: {'; '.join(faults)}"
        raise MapFileError(msg)


def room_needed(grid: Grid, bytes_per_pixel: int) -> int:
    """Return an upper estimate of the disk space that a map needs while it is made [bytes].

    The rows, the file compressed to no less than half of them, its overviews in full.
    """
    return int(grid.height * grid.width * bytes_per_pixel * (1 + 1 / 2 + 1 / 3))


def refuse_without_room(folder: Path, needed: int) -> None:
    """Refuse to begin a map that the disk cannot hold.

    Raises:
        MapFileError: there is less free space than needed.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        msg = (
            f"{folder} has {free / 1e9:.1f} GB free, the map needs up to {needed / 1e9:.1f} GB: "
            "make room, choose another output, or a smaller --encoding"
        )
        raise MapFileError(msg)
