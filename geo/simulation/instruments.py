"""How airborne and spaceborne lasers measure a world."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LidarSettings:
    """How the points are measured.

    Attributes:
        per_m2: Pulses per square metre.
        heading_deg: Direction of flight, clockwise from north [degrees].
        apart_m: Least distance of two returns of a pulse [m]: a scanner cannot tell nearer ones.
        error_m: Standard deviation of the error of elevations [m]; 0 keeps the truth.
        outliers: Share of points at false elevations, which get the class of noise.
    """

    per_m2: float = 6.0
    heading_deg: float = 20.0
    apart_m: float = 1.0
    error_m: float = 0.0
    outliers: float = 0.0


@dataclass(frozen=True, kw_only=True)
class FootprintSettings:
    """How the footprints are measured.

    Attributes:
        sigma_m: Standard deviation of the energy across a footprint [m]; 5.5 is that of GEDI's
            25 m footprints (Hancock et al. 2019, Earth and Space Science 6, 294-310).
        along_m: Distance of two shots of a track [m].
        across_m: Distance of two tracks [m]; GEDI has 600, too far for worlds of a few hundred.
        heading_deg: Direction of the tracks, clockwise from north [degrees].
        pulse_m: Standard deviation of the pulse [m]; GEDI's 15.6 ns at half maximum make 0.99. It
            lifts the upper heights and lowers the lower ones, as GEDI's own are; 0 takes it away.
        geolocation_m: Standard deviation of the reported position from the true one [m]; a track
            shares most of it.
        error_m: Standard deviation of the error of the ground that is found [m], for full power;
            coverage beams have half as much again.
        sensitivity: Canopy cover through which a full-power beam still finds the ground; coverage
            beams lack 0.03.
    """

    sigma_m: float = 5.5
    along_m: float = 60.0
    across_m: float = 90.0
    heading_deg: float = 40.0
    pulse_m: float = 0.99
    geolocation_m: float = 10.0
    error_m: float = 0.3
    sensitivity: float = 0.98
