"""Small simulated worlds, and single trees and poles, for tests."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from geo.simulation.camera import CameraSettings
from geo.simulation.instruments import FootprintSettings
from geo.simulation.light import SunSettings
from geo.simulation.place import Window
from geo.simulation.presets import find_preset
from geo.simulation.species import SPECIES_NUMBER
from geo.simulation.stands import Trees
from geo.simulation.world import simulate

EXACT = FootprintSettings(pulse_m=0.0, geolocation_m=0.0, error_m=0.0, along_m=20.0, across_m=20.0)


def settings_of(name, *, size_m=60.0, gsd_m=0.6, **changes):
    """Settings of a small world."""
    return replace(find_preset(name), size_m=size_m, gsd_m=gsd_m, **changes)


@cache
def world_of(name, seed=5, size_m=60.0, gsd_m=0.6):
    """A small world, made once; its footprints are exact and dense."""
    return simulate(settings_of(name, size_m=size_m, gsd_m=gsd_m, footprints=EXACT), seed)


def window_of(side_m, pitch=0.2):
    """A window whose lower left corner is that of its world."""
    side = round(side_m / pitch)
    return Window(west=0, north=side, rows=side, columns=side, pitch=pitch)


def one_tree(*, species="oak", place=(20.0, 20.0), height=18.0, radius=4.0, ground=100.0, mark=1):
    """A single tree."""
    return Trees(
        x=np.array([place[0]]), y=np.array([place[1]]),
        ground_m=np.array([ground]),
        height_m=np.array([height]), radius_m=np.array([radius]), diameter_cm=np.array([30.0]),
        species=np.array([SPECIES_NUMBER[species]]), mark=np.array([mark]),
    )  # fmt: skip


def pixels_of(world, x, y):
    """Rows and columns of the pixels of a world that hold some places [m]."""
    settings = world.settings
    columns = np.floor(np.asarray(x) / settings.gsd_m).astype(int)
    rows = settings.pixels - 1 - np.floor(np.asarray(y) / settings.gsd_m).astype(int)
    return np.clip(rows, 0, settings.pixels - 1), np.clip(columns, 0, settings.pixels - 1)


def sun_at(azimuth, elevation):
    """A sun."""
    return SunSettings(azimuth_deg=azimuth, elevation_deg=elevation)


PLAIN_CAMERA = CameraSettings(noise=0.0, blur_px=0.3)
