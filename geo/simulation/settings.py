"""All that a simulated world is made from, gathered in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from geo.errors import GeoError
from geo.simulation.camera import CameraSettings
from geo.simulation.ground import GroundSettings
from geo.simulation.instruments import FootprintSettings, LidarSettings
from geo.simulation.light import SunSettings
from geo.simulation.stands import StandSettings
from geo.simulation.terrain import TerrainSettings

FINE_M = 0.3
"""Fine pixels, in which light is computed, are no larger than this [m]."""

GSD_RANGE_M = (0.1, 5.0)
SIZE_RANGE_M = (16.0, 4_000.0)
"""Results are in memory for a whole world: about 0.7 GB a square kilometre. Make several."""

SUN_RANGE_DEG = (15.0, 85.0)
TILT_RANGE_DEG = (0.0, 10.0)


class SimulationError(GeoError):
    """A world cannot be made as it was asked for."""


@dataclass(frozen=True, kw_only=True)
class WorldSettings:
    """A kind of world; its seed makes it one of many.

    Attributes:
        name: Of the preset it began as.
        size_m: Least side of the square [m]; it ends with a whole pixel.
        gsd_m: Side of a pixel of imagery and heights [m].
        crs: Coordinate reference system, projected in metres.
        west_m: Easting of the lower left corner of the first world [m].
        south_m: Northing of it [m].
        terrain: Bare ground.
        ground: What lies between the trees, roads and buildings.
        stands: Trees.
        sun: Where the light comes from.
        camera: How the photograph is taken.
        lidar: How the points are measured.
        footprints: How the footprints are measured.
    """

    name: str = "mixed"
    size_m: float = 256.0
    gsd_m: float = 0.6
    crs: str = "EPSG:32617"
    west_m: float = 400_000.0
    south_m: float = 4_000_000.0
    terrain: TerrainSettings = field(default_factory=TerrainSettings)
    ground: GroundSettings = field(default_factory=GroundSettings)
    stands: StandSettings = field(default_factory=StandSettings)
    sun: SunSettings = field(default_factory=SunSettings)
    camera: CameraSettings = field(default_factory=CameraSettings)
    lidar: LidarSettings = field(default_factory=LidarSettings)
    footprints: FootprintSettings = field(default_factory=FootprintSettings)

    def __post_init__(self) -> None:
        """Refuse what no world can be made from.

        Raises:
            SimulationError: a size, pixel or sun is out of range.
        """
        _expect("pixel", self.gsd_m, GSD_RANGE_M, "m")
        _expect("size", self.size_m, SIZE_RANGE_M, "m")
        _expect("sun's elevation", self.sun.elevation_deg, SUN_RANGE_DEG, "degrees")
        _expect("tilt of the view", self.camera.tilt_deg, TILT_RANGE_DEG, "degrees")

    @property
    def pixels(self) -> int:
        """Pixels along a side."""
        return math.ceil(round(self.size_m / self.gsd_m, 6))

    @property
    def fine_per_pixel(self) -> int:
        """Fine pixels along a pixel: an odd number, so that one lies in its middle."""
        return 2 * math.ceil(max(0.0, self.gsd_m / FINE_M - 1) / 2) + 1

    @property
    def pitch_m(self) -> float:
        """Side of a fine pixel [m]."""
        return self.gsd_m / self.fine_per_pixel

    @property
    def side_m(self) -> float:
        """Side of the square as it comes out [m]."""
        return self.pixels * self.gsd_m


def _expect(what: str, value: float, limits: tuple[float, float], unit: str) -> None:
    """Refuse a value that is out of a range.

    Raises:
        SimulationError: it is.
    """
    if not limits[0] <= value <= limits[1]:
        msg = f"{what} of {value:g} {unit}: expected {limits[0]:g} to {limits[1]:g} {unit}"
        raise SimulationError(msg)
