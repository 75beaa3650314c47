"""How heights are stored: metres as float32, centimetres as int16, or metres as uint8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geo.errors import MapFileError

if TYPE_CHECKING:
    from geo.raster import Mask, Pixels


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """A way to store heights.

    Attributes:
        name: as users write it.
        dtype: type of the stored values.
        scale: metres of one stored unit.
        step: heights are rounded to multiples of it, in stored units.
        nodata: stored value of pixels without a height; never 0, which is bare ground.
    """

    name: str
    dtype: str
    scale: float
    step: float
    nodata: float

    @property
    def highest(self) -> float:
        """Largest stored value that is a height."""
        if np.issubdtype(np.dtype(self.dtype), np.floating):
            return float("inf")
        limit = int(np.iinfo(self.dtype).max)
        return limit - 1 if limit == self.nodata else limit

    def encode(self, heights: Pixels) -> Pixels:
        """Return stored values of heights [m]; NaN becomes nodata, heights below 0 become 0."""
        units = heights * np.float32(1 / (self.scale * self.step))
        np.rint(units, out=units)
        np.clip(units, 0, self.highest / self.step, out=units)
        units *= np.float32(self.step)
        if not np.isnan(self.nodata):
            units[np.isnan(units)] = self.nodata
        return units.astype(self.dtype, copy=False)

    def encode_ends(self, lower: Pixels, upper: Pixels) -> tuple[Pixels, Pixels]:
        """Return stored values of the ends of intervals [m], rounded outwards.

        An interval that holds a height then still does, and holds the height as it is stored.
        """
        unit = np.float32(self.scale * self.step)
        return self.encode(np.floor(lower / unit) * unit), self.encode(np.ceil(upper / unit) * unit)

    def decode(self, stored: Pixels) -> Pixels:
        """Return heights [m], float32, NaN where there is none."""
        heights = stored.astype(np.float32) * np.float32(self.scale)
        return np.where(self.has_height(stored), heights, np.float32(np.nan))

    def has_height(self, stored: Pixels) -> Mask:
        """Return where stored values are heights (True) and where they are nodata."""
        found: Mask = ~np.isnan(stored) if np.isnan(self.nodata) else stored != self.nodata
        return found


ENCODINGS = {
    encoding.name: encoding
    for encoding in (
        # A binary fraction leaves the low bits of every mantissa zero, which DEFLATE likes; the
        # error is at most 1/128 m.
        Encoding(name="float32", dtype="float32", scale=1.0, step=1 / 64, nodata=np.nan),
        Encoding(name="int16-cm", dtype="int16", scale=0.01, step=1.0, nodata=-32768),
        Encoding(name="uint8-m", dtype="uint8", scale=1.0, step=1.0, nodata=255),
    )
}


def find_encoding(name: str) -> Encoding:
    """Return an encoding by its name.

    Raises:
        MapFileError: there is none of that name.
    """
    if name not in ENCODINGS:
        msg = f"encoding {name}: expected one of {', '.join(ENCODINGS)}"
        raise MapFileError(msg)
    return ENCODINGS[name]
