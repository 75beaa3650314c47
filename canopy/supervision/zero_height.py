"""Examples of height 0: bare ground of the pairs, made scenes, and both pasted on plots.

Models that learn from forest alone see trees on grass, roads, roofs and water.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from scipy import ndimage

from canopy.errors import SettingsError
from canopy.supervision.chance import happens
from canopy.supervision.pairs import area_average
from canopy.supervision.surfaces import GROUNDS, Pixels, asphalt, noise, roof_shades

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from canopy.supervision.pairs import HeightPair

Number = TypeVar("Number", bound=np.generic)

KINDS = (*GROUNDS, "road", "roof", "shadow")
"""What a pixel of a made scene shows; its number in `MadeScene.kinds` is its place here."""


MADE_GSD_M = 0.6
"""Pixel that textures and sizes of made scenes are drawn for [m]."""

MADE_GSDS_M = (0.5, 1.5)
"""Pixels that scenes can be made of [m]: finer ones show blades and tiles that are not drawn."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MadeScene:
    """A made picture without any canopy: the true height is 0 everywhere.

    Attributes:
        pixels: Red, green, blue in 0..255 (3, y, x).
        kinds: Number of the kind of each pixel in `KINDS` (y, x).
    """

    pixels: Pixels
    kinds: NDArray[np.uint8]


def make_scene(rng: np.random.Generator, size: int, gsd_m: float = MADE_GSD_M) -> MadeScene:
    """Make a scene of one or two grounds, at times with roads, roofs and their shadows.

    Textures and sizes are those of pixels of 0.6 m. A scene of larger pixels is drawn at 0.6 m and
    averaged, as imagery is; down to 0.5 m it is taken as it is.

    Args:
        rng: source of chance.
        size: side [px].
        gsd_m: pixel size [m].

    Raises:
        SettingsError: scenes cannot be made of such pixels.
    """
    check_made_gsd(gsd_m)
    ratio = max(1.0, gsd_m / MADE_GSD_M)
    scene = _draw_scene(rng, math.ceil(size * ratio - 1e-6))
    if ratio == 1:
        return scene
    nearest = np.floor((np.arange(size) + 0.5) * ratio).astype(int)
    averaged = area_average(scene.pixels, from_gsd=1.0, to_gsd=ratio)[:, :size, :size]
    return MadeScene(pixels=averaged, kinds=scene.kinds[nearest[:, None], nearest[None]])


def check_made_gsd(gsd_m: float) -> None:
    """Refuse pixels that no scene can be made of.

    Raises:
        SettingsError: they are smaller or larger than textures are right for.
    """
    smallest, largest = MADE_GSDS_M
    if not smallest <= gsd_m <= largest:
        message = (
            f"scenes without trees are made for pixels of {smallest:g} to {largest:g} m, not of "
            f"{gsd_m:g} m: set the shares made and pasted to 0"
        )
        raise SettingsError(message)


def _draw_scene(rng: np.random.Generator, size: int) -> MadeScene:
    """Draw a scene of pixels of 0.6 m."""
    # Meadows are what most open land is, and the hardest to tell from low, pale crowns.
    names = [*GROUNDS, "meadow", "meadow"]
    first = names[rng.integers(len(names))]
    pixels = GROUNDS[first](rng, size)
    kinds = np.full((size, size), KINDS.index(first), np.uint8)
    if happens(rng, 0.6):
        second = names[rng.integers(len(names))]
        there = noise(rng, size, 2.0) > rng.normal(0, 0.7)
        pixels = np.where(there, GROUNDS[second](rng, size), pixels)
        kinds[there] = KINDS.index(second)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.5, 0.4, 0.1]))):
        _draw_road(rng, pixels, kinds)
    for _ in range(int(rng.choice([0, 2, 4, 7], p=[0.55, 0.15, 0.15, 0.15]))):
        _draw_roof(rng, pixels, kinds)
    if happens(rng, 0.3):
        _cast_shadows(rng, pixels, kinds)
    blur = rng.uniform(0, 0.5)
    return MadeScene(pixels=ndimage.gaussian_filter(pixels, (0, blur, blur)), kinds=kinds)


