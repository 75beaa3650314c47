"""Which image each pixel of a cell shows: kept while imagery is read, told as dates afterwards."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from geo.acquisition import Acquisition
from geo.height_maps.map_facts import AcquisitionInterval, View
from geo.height_maps.stac_item import NO_DATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from canopy.region.cell_plan import MosaicStrips
    from geo.height_maps.raw_raster import RawRaster
    from geo.imagery.image import Image
    from geo.imagery.pixel_window import PixelWindow
    from geo.raster import Raster

STRIP_PX = 512
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Recording:
    """A reader of a mosaic that keeps which image each pixel of the core shows."""

    def __init__(
        self, reader: MosaicStrips, hull: PixelWindow, core: PixelWindow, kept: RawRaster
    ) -> None:
        """Keep what a reader of a hull shows in its core: int16, -1 where it shows none."""
        self.reader, self.hull, self.core, self.kept = reader, hull, core, kept

    def read(self, row: int, height: int) -> Raster:
        """Return rows of the hull over its whole width."""
        raster = self.reader.read(row, height)
        first = max(self.hull.rows.start + row, self.core.rows.start)
        last = min(self.hull.rows.start + row + height, self.core.rows.stop)
        if first < last:
            shown = self.reader.shown(row, height)
            down = slice(first - self.hull.rows.start - row, last - self.hull.rows.start - row)
            _, across = self.core.within(self.hull)
            self.kept.write(first - self.core.rows.start, shown[down, across])
        return raster

    def shown(self, row: int, height: int) -> NDArray[np.int16]:
        """Return the number of the image that each pixel shows."""
        return self.reader.shown(row, height)


def pixels_of_each(shown: RawRaster, images: int) -> NDArray[np.int64]:
    """Return how many pixels each image gave (images,)."""
    counts = np.zeros(images + 1, np.int64)
    for row in range(0, shown.grid.height, STRIP_PX):
        strip = shown.read(row, min(STRIP_PX, shown.grid.height - row))
        counts += np.bincount(strip.ravel() + 1, minlength=images + 1)
    return counts[1:]


def write_days(shown: RawRaster, days: RawRaster, images: Sequence[Image]) -> None:
    """Write the days since 1970 of the images that a raster shows."""
    table = np.array([NO_DATE, *map(day_of, images)], np.int32)
    for row in range(0, shown.grid.height, STRIP_PX):
        strip = shown.read(row, min(STRIP_PX, shown.grid.height - row))
        days.write(row, table[strip + 1])


def day_of(image: Image) -> int:
    """Return the day of an image, in days since 1970 in UTC."""
    return NO_DATE if image.acquired is None else (image.acquired - EPOCH).days


def acquisition_of(images: Sequence[Image]) -> Acquisition | AcquisitionInterval | None:
    """Return when some images were taken; None where none of them tells."""
    moments = [image.acquired for image in images if image.acquired is not None]
    if not moments:
        return None
    evidence = "dates of the source items"
    if silent := len(images) - len(moments):
        evidence += f", of which {silent} tell{'s' if silent == 1 else ''} none"
    if min(moments) == max(moments):
        return Acquisition(moment=moments[0], evidence=evidence)
    return AcquisitionInterval(start=min(moments), end=max(moments), evidence=evidence)


def view_of(images: Sequence[Image], pixels: NDArray[np.int64]) -> View:
    """Return how images saw the ground, the mean by the pixels that each of them gave."""
    return View(
        sun_elevation_deg=weighted([image.sun_elevation for image in images], pixels),
        off_nadir_deg=weighted([image.off_nadir for image in images], pixels),
        gsd_m=weighted([image.gsd_m for image in images], pixels),
    )


def weighted(values: Sequence[float | None], weights: NDArray[np.int64]) -> float | None:
    """Return the weighted mean of the values that are known; None where none is."""
    known = np.array([value is not None for value in values])
    if not known.any():
        return None
    numbers = np.array([value for value in values if value is not None], float)
    return float(np.average(numbers, weights=weights[known]))
