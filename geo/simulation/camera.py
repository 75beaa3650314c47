"""From light to pixel values: mixing over a pixel, blur, haze, response, noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from geo.simulation.place import Window, seed_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geo.simulation.place import Plane
    from geo.simulation.reflectance import Image
    from geo.simulation.species import Colour


@dataclass(frozen=True, kw_only=True)
class CameraSettings:
    """How the photograph is taken and developed.

    Attributes:
        exposure: Factor of all light.
        balance: Factor of red, green and blue.
        haze: Light that the air adds, red, green and blue; the same on bright and dark.
        sky: Red, green and blue of skylight, over the light of the sun on level ground.
        blur_px: Standard deviation of the blur of lens, motion and resampling [px].
        noise: Standard deviation of the noise, in grey values of 0 to 255.
        gamma: Power of the response: 2.2 as screens expect it.
        contrast: Strength of the S-curve of the developing, 0 for none.
        tilt_deg: Angle of view off the nadir [degrees]: what is high leans, as in photographs that
            are rectified on the ground. 0 is a true orthophoto, which agrees with the truth.
        lean_deg: Direction that it leans to, clockwise from north [degrees].
    """

    exposure: float = 1.0
    balance: Colour = (1.0, 1.0, 1.0)
    haze: Colour = (0.014, 0.022, 0.026)
    sky: Colour = (0.16, 0.20, 0.24)
    blur_px: float = 0.45
    noise: float = 1.6
    gamma: float = 2.2
    contrast: float = 0.25
    tilt_deg: float = 0.0
    lean_deg: float = 0.0


HALO_PX = 4
"""Pixels beyond the edge that the blur needs."""


def seen_aslant(light: Image, height: Plane, pitch: float, camera: CameraSettings) -> Image:
    """Return the light of fine pixels as a tilted view shows it, rectified on the ground.

    What stands h above the ground appears h tan(tilt) to the side, and hides what lies there.

    Args:
        light: Red, green, blue (3, rows, columns).
        height: Of what gives the light above the ground [m] (rows, columns).
        pitch: Side of a fine pixel [m].
        camera: How the photograph is taken.
    """
    slope = np.tan(np.radians(camera.tilt_deg))
    turn = np.radians(camera.lean_deg)
    seen = light.copy()
    # From the ground up, a fine pixel of lean at a time: what is higher hides what is lower.
    for step in range(1, int(np.ceil(height.max() * slope / pitch)) + 1):
        shift = (-round(step * float(np.cos(turn))), round(step * float(np.sin(turn))))
        hit = np.roll(height, shift, (0, 1)) >= (step - 0.5) * pitch / slope
        seen[:, hit] = np.roll(light, shift, (1, 2))[:, hit]
    return seen


def mean_over_pixels(fine: Plane, times: int) -> Plane:
    """Return the means of blocks of `times` by `times` fine pixels (..., rows, columns)."""
    rows, columns = fine.shape[-2] // times, fine.shape[-1] // times
    blocks = fine.reshape(*fine.shape[:-2], rows, times, columns, times)
    means: Plane = blocks.mean((-3, -1))
    return means


def develop(
    radiance: Image, window: Window, camera: CameraSettings, seed: int
) -> NDArray[np.uint8]:
    """Return the photograph (3, rows, columns) of the light that comes from pixels.

    Args:
        radiance: Red, green, blue with a halo of HALO_PX on each side, linear.
        window: Where the photograph lies, without the halo, in its own pixels.
        camera: How it is taken.
        seed: Of its noise.
    """
    seen = ndimage.gaussian_filter(radiance, (0, camera.blur_px, camera.blur_px), truncate=4)
    seen = seen[:, HALO_PX:-HALO_PX, HALO_PX:-HALO_PX]
    balance = np.array(camera.balance, np.float32)[:, None, None] * np.float32(camera.exposure)
    seen = seen * balance + np.array(camera.haze, np.float32)[:, None, None]
    value = np.clip(seen, 0, 1) ** np.float32(1 / camera.gamma)
    value += np.float32(camera.contrast) * value * (1 - value) * (2 * value - 1)
    value = 255 * value
    for band in range(3):
        for part in range(3):  # the sum of three even chances is nearly a bell
            grain = window.grain(seed_of(seed, f"sensor {band} {part}"))
            value[band] += np.float32(2 * camera.noise) * (grain - np.float32(0.5))
    photograph: NDArray[np.uint8] = np.clip(np.rint(value), 0, 255).astype(np.uint8)
    return photograph
