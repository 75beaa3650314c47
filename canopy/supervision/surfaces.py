"""Made pictures of bare surfaces: lawn, meadow, soil, crops, asphalt, water and roofs.

They need only be wide enough in colour and texture for a network to learn that none of them is a
tree. Nothing here is a model of reflectance: colours are ranges seen in aerial photographs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from canopy.supervision.chance import happens

if TYPE_CHECKING:
    from collections.abc import Callable

Pixels = NDArray[np.float32]
"""Red, green, blue in 0..255 (3, y, x)."""
Plane = NDArray[np.float64]
"""One value a pixel (y, x)."""
Colours = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Darkest and brightest red, green, blue of a surface."""


def noise(rng: np.random.Generator, size: int, roughness: float) -> Plane:
    """Fractal noise of mean 0 and spread 1 (y, x).

    Args:
        rng: Source of chance.
        size: Side [px].
        roughness: Exponent of the amplitude over frequency: 0 is white noise, 2 is smooth clouds.
    """
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * frequency**-roughness
    field = np.fft.irfft2(spectrum, s=(size, size))
    scaled: Plane = (field - field.mean()) / field.std()
    return scaled


def stripes(
    rng: np.random.Generator, size: int, *, period: tuple[float, float], turn: float | None = None
) -> Plane:
    """Parallel waves between -1 and 1 (y, x) of a period drawn from a range [px]."""
    turn = rng.uniform(0, np.pi) if turn is None else turn
    rows, columns = np.mgrid[:size, :size]
    along = rows * np.cos(turn) + columns * np.sin(turn)
    waves: Plane = np.sin(2 * np.pi * along / rng.uniform(*period) + rng.uniform(0, 2 * np.pi))
    return waves


def lawn(rng: np.random.Generator, size: int) -> Pixels:
    """Mown or grazed grass, sometimes with the stripes of the mower."""
    colour = _colour(rng, ((60, 95, 35), (160, 190, 130)))
    shade = rng.uniform(1, 8) * noise(rng, size, 1.2) + rng.uniform(1, 9) * noise(rng, size, 0)
    if happens(rng, 0.3):
        shade += rng.uniform(2, 8) * stripes(rng, size, period=(4, 20))
    return _paint(colour, shade, rng)


def meadow(rng: np.random.Generator, size: int) -> Pixels:
    """Dry or green grass with tussocks and low shrubs.

    At half a metre meadows are nearly white noise: neighbouring pixels of airborne imagery of
    grassland and sagebrush correlate by 0.1 to 0.3, those of crowns by far more.
    """
    colour = _colour(rng, ((105, 110, 65), (205, 200, 165)))
    colour += rng.uniform(0, 1) * np.array([-10.0, 8.0, -15.0])
    shade = rng.uniform(1, 7) * noise(rng, size, 1.0) + rng.uniform(5, 15) * noise(rng, size, 0)
    shade -= rng.uniform(5, 40) * (noise(rng, size, 0.2) > rng.uniform(1.2, 2.4))
    pixels = _paint(colour, shade, rng)
    green = np.clip(noise(rng, size, 1.3) - rng.uniform(-0.5, 1.5), 0, 1)
    tint = green * np.array([-30.0, 5.0, -20.0])[:, None, None]
    tinted: Pixels = np.clip(pixels + tint, 0, 255).astype(np.float32)
    return tinted


def soil(rng: np.random.Generator, size: int) -> Pixels:
    """Bare ground from red earth to white sand, with stones."""
    colour = _colour(rng, ((110, 80, 60), (240, 215, 195)))
    shade = rng.uniform(3, 15) * noise(rng, size, 1.1) + rng.uniform(2, 12) * noise(rng, size, 0)
    shade += rng.uniform(10, 40) * (noise(rng, size, 0.3) > rng.uniform(1.8, 2.8))
    return _paint(colour, shade, rng)


def crop(rng: np.random.Generator, size: int) -> Pixels:
    """A field in rows, between bare soil and closed green."""
    bare, green = soil(rng, size), lawn(rng, size)
    cover = 0.5 + 0.5 * stripes(rng, size, period=(2.5, 8)) * rng.uniform(0.2, 1)
    cover = np.clip(cover + 0.2 * noise(rng, size, 0.8) + rng.uniform(-0.3, 0.3), 0, 1)
    return (bare * (1 - cover) + green * cover).astype(np.float32)


def asphalt(rng: np.random.Generator, size: int) -> Pixels:
    """Paved or gravelled ground, grey and smooth."""
    grey = rng.uniform(60, 215)
    colour = grey + rng.uniform(-10, 10, 3)
    shade = rng.uniform(1, 6) * noise(rng, size, 1.2) + rng.uniform(0.5, 4) * noise(rng, size, 0)
    return _paint(colour, shade, rng)


def water(rng: np.random.Generator, size: int) -> Pixels:
    """Open water, from black to turbid, with ripples and at times glint."""
    colour = _colour(rng, ((8, 20, 25), (95, 120, 120)))
    shade = rng.uniform(1, 7) * noise(rng, size, 1.7) + rng.uniform(0, 3) * noise(rng, size, 0.3)
    if happens(rng, 0.5):
        shade += rng.uniform(1, 6) * stripes(rng, size, period=(3, 12))
    if happens(rng, 0.4):
        shade += rng.uniform(40, 160) * (noise(rng, size, 0.2) > rng.uniform(1.8, 3.0))
    return _paint(colour, shade, rng)


GROUNDS: dict[str, Callable[[np.random.Generator, int], Pixels]] = {
    "lawn": lawn,
    "meadow": meadow,
    "soil": soil,
    "crop": crop,
    "asphalt": asphalt,
    "water": water,
}


def roof_shades(
    rng: np.random.Generator, inside: NDArray[np.bool_], across: Plane, turn: float
) -> Pixels:
    """Colours of a pitched or flat roof (3, y, x), meaningful where `inside`.

    Args:
        rng: Source of chance.
        inside: True on the roof (y, x).
        across: Signed distance from the ridge (y, x) [px].
        turn: Direction of the ridge [radians].
    """
    size = inside.shape[0]
    bases = (
        ((55, 55, 60), (235, 235, 235)),
        ((110, 55, 45), (190, 110, 90)),
        ((60, 60, 70), (130, 130, 150)),
    )
    colour = _colour(rng, bases[rng.integers(len(bases))])
    pitch = rng.uniform(0, 45) * happens(rng, 0.75)
    shade = pitch * np.sign(across) / 2 + rng.uniform(1, 5) * noise(rng, size, 0.8)
    shade += rng.uniform(0, 6) * stripes(rng, size, period=(2, 5), turn=turn)
    return _paint(colour, shade, rng)


def _colour(rng: np.random.Generator, colours: Colours) -> NDArray[np.float64]:
    """A colour between the darkest and the brightest, with a little freedom of hue (3,)."""
    dark, bright = np.array(colours[0]), np.array(colours[1])
    drawn: NDArray[np.float64] = dark + (bright - dark) * rng.random() + rng.normal(0, 8, 3)
    return drawn


def _paint(colour: NDArray[np.float64], shade: Plane, rng: np.random.Generator) -> Pixels:
    """A colour with brighter and darker pixels; each band follows the shade in its own measure."""
    bands = colour[:, None, None] + shade[None] * rng.uniform(0.8, 1.2, (3, 1, 1))
    return np.clip(bands, 0, 255).astype(np.float32)
