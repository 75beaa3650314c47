"""Rasters of heights as they come: any unit, scale, nodata and mask, read as metres."""

from __future__ import annotations

import logging
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from canopy.errors import SettingsError
from canopy.stored_heights import LOWEST_M, TALLEST_M, metres_stored
from geo.acquisition import acquisition_from_tags
from geo.errors import ConnectionLostError, SceneError
from geo.grid import Grid
from geo.ground import ground_pixel_m
from geo.scene import GDAL_OPTIONS, is_remote, reason_unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from rasterio.io import DatasetReader

    Heights = NDArray[np.float64]
    Mask = NDArray[np.bool_]

log = logging.getLogger(__name__)

ENDS = ("lower", "upper")
"""How the descriptions of bands 2 and 3 begin that are ends of intervals, as in `lower 90 %`."""


@dataclass(frozen=True, kw_only=True)
class HeightSource:
    """A raster of heights.

    Attributes:
        path: file or URL.
        grid: its pixels.
        pixel_m: width and height of a pixel on the ground [true m].
        scale: metres of one stored unit.
        offset: height of a stored 0 [m].
        dtype: type of what is stored.
        date: when it was taken, as its tags say, or None.
        evidence: the tag that says so, or None.
        interval: level of the intervals whose ends are bands 2 and 3, or None.
        band: which band is read.
    """

    path: str
    grid: Grid
    pixel_m: tuple[float, float]
    scale: float
    offset: float
    dtype: str
    date: str | None
    evidence: str | None
    interval: float | None = None
    band: int = 1

    @property
    def mean_pixel_m(self) -> float:
        """Side of a square as large as a pixel [m]."""
        return float(np.sqrt(self.pixel_m[0] * self.pixel_m[1]))

    @contextmanager
    def open(self) -> Iterator[HeightReader]:
        """Lend what reads its heights."""
        with opened(self.path) as dataset:
            yield HeightReader(dataset, self)


class HeightReader:
    """Reads windows of an open raster of heights.

    Attributes:
        source: what is read.
        implausible: whether a height was met that no tree has.
    """

    def __init__(self, dataset: DatasetReader, source: HeightSource) -> None:
        """Read an open dataset."""
        self.dataset, self.source = dataset, source
        self.implausible = False

    def read(self, row: int, column: int, height: int, width: int) -> tuple[Heights, Mask]:
        """Return heights of a window, which may reach beyond the raster.

        Returns:
            Heights [m] (height, width), 0 where there is none and where the file has a height
            below 0; and their mask (True = valid). Nothing beyond the raster is valid.

        Raises:
            SceneError: the file breaks off or is corrupt.
        """
        heights, valid = np.zeros((height, width)), np.zeros((height, width), bool)
        rows = clipped(row, height, self.source.grid.height)
        columns = clipped(column, width, self.source.grid.width)
        if rows and columns:
            window = Window(columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0])
            inside = (
                slice(rows[0] - row, rows[1] - row),
                slice(columns[0] - column, columns[1] - column),
            )
            heights[inside], valid[inside] = self._read(window)
        return heights, valid

    def _read(self, window: Window) -> tuple[Heights, Mask]:
        """Heights of a window inside the raster."""
        try:
            stored = self.dataset.read(self.source.band, window=window)
            masked = self.dataset.read_masks(self.source.band, window=window) > 0
        except RasterioError as error:
            raise broken(self.source.path, error) from error
        heights = stored.astype(np.float64) * self.source.scale + self.source.offset
        with np.errstate(invalid="ignore"):
            plausible = (heights >= LOWEST_M) & (heights <= TALLEST_M)
        if not self.implausible and bool((masked & np.isfinite(heights) & ~plausible).any()):
            self.implausible = True
            log.warning(
                "%s: heights beyond %g to %g m are taken as no data; where the unit is not the "
                "metre, state its scale in the file, or to canopy evaluate by --map-scale or "
                "--reference-scale",
                self.source.path, LOWEST_M, TALLEST_M,
            )  # fmt: skip
        valid = masked & plausible
        return np.where(valid, np.maximum(heights, 0.0), 0.0), valid


