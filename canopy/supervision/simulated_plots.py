"""Simulated plots to learn from among the real ones: exact heights under chosen suns."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from canopy.supervision.pairs import PlotGrid, joined_pair
from geo.errors import GeoError
from geo.simulation.presets import sized_preset
from geo.simulation.world import nth_world, simulate

if TYPE_CHECKING:
    from canopy.supervision.pairs import HeightPair
    from geo.simulation.settings import WorldSettings
    from geo.simulation.world import World

log = logging.getLogger(__name__)

SITE = "simulated"
"""Site of every simulated plot; no fold or site that is held out has one of them."""


@dataclass(frozen=True, kw_only=True)
class SimulatedSettings:
    """Which plots are simulated.

    Attributes:
        presets: kinds of country as ``canopy simulate --preset`` takes them, one plot for each; a
            kind may come several times. None for no simulated plots.
        suns_deg: heights of the sun [whole degrees]; there is a plot of each kind for each of them,
            every one with trees of its own.
        side_m: least side of a plot [m]; it ends with a whole pixel.
        seed: of all their chance.
    """

    presets: tuple[str, ...] = ()
    suns_deg: tuple[int, ...] = (30, 40, 50, 58, 66)
    side_m: float = 40.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated.

        Raises:
            ValueError: a kind is unknown, a number out of range, or there is no sun.
        """
        if self.seed < 0 or not self.suns_deg:
            found = f"found seed {self.seed} and suns {list(self.suns_deg)}"
            message = f"{found}; expected a seed of 0 or more, and one sun or more"
            raise ValueError(message)
        try:
            self.worlds(gsd_m=0.6)  # any pixel that can be: the recipe checks its own
        except GeoError as error:
            raise ValueError(str(error)) from error

    def worlds(self, *, gsd_m: float) -> dict[str, tuple[WorldSettings, int]]:
        """Return settings and seed of the world of each plot, by the plot's name in its order.

        Raises:
            GeoError: a kind is unknown, or a number out of range.
        """
        worlds = {}
        for sun_deg in self.suns_deg:
            for number, name in enumerate(self.presets):
                preset = sized_preset(
                    name, size_m=self.side_m, gsd_m=gsd_m, sun_elevation_deg=sun_deg
                )
                plot = f"{SITE}-{sun_deg}-{name}-{number:04d}"
                worlds[plot] = nth_world(preset, self.seed + sun_deg, number)
        return dict(sorted(worlds.items()))


@lru_cache(maxsize=1)
def simulate_plots(settings: SimulatedSettings, *, gsd_m: float) -> tuple[HeightPair, ...]:
    """Return simulated plots of a pixel size [m], sorted by name; one second or two for each.

    Raises:
        GeoError: they cannot be made of such pixels.
    """
    worlds = settings.worlds(gsd_m=gsd_m)
    if worlds:
        log.info("simulating %d plots", len(worlds))
    return tuple(plot_of(simulate(*world), name) for name, world in worlds.items())


def plot_of(world: World, name: str) -> HeightPair:
    """Return a world as a plot: image and heights on one grid, known everywhere."""
    west, _, _, north = world.grid.bounds
    gsd_m, crs = world.settings.gsd_m, world.settings.crs
    grid = PlotGrid(crs=crs, left=west, top=north, gsd=gsd_m, shape=world.chm.shape)
    pixels, heights = world.imagery.astype(np.float32), world.chm.astype(np.float32)
    return joined_pair(name, SITE, (pixels, grid), (heights, grid), gsd_m=gsd_m)