def bare_ground(
    pair: HeightPair, *, below_m: float = 0.5, margin_m: float = 1.2
) -> NDArray[np.bool_]:
    """Where a plot shows ground without canopy.

    Args:
        pair: A plot.
        below_m: Canopy heights under this count as ground [m].
        margin_m: Distance to keep from anything taller, about the usual misalignment [m].

    Returns:
        True on bare ground (y, x) of the image's grid.
    """
    covered = (pair.image_heights >= below_m) | ~pair.image_valid
    away = ndimage.distance_transform_edt(~covered) * pair.gsd_m
    bare: NDArray[np.bool_] = ~covered & (away > margin_m)
    return bare


def ground_patches(pairs: Sequence[HeightPair], *, side: int = 10, step: int = 5) -> list[Pixels]:
    """Cut square patches of bare ground (3, side, side) out of plots, `step` pixels apart."""
    patches = []
    for pair in pairs:
        bare = bare_ground(pair)
        rows, columns = bare.shape
        patches += [
            pair.image[:, row : row + side, column : column + side]
            for row in range(0, rows - side + 1, step)
            for column in range(0, columns - side + 1, step)
            if bare[row : row + side, column : column + side].mean() > 0.97  # noqa: PLR2004 - all but a few
        ]
    return patches


def mirrored(values: NDArray[Number], size: int, start: tuple[int, int]) -> NDArray[Number]:
    """Extend values (..., y, x) by repeated reflection to (..., size, size) from an offset."""
    places = []
    for offset, length in zip(start, values.shape[-2:], strict=True):
        phase = (np.arange(size) + offset) % (2 * length)
        places.append(np.minimum(phase, 2 * length - 1 - phase))
    extended: NDArray[Number] = values[..., places[0][:, None], places[1][None]]
    return extended


def ground_scene(rng: np.random.Generator, patches: Sequence[Pixels], size: int) -> Pixels:
    """Fill a scene (3, size, size) with a patch of real ground, half the time in another colour."""
    patch = patches[int(rng.integers(len(patches)))]
    start = (int(rng.integers(1000)), int(rng.integers(1000)))
    pixels = mirrored(patch, size, start)
    return recoloured(rng, pixels) if happens(rng, 0.5) else pixels


def recoloured(rng: np.random.Generator, pixels: Pixels) -> Pixels:
    """Give the texture of some pixels (3, y, x) the mean and contrast of a made ground."""
    names = list(GROUNDS)
    model = GROUNDS[names[rng.integers(len(names))]](rng, 16)
    centre = pixels.mean(axis=(1, 2), keepdims=True)
    contrast = rng.uniform(0.4, 1.2)
    wanted = model.mean(axis=(1, 2), keepdims=True)
    changed: Pixels = np.clip((pixels - centre) * contrast + wanted, 0, 255).astype(np.float32)
    return changed


def paste(
    rng: np.random.Generator,
    pixels: Pixels,
    heights: NDArray[np.float32],
    ground: Pixels,
) -> tuple[Pixels, NDArray[np.float32], NDArray[np.bool_]]:
    """Lay treeless ground over part of a plot.

    Args:
        rng: Source of chance: where, and in which shape (a clearing, a strip, or one side).
        pixels: Plot in 0..255 (3, y, x).
        heights: Its canopy heights [m] (y, x).
        ground: Treeless pixels in 0..255 (3, y, x).

    Returns:
        Pixels (3, y, x), heights [m] (y, x), which are 0 under the ground, and True where it
        lies (y, x).
    """
    there = _clearing(rng, pixels.shape[-1])
    soft = ndimage.gaussian_filter(there.astype(np.float32), 0.6)
    blended = (pixels * (1 - soft) + ground * soft).astype(np.float32)
    return blended, np.where(there, np.float32(0), heights), there


