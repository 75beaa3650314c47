"""Seven kinds of country, and the chance in which worlds of a kind differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from geo.simulation.camera import CameraSettings
from geo.simulation.ground import GroundSettings
from geo.simulation.light import SunSettings
from geo.simulation.place import chance_of
from geo.simulation.settings import SimulationError, WorldSettings
from geo.simulation.stands import Layer, StandSettings
from geo.simulation.terrain import TerrainSettings

CONIFER = WorldSettings(
    name="conifer",
    terrain=TerrainSettings(height_m=2100, relief_m=9, slope=0.12, ridged=0.4),
    ground=GroundSettings(
        shares=(0.15, 0.2, 0.55, 0.25, 0.2), tint=(1.16, 0.95, 0.92), sage=0.3, logs_per_ha=120,
        roads=1, paved=0.0,
    ),
    stands=StandSettings(
        layers=(
            Layer(mix={"fir": 1}, per_ha=25, height_m=35, spread=0.16, cover=0.7),
            Layer(mix={"fir": 4, "pine": 2, "snag": 0.5}, per_ha=700, height_m=18, spread=0.38,
                  cover=0.66, patch_m=36, spacing=0.52),
            Layer(mix={"fir": 3, "pine": 1}, per_ha=420, height_m=7, spread=0.5, cover=0.55,
                  patch_m=40, spacing=0.6),
            Layer(mix={"shrub": 1}, per_ha=600, height_m=0.9, spread=0.4, cover=0.45, patch_m=25),
        )
    ),
    sun=SunSettings(elevation_deg=56, azimuth_deg=125),
    camera=CameraSettings(exposure=1.5, balance=(1.07, 0.97, 1.0), haze=(0.035, 0.034, 0.045)),
)  # fmt: skip

BROADLEAF = WorldSettings(
    name="broadleaf",
    terrain=TerrainSettings(height_m=900, relief_m=8, slope=0.10, ridged=0.2),
    ground=GroundSettings(shares=(0.35, 0.1, 0.1, 0.05, 0.5), logs_per_ha=10),
    stands=StandSettings(
        layers=(
            Layer(mix={"oak": 3, "maple": 2}, per_ha=60, height_m=25, spread=0.12, cover=0.9),
            Layer(mix={"oak": 3, "maple": 3, "birch": 1}, per_ha=1300, height_m=19, spread=0.16,
                  cover=0.985, patch_m=45, spacing=0.55),
            Layer(mix={"maple": 3, "birch": 1}, per_ha=500, height_m=8, spread=0.4, spacing=0.62),
            Layer(mix={"shrub": 1}, per_ha=900, height_m=1.2, spread=0.4, cover=0.7, patch_m=20),
        )
    ),
    sun=SunSettings(elevation_deg=58, azimuth_deg=150),
    camera=CameraSettings(
        exposure=0.88, balance=(0.97, 1.0, 1.06), haze=(0.03, 0.045, 0.05), contrast=0.1
    ),
)  # fmt: skip

MIXED = WorldSettings(
    name="mixed",
    terrain=TerrainSettings(height_m=340, relief_m=6, slope=0.05),
    ground=GroundSettings(
        shares=(0.6, 0.3, 0.15, 0.03, 0.2), tint=(1.05, 1.0, 0.95), sage=0.3, logs_per_ha=20,
        roads=1,
    ),
    stands=StandSettings(
        layers=(
            Layer(mix={"maple": 3, "oak": 2, "spruce": 1, "pine": 1}, per_ha=40, height_m=26,
                  spread=0.15, cover=0.75, patch_m=120),
            Layer(mix={"maple": 3, "oak": 2, "birch": 2, "spruce": 3, "pine": 2, "snag": 0.2},
                  per_ha=1000, height_m=16, spread=0.28, cover=0.78, patch_m=90, spacing=0.54),
            Layer(mix={"birch": 2, "spruce": 2, "maple": 1}, per_ha=700, height_m=6, spread=0.45,
                  cover=0.8, patch_m=60, spacing=0.55),
            Layer(mix={"shrub": 1}, per_ha=1500, height_m=1.3, spread=0.45, cover=0.65, patch_m=20,
                  spacing=0.5),
        )
    ),
    sun=SunSettings(elevation_deg=57, azimuth_deg=140),
    camera=CameraSettings(
        exposure=1.15, balance=(0.98, 1.0, 1.15), haze=(0.045, 0.06, 0.075), contrast=0.15
    ),
)  # fmt: skip

SAVANNA = WorldSettings(
    name="savanna",
    terrain=TerrainSettings(height_m=1150, relief_m=2, slope=0.015, ridged=0.1),
    ground=GroundSettings(shares=(0.12, 0.6, 0.5, 0.02, 0.02), sage=0.3, roads=1, paved=0.0),
    stands=StandSettings(
        layers=(
            Layer(mix={"acacia": 4, "oak": 0.3}, per_ha=55, height_m=7.5, spread=0.3, cover=0.85,
                  patch_m=120, spacing=0.8),
            Layer(mix={"acacia": 1, "shrub": 1}, per_ha=110, height_m=2.6, spread=0.4, cover=0.6,
                  patch_m=60, spacing=0.8),
            Layer(mix={"shrub": 1}, per_ha=200, height_m=0.8, spread=0.4, cover=0.6, patch_m=40),
        )
    ),
    sun=SunSettings(elevation_deg=55, azimuth_deg=60),
    camera=CameraSettings(balance=(1.03, 1.0, 0.97)),
)  # fmt: skip

PLANTATION = WorldSettings(
    name="plantation",
    terrain=TerrainSettings(height_m=60, relief_m=2.5, slope=0.02, ridged=0.1),
    ground=GroundSettings(shares=(0.25, 0.25, 0.3, 0.0, 0.5), sage=0.1, roads=2, paved=0.0),
    stands=StandSettings(
        layers=(
            Layer(mix={"pine": 1}, per_ha=0, height_m=13, spread=0.12, cover=0.72, patch_m=220,
                  rows_m=3.2),
            Layer(mix={"pine": 1, "maple": 1}, per_ha=60, height_m=5, spread=0.5, cover=0.5),
            Layer(mix={"shrub": 1}, per_ha=250, height_m=0.9, spread=0.4, cover=0.6, patch_m=30),
        )
    ),
    sun=SunSettings(elevation_deg=52, azimuth_deg=130),
    camera=CameraSettings(balance=(0.98, 1.0, 1.05), haze=(0.02, 0.03, 0.04)),
)  # fmt: skip

TREELESS = WorldSettings(
    name="treeless",
    terrain=TerrainSettings(height_m=1900, relief_m=5, slope=0.05, water=0.06),
    ground=GroundSettings(shares=(0.6, 0.55, 0.07, 0.05, 0.02), sage=0.9, logs_per_ha=6, roads=1),
    sun=SunSettings(elevation_deg=50, azimuth_deg=135),
    camera=CameraSettings(exposure=0.85, balance=(1.0, 1.0, 1.05)),
)

URBAN_EDGE = WorldSettings(
    name="urban-edge",
    terrain=TerrainSettings(height_m=180, relief_m=2.5, slope=0.02, water=0.03),
    ground=GroundSettings(
        shares=(0.75, 0.25, 0.15, 0.0, 0.02), sage=0.0, roads=3, paved=0.9, buildings_per_ha=6
    ),
    stands=StandSettings(
        layers=(
            Layer(mix={"maple": 3, "oak": 2, "pine": 1}, per_ha=25, height_m=14, spread=0.3,
                  spacing=0.8),
            Layer(mix={"maple": 3, "oak": 3, "pine": 1}, per_ha=700, height_m=16, spread=0.25,
                  cover=0.3, patch_m=150, spacing=0.58),
            Layer(mix={"maple": 1, "shrub": 2}, per_ha=120, height_m=3, spread=0.45, cover=0.7,
                  patch_m=50),
        )
    ),
    sun=SunSettings(elevation_deg=55, azimuth_deg=150),
)  # fmt: skip

PRESETS = {
    preset.name: preset
    for preset in (CONIFER, BROADLEAF, MIXED, SAVANNA, PLANTATION, TREELESS, URBAN_EDGE)
}


def find_preset(name: str) -> WorldSettings:
    """Return the settings of a preset.

    Raises:
        SimulationError: there is none of that name.
    """
    if name not in PRESETS:
        msg = f"preset {name}: expected one of {', '.join(PRESETS)}"
        raise SimulationError(msg)
    return PRESETS[name]


def sized_preset(
    name: str, *, size_m: float, gsd_m: float, sun_elevation_deg: float | None = None
) -> WorldSettings:
    """Return the settings of a preset for worlds of a side and a pixel [m].

    Args:
        name: Of the preset.
        size_m: Least side of a world [m].
        gsd_m: Side of a pixel [m].
        sun_elevation_deg: Height of the sun [degrees]; None for that of the preset.

    Raises:
        SimulationError: there is none of that name, or a number is out of range.
    """
    preset = find_preset(name)
    sun = preset.sun
    if sun_elevation_deg is not None:
        sun = replace(sun, elevation_deg=sun_elevation_deg)
    return replace(preset, size_m=size_m, gsd_m=gsd_m, sun=sun)


def varied(settings: WorldSettings, seed: int) -> WorldSettings:
    """Return settings whose trees, light and camera differ as those of places and flights do.

    Args:
        settings: What the worlds have in common.
        seed: Of one world.
    """
    rng = chance_of(seed, "variation")
    taller, fuller = rng.lognormal(0, 0.12), rng.normal(0, 0.06)
    layers = tuple(
        replace(
            layer,
            height_m=layer.height_m * float(taller),
            # What is nearly closed stays nearly closed.
            cover=float(np.clip(layer.cover + fuller * min(1, 3 * (1 - layer.cover)), 0.02, 1)),
        )
        for layer in settings.stands.layers
    )
    turn = float(rng.normal(0, 25))
    sun = replace(settings.sun, azimuth_deg=(settings.sun.azimuth_deg + turn) % 360)
    balance = np.array(settings.camera.balance) * rng.lognormal(0, 0.04, 3)
    camera = replace(
        settings.camera,
        exposure=settings.camera.exposure * float(rng.lognormal(0, 0.08)),
        balance=(float(balance[0]), float(balance[1]), float(balance[2])),
        blur_px=float(rng.uniform(0.25, 0.45)),
    )
    terrain = replace(settings.terrain, aspect_deg=float(rng.uniform(0, 360)))
    return replace(
        settings, stands=StandSettings(layers=layers), sun=sun, camera=camera, terrain=terrain
    )
