"""Trees of a world: where they stand, what they are, how high and how wide."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import ndtri

from geo.simulation.allometry import crown_radius
from geo.simulation.place import Points, chance_of, fractal, seed_of
from geo.simulation.species import SPECIES, SPECIES_NUMBER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geo.simulation.ground import Layout
    from geo.simulation.terrain import Terrain

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Trees that grew up together.

    Attributes:
        mix: Shares of species by name.
        per_ha: Trees per hectare that try to grow; the inhibition lets fewer stand.
        height_m: Mean height [m].
        spread: Standard deviation of heights over the mean.
        cover: Share of the ground where this layer may grow; its edges follow a rough field.
        patch_m: Size of its patches and gaps [m].
        spacing: Least distance of two stems, over the sum of their crown radii.
        rows_m: Distance of planted rows [m]; None for trees that seeded themselves.
    """

    mix: Mapping[str, float]
    per_ha: float
    height_m: float
    spread: float = 0.2
    cover: float = 1.0
    patch_m: float = 80.0
    spacing: float = 0.62
    rows_m: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Trees:
    """Trees, one a place in each array (trees,).

    Attributes:
        x: Metres east of the lower left corner of the world.
        y: Metres north of it.
        ground_m: Elevation of the ground at the stem [m].
        height_m: Height of the top above that ground [m].
        radius_m: Mean crown radius [m].
        diameter_cm: Diameter at breast height [cm]; 0 for shrubs.
        species: Number of the species.
        mark: Whole number that all chance within the crown comes from.
    """

    x: Values
    y: Values
    ground_m: Values
    height_m: Values
    radius_m: Values
    diameter_cm: Values
    species: NDArray[np.int64]
    mark: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of trees."""
        return self.x.size

    def chosen(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Trees:
        """Return some of the trees, by a mask or by their places."""
        return Trees(**{part.name: getattr(self, part.name)[which] for part in fields(self)})


@dataclass(frozen=True, kw_only=True)
class StandSettings:
    """What grows on a world.

    Attributes:
        layers: From the oldest to the youngest.
    """

    layers: tuple[Layer, ...] = field(default=())


def grow_trees(
    settings: StandSettings, terrain: Terrain, layout: Layout, area: tuple[float, float], seed: int
) -> Trees:
    """Return the trees of a square of ground.

    Args:
        settings: What grows there.
        terrain: Ground, on which no tree stands in water.
        layout: Roads and buildings, which trees keep off.
        area: Lowest and highest x and y alike [m].
        seed: Of the world.
    """
    grown = [_grow_layer(layer, number, area, seed) for number, layer in enumerate(settings.layers)]
    x, y, height, radius, diameter, species, spacing = (
        np.concatenate(parts) if parts else np.empty(0)
        for parts in (zip(*grown, strict=True) if grown else [()] * 7)
    )
    free = layout.keeps_off(x, y, 1.0) & ~terrain.is_water(Points(x=x, y=y))
    kept = np.flatnonzero(free)
    kept = kept[_inhibit(x[kept], y[kept], radius[kept] * spacing[kept], height[kept])]
    marks = chance_of(seed, "marks").integers(0, 2**31, x.size)
    return Trees(
        x=x[kept], y=y[kept], height_m=height[kept], radius_m=radius[kept],
        ground_m=terrain.elevation(Points(x=x[kept], y=y[kept])).astype(np.float64),
        diameter_cm=diameter[kept], species=species[kept].astype(np.int64), mark=marks[kept],
    )  # fmt: skip


def _grow_layer(
    layer: Layer, number: int, area: tuple[float, float], seed: int
) -> tuple[Values, ...]:
    """Return x, y, heights, radii, diameters, species and spacings of those who try to grow."""
    rng = chance_of(seed, f"layer {number}")
    x, y = _rows(rng, layer.rows_m, area) if layer.rows_m else _anywhere(rng, layer.per_ha, area)
    place = Points(x=x, y=y)
    field_seed = seed_of(seed, f"patches {number}")
    wooded = fractal(place, (layer.patch_m, layer.patch_m / 8), 0.6, field_seed)
    there = wooded < ndtri(layer.cover)
    x, y = x[there], y[there]
    # Neighbours grew on like ground: a third of the spread goes with the place.
    site = fractal(Points(x=x, y=y), (120.0, 30.0), 0.5, field_seed + 50)
    spread = layer.spread * (0.58 * site + 0.82 * rng.standard_normal(x.size))
    height = layer.height_m * np.clip(1 + spread, 0.25, 2.2)
    species = rng.choice(
        [SPECIES_NUMBER[name] for name in layer.mix], x.size,
        p=np.array(list(layer.mix.values())) / sum(layer.mix.values()),
    )  # fmt: skip
    diameter, radius = _sizes(rng, species, height)
    spacing = np.full(x.size, 0.0 if layer.rows_m else layer.spacing)
    return x, y, height, radius, diameter, species.astype(np.float64), spacing


def _anywhere(
    rng: np.random.Generator, per_ha: float, area: tuple[float, float]
) -> tuple[Values, Values]:
    """Return so many places per hectare, by complete chance."""
    count = rng.poisson(per_ha * (area[1] - area[0]) ** 2 / 1e4)
    places = rng.uniform(*area, (2, count))
    return places[0], places[1]


def _rows(
    rng: np.random.Generator, rows_m: float, area: tuple[float, float]
) -> tuple[Values, Values]:
    """Return places in planted rows, somewhat denser in the row than across, some lost."""
    half, middle = 0.75 * (area[1] - area[0]), (area[0] + area[1]) / 2
    along, across = np.meshgrid(
        np.arange(-half, half, 0.8 * rows_m), np.arange(-half, half, rows_m)
    )
    places = np.stack([along.ravel(), across.ravel()])
    places += rng.normal(0, 0.09 * rows_m, places.shape)
    places = places[:, rng.random(places.shape[1]) > 0.07]  # noqa: PLR2004 - the share that died
    turn = rng.uniform(0, np.pi)
    x = middle + places[0] * np.cos(turn) - places[1] * np.sin(turn)
    y = middle + places[0] * np.sin(turn) + places[1] * np.cos(turn)
    inside = (x > area[0]) & (x < area[1]) & (y > area[0]) & (y < area[1])
    return x[inside], y[inside]


def _sizes(
    rng: np.random.Generator, species: NDArray[np.int64], height: Values
) -> tuple[Values, Values]:
    """Return diameters [cm] and crown radii [m], scattered as trees are about the allometry.

    Jucker et al. 2017 report a scatter of about a quarter in diameter, which is part the stem's
    and part the crown's.
    """
    diameter, radius = np.zeros(height.size), 0.5 * height * rng.lognormal(0, 0.25, height.size)
    for number, kind in enumerate(SPECIES):
        ours = species == number
        if kind.curve is None or not ours.any():
            continue
        count = int(ours.sum())
        stem = kind.curve.diameter(height[ours]) * rng.lognormal(0, 0.12, count)
        crown = crown_radius(height[ours], stem) * kind.wide * rng.lognormal(0, 0.10, count)
        # The allometry makes needles of saplings, and giants of trees near the end of their curve.
        diameter[ours] = stem
        radius[ours] = np.clip(crown, 0.08 * height[ours] + 0.2, kind.widest * height[ours] + 0.2)
    return diameter, radius


def _inhibit(x: Values, y: Values, reach: Values, height: Values) -> NDArray[np.int64]:
    """Return the places of trees that stand: a higher one forbids lower ones within both reaches.

    It is simple sequential inhibition in the order of height (Matern 1960), found in rounds: who
    has no higher neighbour left stands, and those whom it forbids fall.
    """
    if x.size == 0:
        return np.empty(0, np.int64)
    pairs = _close_pairs(np.column_stack([x, y]), reach)
    rank = np.argsort(np.argsort(-height, kind="stable"))
    higher = rank[pairs[:, 0]] < rank[pairs[:, 1]]
    winner = np.where(higher, pairs[:, 0], pairs[:, 1])
    loser = np.where(higher, pairs[:, 1], pairs[:, 0])
    stands, open_ = np.zeros(x.size, bool), np.ones(x.size, bool)
    while open_.any():
        contested = np.zeros(x.size, bool)
        contested[loser] = True
        stands |= open_ & ~contested
        open_ &= contested
        fallen = np.zeros(x.size, bool)
        fallen[loser[stands[winner]]] = True
        open_ &= ~fallen
        left = open_[winner] & open_[loser]
        winner, loser = winner[left], loser[left]
    return np.flatnonzero(stands)


def _close_pairs(places: Values, reach: Values) -> NDArray[np.int64]:
    """Return pairs (pairs, 2) of trees nearer than the sum of their reaches."""
    # Small trees have few neighbours in reach; asked with the largest reach they would have many.
    found = []
    edges = [*np.quantile(reach, [0, 0.5, 0.8, 0.95]), np.inf]
    for low, high in pairwise(edges):
        ours = np.flatnonzero((reach >= low) & (reach < high))
        smaller = np.flatnonzero(reach < high)
        if ours.size == 0 or reach[ours].max() == 0:
            continue
        tree = cKDTree(places[smaller])
        near = cKDTree(places[ours]).sparse_distance_matrix(
            tree, 2 * float(reach[ours].max()), output_type="coo_matrix"
        )
        first, second = ours[near.row], smaller[near.col]
        close = (near.data < reach[first] + reach[second]) & (first != second)
        found.append(np.column_stack([first[close], second[close]]))
    return np.concatenate(found) if found else np.empty((0, 2), np.int64)
