"""Roads and buildings of a world, and what the ground between them is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geo.simulation.place import Points, chance_of

if TYPE_CHECKING:
    from geo.simulation.place import Coordinates, Place, Plane
    from geo.simulation.terrain import Terrain

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Road:
    """A road or track that crosses the world.

    Attributes:
        x: Metres east of a place on it.
        y: Metres north of it.
        turn: Direction [radians], counterclockwise from east.
        bend_m: How far it swings to both sides [m].
        wave_m: Length of a swing [m].
        half_m: Half its width [m].
        paved: Whether it is asphalt.
    """

    x: float
    y: float
    turn: float
    bend_m: float
    wave_m: float
    half_m: float
    paved: bool

    def across(self, x: Coordinates, y: Coordinates) -> Coordinates:
        """Return the distance [m] from the middle of the road, negative on one side."""
        east, north = x - self.x, y - self.y
        along = east * np.cos(self.turn) + north * np.sin(self.turn)
        side = north * np.cos(self.turn) - east * np.sin(self.turn)
        away: Coordinates = side - self.bend_m * np.sin(2 * np.pi * along / self.wave_m)
        return away


@dataclass(frozen=True, kw_only=True)
class Building:
    """A house or shed with a gabled or flat roof.

    Attributes:
        x: Metres east of its middle.
        y: Metres north of it.
        turn: Direction of its ridge [radians], counterclockwise from east.
        half_long_m: Half its length along the ridge [m].
        half_wide_m: Half its width [m].
        eaves_m: Height of its walls [m].
        pitch: Rise of the roof over its run; 0 is flat.
        floor_m: Elevation of its floor [m].
        colour: Of its roof, linear (red, green, blue).
    """

    x: float
    y: float
    turn: float
    half_long_m: float
    half_wide_m: float
    eaves_m: float
    pitch: float
    floor_m: float
    colour: tuple[float, float, float]

    @property
    def reach_m(self) -> float:
        """Distance from its middle to a corner [m]."""
        return float(np.hypot(self.half_long_m, self.half_wide_m))

    def roof(self, x: Coordinates, y: Coordinates) -> Coordinates:
        """Return the elevation [m] of the roof, minus infinity beside the building."""
        along, side = self.axes(x, y)
        inside = (np.abs(along) <= self.half_long_m) & (np.abs(side) <= self.half_wide_m)
        rise = self.eaves_m + self.pitch * (self.half_wide_m - np.abs(side))
        return np.where(inside, self.floor_m + rise, -np.inf)

    def axes(self, x: Coordinates, y: Coordinates) -> tuple[Coordinates, Coordinates]:
        """Return the distances [m] from its middle along and across the ridge."""
        east, north = x - self.x, y - self.y
        along = east * np.cos(self.turn) + north * np.sin(self.turn)
        return along, north * np.cos(self.turn) - east * np.sin(self.turn)


@dataclass(frozen=True, kw_only=True)
class GroundSettings:
    """What lies between the trees.

    Attributes:
        shares: Shares of grass, dry grass, soil, rock and litter; they need not sum to 1.
        tint: Factor of red, green and blue of all ground without road.
        sage: Density of grey dwarf shrubs and tussocks, 0 to 1: too low to be canopy.
        logs_per_ha: Fallen stems per hectare: not canopy either.
        roads: Number of tracks and roads.
        paved: Share of roads with asphalt.
        buildings_per_ha: Buildings per hectare.
    """

    shares: tuple[float, float, float, float, float] = (0.4, 0.2, 0.2, 0.05, 0.15)
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    sage: float = 0.2
    logs_per_ha: float = 0.0
    roads: int = 0
    paved: float = 0.3
    buildings_per_ha: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Roads and buildings of a world.

    Attributes:
        roads: In the order in which they lie on each other.
        buildings: None on a road, in water, or in another.
    """

    roads: tuple[Road, ...]
    buildings: tuple[Building, ...]

    def keeps_off(self, x: Coordinates, y: Coordinates, margin_m: float) -> Mask:
        """Return True (points,) where neither a road nor a building is within a margin [m]."""
        free = np.ones(x.shape, bool)
        for road in self.roads:
            free &= np.abs(road.across(x, y)) > road.half_m + margin_m
        for building in self.buildings:
            along, side = building.axes(x, y)
            near = np.abs(along) < building.half_long_m + margin_m
            free &= ~(near & (np.abs(side) < building.half_wide_m + margin_m))
        return free


