"""The things of a world in a window: relief, canopy, roofs, and the light that comes from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from geo.simulation.crowns import Canopy, cover_with_crowns
from geo.simulation.ground import make_layout
from geo.simulation.light import facing, hollows, sky_view, sunlight
from geo.simulation.place import seed_of
from geo.simulation.reflectance import WATER, ground_colours, paint_buildings, paint_crowns
from geo.simulation.stands import grow_trees
from geo.simulation.terrain import make_terrain

if TYPE_CHECKING:
    from geo.simulation.ground import Layout, Mask
    from geo.simulation.place import Plane, Window
    from geo.simulation.reflectance import Image
    from geo.simulation.settings import WorldSettings
    from geo.simulation.stands import Trees
    from geo.simulation.terrain import Terrain

SHADOW_REACH_M = 90.0
"""Shadows that come from farther outside the world are missing [m]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Site:
    """A world before anyone has looked at it.

    Attributes:
        settings: What it was made from.
        seed: Of all its chance.
        terrain: Bare ground.
        layout: Roads and buildings.
        trees: All trees of the world and of the ground around it that casts shadows into it.
    """

    settings: WorldSettings
    seed: int
    terrain: Terrain
    layout: Layout
    trees: Trees


@dataclass(frozen=True, kw_only=True, eq=False)
class Relief:
    """What stands in a window.

    Attributes:
        window: Where.
        ground: Elevation of ground or water [m] (rows, columns).
        surface: Elevation of the highest of ground, roofs and crowns [m] (rows, columns).
        canopy: Crowns, with the owner -1 where a roof lies higher.
        roofs: True where a roof is what one sees (rows, columns).
        water: True where open water is what one sees (rows, columns).
    """

    window: Window
    ground: Plane
    surface: Plane
    canopy: Canopy
    roofs: Mask
    water: Mask

    @property
    def height(self) -> Plane:
        """Canopy height above the ground [m] (rows, columns); 0 on ground, roofs and water."""
        above = np.maximum(self.surface - self.ground, 0)
        return np.where(self.canopy.owner >= 0, above, np.float32(0))

    def part(self, row: int, column: int, rows: int, columns: int) -> Relief:
        """Return what stands in a part of the window, which begins at a row and a column."""
        box = (slice(row, row + rows), slice(column, column + columns))
        canopy = Canopy(
            top=self.canopy.top[box], owner=self.canopy.owner[box], bulge=self.canopy.bulge[box]
        )
        window = self.window.grown(
            -column, -row, column + columns - self.window.columns, row + rows - self.window.rows
        )
        return Relief(
            window=window, ground=self.ground[box], surface=self.surface[box], canopy=canopy,
            roofs=self.roofs[box], water=self.water[box],
        )  # fmt: skip


def make_site(settings: WorldSettings, seed: int) -> Site:
    """Return the ground, roads, buildings and trees of a world."""
    side = settings.side_m
    terrain = make_terrain(settings.terrain, side, seed)
    layout = make_layout(settings.ground, terrain, side, seed)
    area = (-SHADOW_REACH_M, side + SHADOW_REACH_M)
    trees = grow_trees(settings.stands, terrain, layout, area, seed)
    return Site(settings=settings, seed=seed, terrain=terrain, layout=layout, trees=trees)


def relief_of(site: Site, window: Window) -> Relief:
    """Return what stands in a window of a world."""
    ground = site.terrain.elevation(window)
    canopy = cover_with_crowns(trees_near(site.trees, window), window)
    roof = np.full(ground.shape, -np.inf, np.float32)
    for house in site.layout.buildings:
        if _sees(window, house.x, house.y, house.reach_m):
            np.maximum(roof, house.roof(window.x, window.y), out=roof, casting="same_kind")
    hard = np.maximum(ground, roof)
    # A crown that ends below the ground of a slope, or under a roof, is not seen.
    canopy.owner[canopy.top <= hard] = -1
    crowned = canopy.owner >= 0
    roofs = (roof > ground) & ~crowned
    water = np.zeros(ground.shape, bool)
    if np.isfinite(site.terrain.water_m):
        water = (ground <= np.float32(site.terrain.water_m)) & ~crowned & ~roofs
    return Relief(
        window=window, ground=ground, surface=np.where(crowned, canopy.top, hard), canopy=canopy,
        roofs=roofs, water=water,
    )  # fmt: skip


def trees_near(trees: Trees, window: Window) -> Trees:
    """Return the trees whose crowns may reach into a window."""
    reach = 2.0 * trees.radius_m + 1.0
    x, y, half = window.x[0], window.y[:, 0], window.pitch / 2
    near = (trees.x > x[0] - half - reach) & (trees.x < x[-1] + half + reach)
    near &= (trees.y > y[-1] - half - reach) & (trees.y < y[0] + half + reach)
    return trees.chosen(near)


def _sees(window: Window, x: float, y: float, reach: float) -> bool:
    """Whether something within reach of a place [m] may lie in a window."""
    across = window.x[0, 0] - reach <= x <= window.x[0, -1] + reach
    return bool(across and window.y[-1, 0] - reach <= y <= window.y[0, 0] + reach)


def radiance_of(site: Site, relief: Relief) -> Image:
    """Return the light that goes up from each fine pixel (3, rows, columns), linear."""
    settings, window = site.settings, relief.window
    image = ground_colours(window, settings.ground, site.layout, site.seed, settings.sun)
    image[:, relief.water] = WATER[:, None]
    trees = trees_near(site.trees, window)
    paint_buildings(image, site.layout.buildings, window, relief.roofs, site.seed)
    paint_crowns(image, relief.canopy, trees, window, site.seed)
    direct, diffuse = _light(site, relief)
    sky = np.array(settings.camera.sky, np.float32)[:, None, None]
    image *= direct + sky * diffuse
    if relief.water.any():
        _glint(image, site, relief)
    return image


def _light(site: Site, relief: Relief) -> tuple[Plane, Plane]:
    """Return direct sunlight and skylight over those on open level ground (rows, columns)."""
    pitch, sun = relief.window.pitch, site.settings.sun
    leafy = relief.canopy.owner >= 0
    smooth = ndimage.gaussian_filter(relief.surface, 0.2 / pitch)
    shade = np.minimum(facing(smooth, pitch, sun), 1.5)
    # Leaves stand at all angles and let light through: a crown is never as dark as a roof turned
    # away.
    shade = np.where(leafy, 0.42 + 0.58 * shade, shade)
    direct = sunlight(relief.surface, pitch, sun)
    # Within a crown light trickles between the leaves, on the ground below it is all but gone.
    direct = np.where(leafy, 0.28 + 0.72 * np.sqrt(direct), 0.03 + 0.97 * direct) * shade
    sunk = np.where(leafy, hollows(relief.surface, pitch), np.float32(0))
    buried = np.exp(np.float32(-0.45) * sunk)
    # Leaves pass skylight on to each other.
    floor = np.where(leafy, np.float32(0.4), np.float32(0.2))
    diffuse = floor + (1 - floor) * sky_view(relief.surface, pitch)
    return direct * buried, diffuse * buried


def _glint(image: Image, site: Site, relief: Relief) -> None:
    """Let water mirror the sky, with faint waves."""
    window = relief.window
    waves = window.noise(3.0, seed_of(site.seed, "waves")) + window.noise(
        0.8, seed_of(site.seed, "ripples")
    )
    sky = np.array(site.settings.camera.sky, np.float32)
    mirrored = 0.02 + 0.10 * sky[:, None, None] + 0.002 * waves
    image += np.where(relief.water, mirrored, np.float32(0))
