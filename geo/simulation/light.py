"""Sun and sky: which pixels the sun reaches, how steeply, and how much of the sky they see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from geo.simulation.place import Plane

SKY_DIRECTIONS = 8
SKY_ELEVATIONS_DEG = (35.0, 60.0)
"""The sky is sampled in eight directions, at these elevations in turn."""


@dataclass(frozen=True, kw_only=True)
class SunSettings:
    """Where the sun stands and how hard its shadows are.

    Attributes:
        elevation_deg: Above the horizon [degrees].
        azimuth_deg: Clockwise from north [degrees].
        softness_m: Depth below the edge of a shadow at which a third of the light is left [m]:
            edges of crowns let light through.
    """

    elevation_deg: float = 45.0
    azimuth_deg: float = 140.0
    softness_m: float = 0.35


def depth_in_shadow(
    surface: Plane, pitch: float, azimuth_deg: float, elevation_deg: float
) -> Plane:
    """Return how far each pixel lies below the light that just passes over what stands before it.

    The surface is a solid block in every column. Rays are sheared into lines of pixels, nearest
    neighbour, so that a running maximum along them finds every shadow in one pass.

    Args:
        surface: Elevations [m] (rows, columns), north up.
        pitch: Side of a pixel [m].
        azimuth_deg: Of the light, clockwise from north [degrees].
        elevation_deg: Of the light above the horizon [degrees].

    Returns:
        Metres (rows, columns); 0 in the light.
    """
    east, south = np.sin(np.radians(azimuth_deg)), -np.cos(np.radians(azimuth_deg))
    along_columns = abs(east) > abs(south)
    ahead, aside = (east, south) if along_columns else (south, east)
    turned = surface.T if along_columns else surface
    turned = turned[::-1] if ahead > 0 else turned  # the light comes from the first row
    rise = pitch / abs(ahead) * np.tan(np.radians(elevation_deg))
    depth = _running_depth(turned, aside / abs(ahead), rise)
    depth = depth[::-1] if ahead > 0 else depth
    return np.ascontiguousarray(depth.T if along_columns else depth)


def _running_depth(surface: Plane, drift: float, rise: float) -> Plane:
    """Return the depth in shadow where light comes from the first row.

    Args:
        surface: Elevations [m].
        drift: Columns to the side for each row towards the light.
        rise: Climb of the light for each row towards it [m].
    """
    rows, columns = surface.shape
    shifts = np.rint(drift * np.arange(rows)).astype(np.int64)
    shifts -= shifts.min()
    highest = np.full(columns + int(shifts.max()), -np.inf, np.float32)
    depth = np.empty(surface.shape, np.float32)
    for row in range(rows):
        highest -= np.float32(rise)
        ray = highest[shifts[row] : shifts[row] + columns]
        np.maximum(ray, surface[row], out=ray)
        np.subtract(ray, surface[row], out=depth[row])
    return depth


def sunlight(surface: Plane, pitch: float, sun: SunSettings) -> Plane:
    """Return the share of direct sunlight (rows, columns) that gets past what stands before it."""
    depth = depth_in_shadow(surface, pitch, sun.azimuth_deg, sun.elevation_deg)
    lit: Plane = np.exp(depth * np.float32(-1 / sun.softness_m))
    return lit


def facing(surface: Plane, pitch: float, sun: SunSettings) -> Plane:
    """Return how squarely pixels face the sun (rows, columns): 1 on level ground, 0 turned away."""
    south, east = np.gradient(surface, np.float32(pitch))
    turn, height = np.radians(sun.azimuth_deg), np.radians(sun.elevation_deg)
    towards = -east * np.float32(np.sin(turn)) + south * np.float32(np.cos(turn))
    cosine = towards * np.float32(1 / np.tan(height)) + 1
    cosine /= np.sqrt(1 + south**2 + east**2)
    lit: Plane = np.maximum(cosine, 0)
    return lit


def sky_view(surface: Plane, pitch: float, softness_m: float = 1.5) -> Plane:
    """Return the share of the sky's light (rows, columns) that gets to each pixel, in (0, 1].

    It is sampled on pixels twice as large: skylight varies slowly.
    """
    rows, columns = surface.shape
    padded = np.pad(surface, ((0, rows % 2), (0, columns % 2)), mode="edge")
    coarse = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2).mean((1, 3))
    total = np.zeros(coarse.shape, np.float32)
    for direction in range(SKY_DIRECTIONS):
        height = SKY_ELEVATIONS_DEG[direction % len(SKY_ELEVATIONS_DEG)]
        turn = 360 * (direction + 0.3) / SKY_DIRECTIONS
        depth = depth_in_shadow(coarse, 2 * pitch, turn, height)
        total += np.exp(depth * np.float32(-1 / softness_m))
    total = ndimage.uniform_filter(total, 3) / np.float32(SKY_DIRECTIONS)
    fine = np.repeat(np.repeat(total, 2, 0), 2, 1)[:rows, :columns]
    return np.ascontiguousarray(fine)


def hollows(surface: Plane, pitch: float, size_m: float = 0.8) -> Plane:
    """Return how far pixels lie below their surroundings of a given size [m] (rows, columns)."""
    around = ndimage.uniform_filter(surface, max(3, 2 * round(size_m / pitch / 2) + 1))
    below: Plane = np.maximum(around - surface, 0)
    return below