def _clearing(rng: np.random.Generator, size: int) -> NDArray[np.bool_]:
    """A patch of ground (y, x) in one of three shapes."""
    shape = rng.integers(3)
    if shape == 0:
        return noise(rng, size, 2.0) > rng.uniform(0.0, 1.0)
    across = _distance_to_line(rng, size)
    if shape == 1:
        return np.abs(across) < rng.uniform(3, 12)
    return across > 0


def _distance_to_line(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Signed distance [px] of each pixel (y, x) to a slightly bent line through the middle."""
    turn, bend = rng.uniform(0, np.pi), rng.uniform(0, 6)
    rows, columns = np.mgrid[:size, :size] - rng.uniform(0.15, 0.85, (2, 1, 1)) * size
    along = rows * np.sin(turn) - columns * np.cos(turn)
    across = rows * np.cos(turn) + columns * np.sin(turn)
    bent: NDArray[np.float64] = across + bend * np.sin(2 * np.pi * along / (2 * size))
    return bent


def _draw_road(rng: np.random.Generator, pixels: Pixels, kinds: NDArray[np.uint8]) -> None:
    """Draw a road with verges, and at times markings, into a scene."""
    size = kinds.shape[0]
    across = _distance_to_line(rng, size)
    half = rng.uniform(2.5, 9)
    there = np.abs(across) < half
    verge = np.abs(across) < half + rng.uniform(0, 2)
    pixels[:, verge] = pixels[:, verge] * 0.7 + 0.3 * 200
    pixels[:, there] = asphalt(rng, size)[:, there]
    if happens(rng, 0.6):
        line = np.abs(across) < 0.5  # noqa: PLR2004 - half a pixel to each side
        marking = np.array([[230.0], [220.0], [rng.choice([110.0, 225.0])]])
        pixels[:, line] = pixels[:, line] * 0.5 + 0.5 * marking
    kinds[verge] = KINDS.index("road")


def _draw_roof(rng: np.random.Generator, pixels: Pixels, kinds: NDArray[np.uint8]) -> None:
    """Draw a building seen from above, with the shadow that it casts, into a scene."""
    size = kinds.shape[0]
    turn, centre = rng.uniform(0, np.pi), rng.uniform(0, size, (2, 1, 1))
    half = rng.uniform(5, 14), rng.uniform(5, 22)
    inside, across = _rectangle(size, centre, turn, half)
    length, direction = rng.uniform(2, 10), rng.uniform(0, 2 * np.pi)
    cast = np.array([np.sin(direction), np.cos(direction)]).reshape(2, 1, 1) * length
    shadow = (
        _rectangle(size, centre + cast, turn, half)[0]
        | _rectangle(size, centre + cast / 2, turn, half)[0]
    )
    pixels[:, shadow] *= rng.uniform(0.3, 0.6)
    kinds[shadow] = KINDS.index("shadow")
    pixels[:, inside] = roof_shades(rng, inside, across, turn)[:, inside]
    kinds[inside] = KINDS.index("roof")


def _cast_shadows(rng: np.random.Generator, pixels: Pixels, kinds: NDArray[np.uint8]) -> None:
    """Darken blobs, bluish as shadows are, as if trees or clouds stood outside the scene."""
    there = noise(rng, kinds.shape[0], 1.6) > rng.uniform(0.6, 1.8)
    tint = np.array([0.85, 0.95, 1.15]) * rng.uniform(0.25, 0.6)
    pixels[:, there] *= tint[:, None].astype(np.float32)
    kinds[there] = KINDS.index("shadow")


def _rectangle(
    size: int, centre: NDArray[np.float64], turn: float, half: tuple[float, float]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """A turned rectangle: True inside, and the distance across its longer axis [px] (y, x)."""
    rows, columns = np.mgrid[:size, :size] - centre
    across = rows * np.cos(turn) + columns * np.sin(turn)
    along = rows * np.sin(turn) - columns * np.cos(turn)
    return (np.abs(across) < half[0]) & (np.abs(along) < half[1]), across
