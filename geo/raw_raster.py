"""Rows of one band in a flat file, which GDAL reads through a small description beside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np

from geo.errors import MapFileError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from geo.grid import Grid
    from geo.raster import Pixels

GDAL_TYPES = {"float32": "Float32", "int16": "Int16", "uint8": "Byte"}


@dataclass(frozen=True, kw_only=True)
class BandFacts:
    """What a file says of its band.

    Attributes:
        nodata: value of pixels without data.
        scale: units of one stored value.
        description: what the band is.
        unit: unit of the scaled values.
        tags: metadata of the file.
    """

    nodata: float
    scale: float
    description: str
    unit: str
    tags: Mapping[str, str]


class RawRaster:
    """A raster of one band whose rows are appended to a flat file.

    A flat file costs nothing to write and is never inconsistent, unlike a TIFF cut off by a kill.
    """

    def __init__(self, stem: Path, grid: Grid, dtype: str) -> None:
        """Describe a raster at ``stem.raw`` and ``stem.vrt``; neither is made yet."""
        self.data, self.description = stem.with_suffix(".raw"), stem.with_suffix(".vrt")
        self.grid, self.dtype = grid, np.dtype(dtype).newbyteorder("<")

    def write(self, row: int, values: Pixels) -> None:
        """Write rows (rows, width) from a row on.

        Raises:
            MapFileError: the disk does not take them.
        """
        mode = "r+b" if self.data.exists() else "w+b"
        try:
            with self.data.open(mode) as file:
                file.seek(row * self.grid.width * self.dtype.itemsize)
                file.write(np.ascontiguousarray(values, self.dtype).data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            msg = f"rows cannot be written to {self.data} ({error.strerror}): make room there"
            raise MapFileError(msg) from error

    def read(self, row: int, height: int) -> Pixels:
        """Return rows (height, width)."""
        offset = row * self.grid.width * self.dtype.itemsize
        count = height * self.grid.width
        values = np.fromfile(self.data, self.dtype, count, offset=offset)
        return values.reshape(height, self.grid.width)

    def describe(self, facts: BandFacts) -> Path:
        """Write the description that makes the rows a raster, and return its path."""
        grid, size = self.grid, self.dtype.itemsize
        crs = f"<SRS>{escape(grid.crs.to_wkt())}</SRS>" if grid.crs else ""
        tags = "".join(
            f'<MDI key="{escape(key, {chr(34): "&quot;"})}">{escape(value)}</MDI>'
            for key, value in facts.tags.items()
        )
        transform = ", ".join(repr(value) for value in grid.transform.to_gdal())
        self.description.write_text(
            f'<VRTDataset rasterXSize="{grid.width}" rasterYSize="{grid.height}">{crs}'
            f"<GeoTransform>{transform}</GeoTransform><Metadata>{tags}</Metadata>"
            f'<VRTRasterBand dataType="{GDAL_TYPES[self.dtype.name]}" band="1" '
            'subClass="VRTRawRasterBand">'
            f"<Description>{escape(facts.description)}</Description>"
            f"<UnitType>{escape(facts.unit)}</UnitType>"
            f"<Scale>{facts.scale!r}</Scale><Offset>0</Offset>"
            f"<NoDataValue>{facts.nodata!r}</NoDataValue><ColorInterp>Gray</ColorInterp>"
            f'<SourceFilename relativetoVRT="1">{escape(self.data.name)}</SourceFilename>'
            f"<ImageOffset>0</ImageOffset><PixelOffset>{size}</PixelOffset>"
            f"<LineOffset>{size * grid.width}</LineOffset><ByteOrder>LSB</ByteOrder>"
            "</VRTRasterBand></VRTDataset>"
        )
        return self.description
