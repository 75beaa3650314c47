"""What a user may choose about a canopy height model, and how the work is cut."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geo.height_maps.encoding import find_encoding
from geo.lidar.errors import LidarError
from geo.lidar.units import unit_named

if TYPE_CHECKING:
    from pathlib import Path

NEITHER_GROUND_NOR_PLANTS = frozenset({6, 7, 9, 13, 14, 15, 16, 17, 18, 19})
"""Classes that are left out (LAS 1.4 R15, table 17): buildings, low noise, water, wires and their
towers, bridges, high noise, other structures overhead."""

HIGHEST_CLASS = 255


@dataclass(frozen=True, kw_only=True)
class ChmSettings:
    """Choices that decide what a canopy height model looks like.

    Attributes:
        resolution_m: side of a pixel [m]; None for 1 m, or for the DSM's own pixels.
        bounds: west, south, east and north [m in the CRS of the result], grown to whole pixels;
            None for all that the points cover.
        like: a raster whose grid the result has; None for edges on multiples of the resolution.
        left_out: ASPRS classes whose points are not looked at.
        epsg: code of the CRS, for points that state none, or one that agrees with it.
        height_unit: unit of the heights that are read, instead of what the input states.
        normalised: whether heights are above ground already; None to find out.
        max_height_m: what stands higher above ground is no plant [m].
        density: whether points per square metre are written too.
        encoding: ``float32``, ``int16-cm`` or ``uint8-m``.
        stac: whether to write a STAC item.
        overwrite: whether existing files may be replaced.
        software_version: version of the software, for the files.
    """

    resolution_m: float | None = None
    bounds: tuple[float, float, float, float] | None = None
    like: Path | None = None
    left_out: frozenset[int] = NEITHER_GROUND_NOR_PLANTS
    epsg: int | None = None
    height_unit: str | None = None
    normalised: bool | None = None
    max_height_m: float = 120.0
    density: bool = False
    encoding: str = "float32"
    stac: bool = True
    overwrite: bool = False
    software_version: str = "unknown"

    def __post_init__(self) -> None:
        """Refuse what makes no sense whatever the points.

        Raises:
            LidarError: a value is out of range, or contradicts another.
            MapFileError: the encoding is none.
        """
        lengths = {"resolution": self.resolution_m, "max height": self.max_height_m}
        for name, length in lengths.items():
            if length is not None and not 0 < length < math.inf:
                msg = f"{name} of {length:g} m: expected a length above 0"
                raise LidarError(msg)
        if self.like and (self.bounds or self.resolution_m):
            msg = "--like gives the pixels: leave --bounds and --resolution out"
            raise LidarError(msg)
        if not all(0 <= number <= HIGHEST_CLASS for number in self.left_out):
            msg = f"classes {sorted(self.left_out)}: expected numbers from 0 to {HIGHEST_CLASS}"
            raise LidarError(msg)
        self._check_bounds()
        find_encoding(self.encoding)
        if self.height_unit is not None:
            unit_named(self.height_unit)

    def _check_bounds(self) -> None:
        """Refuse bounds without an inside.

        Raises:
            LidarError: they have none.
        """
        if self.bounds is None:
            return
        west, south, east, north = self.bounds
        if not (-math.inf < west < east < math.inf and -math.inf < south < north < math.inf):
            msg = f"bounds {west:g},{south:g},{east:g},{north:g}: expected west,south,east,north"
            raise LidarError(msg)

    @property
    def pixel_m(self) -> float:
        """Side of a pixel made from points [m], where no raster gives it."""
        return 1.0 if self.resolution_m is None else self.resolution_m


@dataclass(frozen=True, kw_only=True)
class WorkLimits:
    """How the work is cut; no pixel depends on it, memory does.

    Attributes:
        chunk_points: points read at once.
        cell_m: side of the squares that points are sorted into on disk [m]; a multiple of 20 m.
        tile_px: side of a tile of the result [px].
        tile_points: points a tile may have with its surroundings before it is cut in four.
        least_tile_px: side below which a tile is not cut [px].
    """

    chunk_points: int = 500_000
    cell_m: float = 100.0
    tile_px: int = 512
    tile_points: int = 4_000_000
    least_tile_px: int = 8
