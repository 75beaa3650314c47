"""Rows in a flat file, which GDAL reads through a small description beside it."""

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

GDAL_TYPES = {"float32": "Float32", "int16": "Int16", "int32": "Int32", "uint8": "Byte"}


@dataclass(frozen=True, kw_only=True)
class BandFacts:
    """What a file says of its bands.

    Attributes:
        nodata: value of pixels without data.
        scale: units of one stored value.
        description: what the first band is.
        unit: unit of the scaled values.
        tags: metadata of the file.
        more: what each further band is.
    """

    nodata: float
    scale: float
    description: str
    unit: str
    tags: Mapping[str, str]
    more: tuple[str, ...] = ()


class RawRaster:
    """A raster whose rows are appended to a flat file, the bands of a pixel side by side.

    A flat file costs nothing to write and is never inconsistent, unlike a TIFF cut off by a kill.
    """

    def __init__(self, stem: Path, grid: Grid, dtype: str, bands: int = 1) -> None:
        """Describe a raster at ``stem.raw`` and ``stem.vrt``; neither is made yet."""
        self.data, self.description = stem.with_suffix(".raw"), stem.with_suffix(".vrt")
        self.grid, self.dtype = grid, np.dtype(dtype).newbyteorder("<")
        self.bands = bands
        self.begun = False

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.grid.width * self.bands * self.dtype.itemsize

    def write(self, row: int, values: Pixels) -> None:
        """Write rows (rows, width), or (rows, width, bands) of more than one, from a row on.

        Raises:
            MapFileError: the disk does not take them, or rows written before are gone.
        """
        # A file that somebody took away is not made anew: rows before this one would be zeros.
        mode = "r+b" if self.begun or self.data.exists() else "w+b"
        try:
            with self.data.open(mode) as file:
                file.seek(row * self.row_bytes)
                file.write(np.ascontiguousarray(values, self.dtype).data)
                file.flush()
                os.fsync(file.fileno())
            self.begun = True
        except FileNotFoundError as error:
            msg = f"{self.data} was taken away while rows were written to it: begin again"
            raise MapFileError(msg) from error
        except OSError as error:
            msg = f"rows cannot be written to {self.data} ({error.strerror}): make room there"
            raise MapFileError(msg) from error

    def read(self, row: int, height: int, band: int = 1) -> Pixels:
        """Return rows (height, width) of a band."""
        count = height * self.grid.width * self.bands
        values = np.fromfile(self.data, self.dtype, count, offset=row * self.row_bytes)
        return values.reshape(height, self.grid.width, self.bands)[..., band - 1]

    def describe(self, facts: BandFacts) -> Path:
        """Write the description that makes the rows a raster, and return its path."""
        grid = self.grid
        crs = f"<SRS>{escape(grid.crs.to_wkt())}</SRS>" if grid.crs else ""
        tags = "".join(
            f'<MDI key="{escape(key, {chr(34): "&quot;"})}">{escape(value)}</MDI>'
            for key, value in facts.tags.items()
        )
        transform = ", ".join(repr(value) for value in grid.transform.to_gdal())
        names = (facts.description, *facts.more)
        bands = "".join(self._band(facts, number, name) for number, name in enumerate(names))
        self.description.write_text(
            f'<VRTDataset rasterXSize="{grid.width}" rasterYSize="{grid.height}">{crs}'
            f"<GeoTransform>{transform}</GeoTransform><Metadata>{tags}</Metadata>"
            f"{bands}</VRTDataset>"
        )
        return self.description

    def _band(self, facts: BandFacts, number: int, name: str) -> str:
        """Return the description of a band, counted from 0; three are no colours."""
        size = self.dtype.itemsize
        return (
            f'<VRTRasterBand dataType="{GDAL_TYPES[self.dtype.name]}" band="{number + 1}" '
            'subClass="VRTRawRasterBand">'
            f"<Description>{escape(name)}</Description>"
            f"<UnitType>{escape(facts.unit)}</UnitType>"
            f"<Scale>{facts.scale!r}</Scale><Offset>0</Offset>"
            f"<NoDataValue>{facts.nodata!r}</NoDataValue>"
            f"<ColorInterp>{'Undefined' if number else 'Gray'}</ColorInterp>"
            f'<SourceFilename relativetoVRT="1">{escape(self.data.name)}</SourceFilename>'
            f"<ImageOffset>{number * size}</ImageOffset>"
            f"<PixelOffset>{size * self.bands}</PixelOffset>"
            f"<LineOffset>{self.row_bytes}</LineOffset><ByteOrder>LSB</ByteOrder>"
            "</VRTRasterBand>"
        )
