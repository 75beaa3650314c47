"""Bare ground: a tilted plane, rolling hills and ridges, with water in its hollows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo.simulation.place import Place, Plane, Points, fractal, seed_of

COARSEST_M, FINEST_M = 320.0, 5.0
"""Widths of the largest hills and the smallest hummocks [m]."""


@dataclass(frozen=True, kw_only=True)
class TerrainSettings:
    """What the ground is like.

    Attributes:
        height_m: Elevation about which it varies [m].
        relief_m: Standard deviation of its hills [m].
        slope: Rise of the tilted plane over its run.
        aspect_deg: Direction that the plane falls to, clockwise from north [degrees].
        ridged: Share of sharp ridges, as of fractal mountains: 0 none, 1 nothing else.
        roughness: Amplitude of hills half as wide: 0.5 makes the slopes of all sizes alike.
        water: Share of the ground that lies under water.
    """

    height_m: float = 300.0
    relief_m: float = 4.0
    slope: float = 0.03
    aspect_deg: float = 160.0
    ridged: float = 0.3
    roughness: float = 0.42
    water: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Terrain:
    """The ground of one world, which can be asked for anywhere.

    Attributes:
        settings: What it is like.
        seed: Of its chance.
        water_m: Elevation of the water table [m]; no water where it is minus infinity.
    """

    settings: TerrainSettings
    seed: int
    water_m: float = float("-inf")

    def bed(self, place: Place) -> Plane:
        """Return the elevation [m] of the ground, and of the bed where there is water."""
        chosen = self.settings
        hills = fractal(place, (COARSEST_M, FINEST_M), chosen.roughness, self.seed)
        # A ridge where the field crosses its mean: the multifractal of Musgrave et al. 1989.
        ridges = 1.2 - 2 * np.abs(fractal(place, (COARSEST_M, 20.0), 0.45, self.seed + 99))
        mixed = (1 - chosen.ridged) * hills + chosen.ridged * ridges
        turn = np.radians(chosen.aspect_deg)
        run = place.x * np.sin(turn) + place.y * np.cos(turn)
        height = chosen.height_m + chosen.relief_m * mixed - chosen.slope * run
        return np.asarray(height, np.float32)

    def elevation(self, place: Place) -> Plane:
        """Return the elevation [m] of the ground, or of the water that covers it."""
        return np.maximum(self.bed(place), np.float32(self.water_m))

    def is_water(self, place: Place) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Return True where water covers the ground."""
        return self.bed(place) <= np.float32(self.water_m)


def make_terrain(settings: TerrainSettings, side_m: float, seed: int) -> Terrain:
    """Return the ground of a world, its water table where the asked share lies below."""
    terrain = Terrain(settings=settings, seed=seed_of(seed, "terrain"))
    if settings.water <= 0:
        return terrain
    steps = (np.arange(64) + 0.5) * side_m / 64
    x, y = (axis.ravel() for axis in np.meshgrid(steps, steps))
    level = float(np.quantile(terrain.bed(Points(x=x, y=y)), settings.water))
    return Terrain(settings=settings, seed=terrain.seed, water_m=level)
