"""What is known of each window: its place, and how sun, camera and ground stood."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from canopy.correction_network.metadata import Metadata
from canopy.errors import SettingsError
from geo.errors import SceneError
from geo.ground import ground_pixel_m, longitude_latitude, to_pyproj
from geo.scene import GDAL_OPTIONS, reason_unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geo.grid import Grid

Array = NDArray[np.float64]

SLOPE_M = 12.5
"""Half the distance over which a slope is taken: that of a footprint [m]."""

RANGES = {"sun_elevation": (0.0, 90.0), "off_nadir": (0.0, 90.0), "slope": (0.0, 90.0)}


@dataclass(frozen=True, kw_only=True)
class ViewFacts:
    """How an image was taken; None for what is not known.

    Attributes:
        sun_elevation: angle of the sun above the horizon [degrees].
        off_nadir: angle between the line of sight and the vertical [degrees].
        slope: of the ground, the same everywhere [degrees].
        terrain: raster of ground elevations [m] from which slopes are taken, instead of that.
    """

    sun_elevation: float | None = None
    off_nadir: float | None = None
    slope: float | None = None
    terrain: str | None = None

    def __post_init__(self) -> None:
        """Refuse angles that are none.

        Raises:
            SettingsError: as said.
        """
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                msg = f"{name} {value}: expected {low:g} to {high:g} degrees"
                raise SettingsError(msg)
        if self.slope is not None and self.terrain is not None:
            msg = "a slope and a raster of elevations: one of them tells slopes, drop the other"
            raise SettingsError(msg)

    def over(self, other: ViewFacts) -> ViewFacts:
        """Return what this tells, and of the rest what another does."""
        chosen: dict[str, Any] = {
            name: mine if (mine := getattr(self, name)) is not None else getattr(other, name)
            for name in ("sun_elevation", "off_nadir")
        }
        ground = self if self.slope is not None or self.terrain is not None else other
        return ViewFacts(**chosen, slope=ground.slope, terrain=ground.terrain)


def facts_of_item(path: Path) -> ViewFacts:
    """Return what the STAC item of an image tells of its view.

    Raises:
        SceneError: it cannot be read.
        SettingsError: it is no STAC item.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read ({error}): expected the STAC item of the image"
        raise SceneError(msg) from error
    properties = record.get("properties") if isinstance(record, dict) else None
    if not isinstance(properties, dict):
        msg = f"{path} has no properties: expected the STAC item of the image"
        raise SettingsError(msg)
    return facts_of_properties(properties)


def facts_of_properties(properties: Mapping[str, Any]) -> ViewFacts:
    """Return what properties of the view extension tell."""
    told = {name: properties.get(f"view:{name}") for name in ("sun_elevation", "off_nadir")}
    numbers = {
        name: float(value)
        for name, value in told.items()
        if isinstance(value, int | float) and RANGES[name][0] <= value <= RANGES[name][1]
    }
    return ViewFacts(sun_elevation=numbers.get("sun_elevation"), off_nadir=numbers.get("off_nadir"))


def slope_or_terrain(text: str) -> ViewFacts:
    """Return the slope that a text names: degrees, or a raster of elevations.

    Raises:
        SettingsError: it is neither.
    """
    try:
        return ViewFacts(slope=float(text))
    except ValueError:
        pass
    if not Path(text).is_file():
        msg = f"slope {text}: expected degrees, or a raster of ground elevations in metres"
        raise SettingsError(msg)
    return ViewFacts(terrain=text)


def metadata_at(grid: Grid, places: Array, facts: ViewFacts) -> Metadata:
    """Return what is known of places on a grid.

    Args:
        grid: of imagery.
        places: rows and columns (n, 2) [px from the upper left corner].
        facts: how the imagery was taken.

    Raises:
        SceneError: the raster of elevations cannot be read.
    """
    count = len(places)
    constant = {
        name: np.full(count, np.nan if value is None else value)
        for name, value in (("sun_elevation", facts.sun_elevation), ("off_nadir", facts.off_nadir))
    }
    slope = np.full(count, np.nan if facts.slope is None else facts.slope)
    if facts.terrain is not None:
        slope = slopes_at(facts.terrain, grid, places)
    longitude, latitude = np.full((2, count), np.nan)
    if grid.crs is not None and count:
        x, y = grid.locate(places[:, 0], places[:, 1])
        longitude, latitude = longitude_latitude(grid.crs, x, y)
    return Metadata(latitude=latitude, longitude=longitude, slope=slope, **constant)


def slopes_at(terrain: str, grid: Grid, places: Array) -> Array:
    """Return the slope of the ground at places (n,) [degrees]; NaN where it is not known.

    From elevations half a footprint away along both axes.

    Raises:
        SceneError: the raster cannot be read.
        SettingsError: it or the grid has no CRS.
    """
    across, down = (SLOPE_M / side for side in ground_pixel_m(grid))
    offsets = np.array([(0, across), (0, -across), (down, 0), (-down, 0)])
    points = (places[:, None] + offsets).reshape(-1, 2)
    try:
        with rasterio.Env(**GDAL_OPTIONS), rasterio.open(terrain) as dataset:
            if dataset.crs is None or grid.crs is None:
                msg = f"{terrain if dataset.crs is None else 'the map'} has no CRS: assign it"
                raise SettingsError(msg)
            move = pyproj.Transformer.from_crs(
                to_pyproj(grid.crs), to_pyproj(dataset.crs), always_xy=True
            )
            x, y = move.transform(*grid.locate(points[:, 0], points[:, 1]))
            found = dataset.sample(zip(x, y, strict=True), indexes=1, masked=True)
            values = [np.ma.filled(value.astype(float), np.nan)[0] for value in found]
    except RasterioError as error:
        raise SceneError(reason_unreadable(terrain, error)) from error
    elevation = np.reshape(values, (-1, 4))
    rise = np.hypot(elevation[:, 0] - elevation[:, 1], elevation[:, 2] - elevation[:, 3])
    slopes: Array = np.degrees(np.arctan(rise / (2 * SLOPE_M)))
    return slopes
