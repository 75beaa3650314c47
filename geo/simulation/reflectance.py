"""Colours of the ground and of crowns in full sun, before light and camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from geo.simulation.ground import road_mask
from geo.simulation.place import chance_of, fractal, scatter, seed_of
from geo.simulation.species import SPECIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geo.simulation.crowns import Canopy
    from geo.simulation.ground import Building, GroundSettings, Layout, Mask
    from geo.simulation.light import SunSettings
    from geo.simulation.place import Plane, Window
    from geo.simulation.stands import Trees

Image = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
"""Red, green, blue (3, rows, columns), linear, where 1 is the white of the photograph."""

GROUNDS = np.array(
    [
        [0.27, 0.33, 0.13],  # grass
        [0.37, 0.34, 0.20],  # dry grass
        [0.54, 0.38, 0.29],  # soil
        [0.62, 0.55, 0.50],  # rock
        [0.25, 0.20, 0.15],  # litter
    ],
    np.float32,
)
GRAIN = np.array([0.26, 0.26, 0.20, 0.34, 0.36], np.float32)
"""Standard deviation of the fine grain of each ground, as a share of its brightness."""

SAGE = np.array([0.40, 0.42, 0.36], np.float32)
WOOD = np.array([0.60, 0.56, 0.52], np.float32)
ASPHALT, GRAVEL = np.array([0.22, 0.22, 0.22]), np.array([0.50, 0.44, 0.37])
WATER = np.array([0.030, 0.055, 0.055], np.float32)


def ground_colours(
    window: Window, settings: GroundSettings, layout: Layout, seed: int, sun: SunSettings
) -> Image:
    """Return the colours of ground and roads, without trees and roofs, in full sun.

    Tussocks are too low to be in the relief, so what shade they cast comes with their colour.
    """
    weights, grain = _mixture(window, settings.shares, seed)
    image: Image = np.einsum("kyx,kc->cyx", weights, GROUNDS, optimize=True)
    fine = fractal(window, (3.2, 0.4), 1.0, seed_of(seed, "tufts"))
    fine = 0.4 * fine + 0.25 * window.speckle(0.25, seed_of(seed, "tussocks"))
    image *= np.exp((fine + window.grain(seed_of(seed, "grain")) - 0.5) * grain)
    image *= np.array(settings.tint, np.float32)[:, None, None]
    _lay_hue(image, window, seed)
    _lay_sage(image, window, settings.sage, seed, sun)
    _lay_logs(image, window, settings.logs_per_ha, seed)
    _lay_roads(image, window, layout, seed)
    return image


def _mixture(
    window: Window, shares: tuple[float, ...], seed: int
) -> tuple[NDArray[np.float32], Plane]:
    """Return the weights of the grounds (grounds, rows, columns), and the strength of the grain."""
    weights = np.zeros((len(shares), window.rows, window.columns), np.float32)
    for number, share in enumerate(shares):
        if share > 0:
            part = fractal(window, (60.0, 0.9), 0.75, seed_of(seed, f"ground {number}"))
            # Sharp borders where one kind clearly wins, mingled where two are equal.
            weights[number] = share * np.exp(1.8 * part)
    weights /= weights.sum(0)
    return weights, np.einsum("kyx,k->yx", weights, GRAIN)


def _lay_hue(image: Image, window: Window, seed: int) -> None:
    """Let brightness and hue drift slowly, as moisture and soils do."""
    bright = fractal(window, (120.0, 7.0), 0.6, seed_of(seed, "moisture"))
    warm = fractal(window, (90.0, 10.0), 0.5, seed_of(seed, "warmth"))
    image *= 1 + np.float32(0.10) * bright
    image[0] *= 1 + np.float32(0.06) * warm
    image[2] *= 1 - np.float32(0.06) * warm


def _lay_sage(image: Image, window: Window, density: float, seed: int, sun: SunSettings) -> None:
    """Strew grey tussocks and dwarf shrubs, too low to be canopy, in drifts."""
    if density <= 0:
        return
    drift = fractal(window, (40.0, 5.0), 0.6, seed_of(seed, "drift"))
    tuft = window.speckle(0.3, seed_of(seed, "sage"))
    there = np.clip(1.5 * (tuft - 2.4 + 1.3 * density + 0.9 * drift), 0, 1) * np.float32(0.85)
    turn, reach = np.radians(sun.azimuth_deg), 0.45 / window.pitch
    shift = (round(reach * float(np.cos(turn))), round(-reach * float(np.sin(turn))))
    image *= 1 - np.float32(0.75) * np.roll(there, shift, (0, 1))
    image += there * (SAGE[:, None, None] * (0.9 + 0.1 * tuft) - image)


def _lay_logs(image: Image, window: Window, per_ha: float, seed: int) -> None:
    """Lay pale fallen stems on the ground, the same in every window that sees them."""
    if per_ha <= 0:
        return
    block = 40.0
    side_m = (window.columns * window.pitch, window.rows * window.pitch)
    west, south = window.x[0, 0], window.y[-1, 0]
    for column in range(int((west - 20) // block), int((west + side_m[0] + 20) // block) + 1):
        for row in range(int((south - 20) // block), int((south + side_m[1] + 20) // block) + 1):
            rng = chance_of(seed, f"logs {column} {row}")
            for _ in range(rng.poisson(per_ha * block**2 / 1e4)):
                x, y = (np.array([column, row]) + rng.random(2)) * block
                _lay_log(image, window, rng, float(x), float(y))


def _lay_log(image: Image, window: Window, rng: np.random.Generator, x: float, y: float) -> None:
    """Lay one stem about a place [m]."""
    length, width, turn = rng.uniform(4, 18), rng.uniform(0.15, 0.4), rng.uniform(0, np.pi)
    tone = WOOD * np.float32(rng.uniform(0.65, 1.15))
    reach = length / 2
    columns = np.flatnonzero(np.abs(window.x[0] - x) < reach)
    rows = np.flatnonzero(np.abs(window.y[:, 0] - y) < reach)
    if columns.size == 0 or rows.size == 0:
        return
    box = (slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    east, north = window.x[:, box[2]] - x, window.y[box[1]] - y
    along = east * np.cos(turn) + north * np.sin(turn)
    side = np.abs(north * np.cos(turn) - east * np.sin(turn))
    share = np.clip((width - side) / window.pitch + 0.5, 0, 1) * (np.abs(along) < length / 2)
    image[box] += (0.9 * share).astype(np.float32) * (tone[:, None, None] - image[box])


def _lay_roads(image: Image, window: Window, layout: Layout, seed: int) -> None:
    """Lay roads with worn verges over the ground."""
    if not layout.roads:
        return
    wear = fractal(window, (12.0, 0.8), 0.6, seed_of(seed, "wear"))
    for paved, colour in ((False, GRAVEL), (True, ASPHALT)):
        there, away = road_mask(layout.roads, window, paved=paved)
        tone = (1 + 0.07 * wear) * colour.astype(np.float32)[:, None, None]
        rut = 0 if paved else 0.16 * np.exp(-(((away - 0.1) / 0.45) ** 2))
        # Verges: fewer plants, more of the road's dust, fading over a metre.
        edge = np.where(there, 1.0, 0.0).astype(np.float32)
        half = max((road.half_m for road in layout.roads if road.paved == paved), default=0.0)
        dust = np.clip(1.2 - (away - half + 0.3 * wear) / 1.2, 0, 1) * np.float32(0.45)
        share = np.maximum(edge, np.where(away < half + 2, dust, 0)) - rut * edge
        image += share.astype(np.float32) * (tone - image)


def paint_buildings(
    image: Image, buildings: tuple[Building, ...], window: Window, there: Mask, seed: int
) -> None:
    """Paint roofs, with courses along the ridge, into an image where a mask says so."""
    stain = fractal(window, (6.0, 0.4), 0.7, seed_of(seed, "stain"))
    for house in buildings:
        rows = np.flatnonzero(np.abs(window.y[:, 0] - house.y) <= house.reach_m)
        columns = np.flatnonzero(np.abs(window.x[0] - house.x) <= house.reach_m)
        if rows.size == 0 or columns.size == 0:
            continue
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        along, side = house.axes(window.x[:, box[1]], window.y[box[0]])
        ours = (np.abs(along) <= house.half_long_m) & (np.abs(side) <= house.half_wide_m)
        ours &= there[box]
        courses = 1 + 0.05 * np.sin(2 * np.pi * side / 0.9) + 0.06 * stain[box]
        for band, value in enumerate(house.colour):
            image[band][box][ours] = (value * courses)[ours]


def paint_crowns(image: Image, canopy: Canopy, trees: Trees, window: Window, seed: int) -> None:
    """Paint leaves into an image where crowns are: the hue is the tree's, its tone a clump's."""
    there = canopy.owner >= 0
    if not there.any():
        return
    colours = tree_colours(trees, seed)[canopy.owner[there]]
    # Sprays of leaves catch the light or leave dark gaps, far more than the shape of clumps tells.
    sprays = 0.8 * window.speckle(0.3, seed_of(seed, "sprays"))
    sprays += 0.6 * window.speckle(0.6, seed_of(seed, "branches"))
    drift = fractal(window, (4.8, 1.2), 0.8, seed_of(seed, "foliage"))
    tone = (0.82 + 0.30 * canopy.bulge[there]) * np.exp(0.40 * sprays[there] + 0.10 * drift[there])
    tone *= np.float32(0.92)
    for band in range(3):
        image[band][there] = colours[:, band] * tone


def tree_colours(trees: Trees, seed: int) -> NDArray[np.float32]:
    """Return the colour of each tree (trees, 3): its species' with its own brightness and hue."""
    base = np.array([species.colour for species in SPECIES])[trees.species]
    spread = np.array([species.spread for species in SPECIES])[trees.species]
    zero = np.zeros(len(trees), np.int64)
    bright, warm = (
        ndtri(np.clip(scatter(trees.mark, zero, seed_of(seed, part)), 1e-3, 1 - 1e-3))
        for part in ("brightness", "warmth of leaves")
    )
    tint = 1 + warm[:, None] * np.array([0.05, 0.0, 0.03])
    colours: NDArray[np.float32] = (base * np.exp(spread * bright)[:, None] * tint).astype(
        np.float32
    )
    return colours