def open_heights(path: str | Path, scale: float | None = None) -> HeightSource:
    """Look at a raster of heights.

    Args:
        path: file or http, https, s3 or gs URL.
        scale: metres of one stored unit; None takes scale and unit of the file, and metres where
            it names none.

    Raises:
        SceneError: it cannot be read, or is no raster of heights.
    """
    name = str(path)
    if not is_remote(name) and not Path(name).is_file():
        found = "is a folder" if Path(name).is_dir() else "does not exist"
        msg = f"{name} {found}: expected a raster of heights, check the path"
        raise SceneError(msg)
    with opened(name) as dataset:
        refuse_imagery(name, dataset)
        grid = Grid.of(dataset)
        acquired = acquisition_from_tags(
            dataset.tags() | dataset.tags(ns="IMAGERY") | dataset.tags(ns="EXIF")
        )
        metres, offset = metres_stored(name, dataset, scale)
        return HeightSource(
            path=name,
            grid=grid,
            pixel_m=ground_pixel_m(grid),
            scale=metres,
            offset=offset,
            dtype=dataset.dtypes[0],
            date=acquired.moment.date().isoformat() if acquired else None,
            evidence=acquired.evidence if acquired else None,
            interval=interval_level(dataset),
        )


@contextmanager
def opened(path: str) -> Iterator[DatasetReader]:
    """Lend an open dataset.

    Raises:
        SceneError: it cannot be opened.
    """
    with (
        rasterio.Env(**GDAL_OPTIONS),
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
    ):
        try:
            dataset = rasterio.open(path)
        except RasterioError as error:
            raise broken(path, error) from error
        with dataset:
            yield dataset


def broken(path: str, error: Exception) -> SceneError:
    """Return the error of a raster that cannot be read."""
    kind = ConnectionLostError if is_remote(path) else SceneError
    return kind(reason_unreadable(path, error))


def refuse_imagery(path: str, dataset: DatasetReader) -> None:
    """Refuse a raster that is no single band of heights on a known grid.

    Raises:
        SceneError: it has more bands, complex numbers or only ground control points.
    """
    if interval_level(dataset) is not None:
        return
    if (count := count_bands(dataset)) != 1 or dataset.colorinterp[0] is ColorInterp.alpha:
        msg = f"{path} has {count} bands: expected one band of heights; is it imagery?"
        raise SceneError(msg)
    if dataset.dtypes[0].startswith("complex"):
        msg = f"{path} holds complex numbers: expected heights"
        raise SceneError(msg)
    if dataset.gcps[0] and dataset.transform.is_identity:
        msg = f"{path} has ground control points only: warp it first (gdalwarp)"
        raise SceneError(msg)


def interval_level(dataset: DatasetReader) -> float | None:
    """Return the level of the intervals of a map of three bands, as their descriptions say it."""
    names = [name or "" for name in dataset.descriptions]
    found = [
        re.fullmatch(rf"{end} (\d+) %", name) for end, name in zip(ENDS, names[1:], strict=False)
    ]
    if len(names) != len(ENDS) + 1 or not (found[0] and found[1]) or found[0][1] != found[1][1]:
        return None
    return int(found[0][1]) / 100


def count_bands(dataset: DatasetReader) -> int:
    """Return how many bands a raster has, its alpha band apart."""
    return sum(colour is not ColorInterp.alpha for colour in dataset.colorinterp)


def clipped(start: int, count: int, length: int) -> tuple[int, int] | None:
    """Return the part of an interval that lies in [0, length), or None."""
    low, high = max(start, 0), min(start + count, length)
    return (low, high) if high > low else None


def same_kind_of_place(map_source: HeightSource, reference: HeightSource) -> None:
    """Refuse to compare a raster that lies on Earth with one that lies nowhere.

    Raises:
        SettingsError: one of both has no CRS.
    """
    if (map_source.grid.crs is None) != (reference.grid.crs is None):
        without = map_source if map_source.grid.crs is None else reference
        msg = f"{without.path} has no CRS and the other raster has: assign it (gdal_edit -a_srs)"
        raise SettingsError(msg)