ROOFS = (
    (0.62, 0.60, 0.58), (0.16, 0.15, 0.15), (0.30, 0.28, 0.27), (0.36, 0.17, 0.12),
    (0.45, 0.26, 0.19), (0.85, 0.85, 0.84), (0.24, 0.26, 0.31),
)  # fmt: skip
"""Colours of metal, slate, shingle, brick and tile, painted and blue-grey roofs."""


def make_layout(settings: GroundSettings, terrain: Terrain, side_m: float, seed: int) -> Layout:
    """Return roads across a world of a given side [m], and buildings along them."""
    rng = chance_of(seed, "layout")
    roads = tuple(_draw_road(rng, settings, side_m) for _ in range(settings.roads))
    wanted = round(settings.buildings_per_ha * side_m**2 / 1e4)
    buildings: list[Building] = []
    for _ in range(8 * wanted):
        if len(buildings) == wanted:
            break
        house = _draw_building(rng, roads, side_m)
        if _fits(house, buildings, roads, terrain):
            buildings.append(_founded(house, terrain))
    return Layout(roads=roads, buildings=tuple(buildings))


def _draw_road(rng: np.random.Generator, settings: GroundSettings, side_m: float) -> Road:
    paved = bool(rng.random() < settings.paved)
    x, y = rng.uniform(0.15, 0.85, 2) * side_m
    return Road(
        x=float(x), y=float(y), turn=float(rng.uniform(0, np.pi)),
        bend_m=float(rng.uniform(1, 9)), wave_m=float(rng.uniform(120, 320)),
        half_m=float(rng.uniform(2.6, 3.6) if paved else rng.uniform(1.3, 2.2)), paved=paved,
    )  # fmt: skip


def _draw_building(rng: np.random.Generator, roads: tuple[Road, ...], side_m: float) -> Building:
    x, y = rng.uniform(0, side_m, 2)
    turn = float(rng.uniform(0, np.pi))
    if roads and rng.random() < 0.8:  # noqa: PLR2004 - most houses stand along a road
        road = roads[rng.integers(len(roads))]
        off = float(road.across(np.array(x), np.array(y)))
        away = np.sign(off) * rng.uniform(12, 26) - off
        x, y = x - away * np.sin(road.turn), y + away * np.cos(road.turn)
        turn = road.turn + (np.pi / 2 if rng.random() < 0.3 else 0)  # noqa: PLR2004 - a few gables
    long, wide = rng.uniform(5, 10), rng.uniform(3, 5.5)
    colour = np.array(ROOFS[rng.integers(len(ROOFS))]) * rng.uniform(0.8, 1.15)
    return Building(
        x=float(x), y=float(y), turn=turn, half_long_m=float(long), half_wide_m=float(wide),
        eaves_m=float(rng.uniform(2.6, 6.5)), floor_m=0.0,
        pitch=float(rng.choice([0.0, 0.35, 0.5, 0.7], p=[0.2, 0.3, 0.3, 0.2])),
        colour=(float(colour[0]), float(colour[1]), float(colour[2])),
    )  # fmt: skip


def _fits(
    house: Building, others: list[Building], roads: tuple[Road, ...], terrain: Terrain
) -> bool:
    """Whether a building stands on dry ground, off the roads and apart from the others."""
    x, y = np.array([house.x]), np.array([house.y])
    if bool(terrain.is_water(Points(x=x, y=y))[0]):
        return False
    if any(abs(road.across(x, y)[0]) < house.reach_m + road.half_m for road in roads):
        return False
    return all(
        np.hypot(house.x - other.x, house.y - other.y) > house.reach_m + other.reach_m + 1
        for other in others
    )


def _founded(house: Building, terrain: Terrain) -> Building:
    """Return the building with its floor at the highest ground under its middle and corners."""
    corners = np.array([[0, 0], [1, 1], [1, -1], [-1, 1], [-1, -1]], float)
    along, side = (corners * [house.half_long_m, house.half_wide_m]).T
    x = house.x + along * np.cos(house.turn) - side * np.sin(house.turn)
    y = house.y + along * np.sin(house.turn) + side * np.cos(house.turn)
    floor = float(terrain.elevation(Points(x=x, y=y)).max())
    return Building(**{**house.__dict__, "floor_m": floor})


def road_mask(roads: tuple[Road, ...], place: Place, *, paved: bool) -> tuple[Mask, Plane]:
    """Return where roads of a kind lie, and the distance [m] from the middle of the nearest."""
    nearest = np.full(np.broadcast_shapes(place.x.shape, place.y.shape), np.inf, np.float32)
    there = np.zeros(nearest.shape, bool)
    for road in roads:
        if road.paved == paved:
            away = np.abs(road.across(place.x, place.y)).astype(np.float32)
            there |= away < road.half_m
            nearest = np.minimum(nearest, away)
    return there, nearest
