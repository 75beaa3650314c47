"""The sun of an image, found through the shadows that heights cast under it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geo.registration.shift_evidence import explained, light_template, moments
from geo.simulation.light import SunSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geo.registration.shift_evidence import Array, Plane, View
    from geo.registration.shift_grid import ShiftGrid

SUNS = tuple(
    SunSettings(azimuth_deg=azimuth, elevation_deg=elevation)
    for elevation in (30, 45, 60)
    for azimuth in range(0, 360, 30)
)
"""Suns that are tried first; then those half a step from the best."""


def find_sun(
    views: Sequence[View], features: list[Plane], canopies: list[Plane], grid: ShiftGrid
) -> tuple[SunSettings, list[Plane], Array]:
    """Return the sun that explains the image best under any shift.

    Returns:
        The sun; the light that it gives; for each coarse shift the score under its own best sun.
    """

    def lit(sun: SunSettings) -> tuple[Array, SunSettings, list[Plane]]:
        lights = [light_template(view, grid.pixel_m, sun) for view in views]
        sums = sum(
            moments(view, ours, np.stack([canopy, light]), grid.coarse).sum(1)
            for view, ours, canopy, light in zip(views, features, canopies, lights, strict=True)
        )
        return explained(np.asarray(sums), grid.pixel_m), sun, lights

    best, rivals = lit(SUNS[0]), np.zeros(len(grid.coarse))
    for sun in SUNS:
        tried = lit(sun)
        best, rivals = max(best, tried, key=greatest), np.maximum(rivals, tried[0])
    nearer = max((lit(sun) for sun in suns_near(best[1])), key=greatest)
    _, sun, lights = max(best, nearer, key=greatest)
    return sun, lights, rivals


def greatest(tried: tuple[Array, SunSettings, list[Plane]]) -> float:
    """Return the best score that a sun has under any shift."""
    return float(tried[0].max())


def suns_near(sun: SunSettings) -> Iterator[SunSettings]:
    """Yield the suns half a step from one of those that are tried first."""
    for climb, turn in ((0, -15), (0, 15), (-7.5, 0), (7.5, 0), (-7.5, -15), (-7.5, 15), (7.5, -15),
                        (7.5, 15)):  # fmt: skip
        yield SunSettings(
            azimuth_deg=(sun.azimuth_deg + turn) % 360, elevation_deg=sun.elevation_deg + climb
        )
