"""What of an image the heights of its trees explain, under every shift of the heights.

Shadow is part of the explanation, so it does not pull the shift towards itself: heights are lit by
a sun, with its shading and its shadows, and compared with the brightness of the image; where the
trees stand is compared with its greenness.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from geo.simulation.light import SunSettings, facing, sunlight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geo.raster import Mask, Pixels

    Array = NDArray[np.float64]
    Plane = NDArray[np.float32]

FINEST_M, COARSEST_M = 0.35, 6.0
"""Patterns between these sizes are compared: finer ones are noise, coarser ones haze and relief."""

CANOPY_M = 4.0
"""Height at which ground is told from trees: 1 - exp(-height / CANOPY_M)."""

SOFT_SHADOW_M = 1.0
"""Depth in a shadow at which a third of the sunlight is left: crowns are no solid blocks."""

SKYLIGHT = 0.3
"""Light of a lit surface that does not depend on its slope, over that of level ground."""

BLOCK_M, MOST_BLOCKS = 10.0, 4
"""Parts of a view that count as independent evidence: their side, and how many a side at most."""

PATCH_M2 = 2.0
"""Ground on which neighbouring pixels tell the same, for the penalty on small overlaps."""

FEATURES = 2
LEAST_VARIANCE = 1e-12


@dataclass(frozen=True, kw_only=True)
class View:
    """A piece of an image, and the heights of its ground and of a margin around it.

    Attributes:
        image: red, green, blue (3, rows, columns), of any unit.
        image_known: (rows, columns), True where the image means something.
        heights: heights above ground [m] (rows + 2 margins, columns + 2 margins).
        heights_known: likewise, True where there are heights.
        heights_pixel_m: side of the pixel on which the heights were made, however fine they are
            here [m]; 0 where it does not count.
    """

    image: Pixels
    image_known: Mask
    heights: Pixels
    heights_known: Mask
    heights_pixel_m: float = 0.0

    @property
    def margin(self) -> int:
        """Pixels of the heights beyond each side of the image."""
        return (self.heights.shape[0] - self.image_known.shape[0]) // 2


Shift = tuple[int, int]
"""Pixels by which heights are moved down and right."""


def image_features(view: View, pixel_m: float) -> Plane:
    """Return brightness and greenness (2, rows, columns), without what varies slowly.

    Greenness is the excess of green over red and blue, as a share of all (Woebbecke et al. 1995,
    excess green). The square root of brightness weighs the shade as much as the light.
    """
    colours = np.where(view.image_known, view.image, 0).astype(np.float32)
    total = colours.sum(0)
    known = total[view.image_known]
    floor = 0.1 * float(known.mean()) if known.size else 0.0
    red, green, blue = colours
    greenness = (2 * green - red - blue) / np.maximum(total, max(floor, 1e-6))
    pair = (np.sqrt(np.maximum(total, 0)), greenness)
    return np.stack([band_pass(feature, view.image_known, pixel_m) for feature in pair])


def canopy_template(view: View, pixel_m: float) -> Plane:
    """Return where the trees stand, without what varies slowly (rows, columns of the heights)."""
    canopy = 1 - np.exp(-np.maximum(known_heights(view), 0) / np.float32(CANOPY_M))
    return band_pass(canopy, view.heights_known, pixel_m)


def light_template(view: View, pixel_m: float, sun: SunSettings) -> Plane:
    """Return heights as a sun lights them, without what varies slowly (rows, columns of heights).

    Both shadows and slopes count; the ground is taken to be level.
    """
    surface = known_heights(view)
    sun = SunSettings(
        elevation_deg=sun.elevation_deg, azimuth_deg=sun.azimuth_deg, softness_m=SOFT_SHADOW_M
    )
    rounded = ndimage.gaussian_filter(surface, 0.5 / pixel_m)
    light = sunlight(surface, pixel_m, sun) * (SKYLIGHT + facing(rounded, pixel_m, sun))
    return band_pass(light, view.heights_known, pixel_m)


def known_heights(view: View) -> Plane:
    """Return heights [m], 0 where there is none."""
    return np.where(view.heights_known, view.heights, 0).astype(np.float32)


def band_pass(values: Plane, known: Mask, pixel_m: float) -> Plane:
    """Return values between the finest and the coarsest pattern; 0 where they are not known."""
    fine = masked_mean(values, known, FINEST_M / pixel_m)
    coarse = masked_mean(values, known, COARSEST_M / pixel_m)
    return np.where(known, fine - coarse, 0).astype(np.float32)


def masked_mean(values: Plane, known: Mask, sigma_px: float) -> Plane:
    """Return the Gaussian mean of what is known (Knutsson and Westin 1993)."""
    weight = ndimage.gaussian_filter(known.astype(np.float32), sigma_px)
    mean = ndimage.gaussian_filter(np.where(known, values, 0).astype(np.float32), sigma_px)
    smooth: Plane = mean / np.maximum(weight, 1e-3)
    return smooth


def moments(
    view: View,
    features: Plane,
    templates: Plane,
    shifts: Sequence[Shift],
    blocks: tuple[int, int] = (1, 1),
) -> Array:
    """Return sums of products under shifts, where both image and heights are known.

    As in masked normalised cross-correlation (Padfield 2012), each shift has its own overlap.

    Args:
        view: what is compared.
        features: of the image (features, rows, columns).
        templates: of the heights (templates, rows + 2 margins, columns + 2 margins).
        shifts: of the heights, none larger than the margin.
        blocks: parts of the image, down and across, whose sums are kept apart.

    Returns:
        (shifts, blocks, n, n) with n = 1 + features + templates, the first being the constant 1.
    """
    rows, columns = view.image_known.shape
    constant = np.ones((1, rows, columns), np.float32)
    ours = np.concatenate([constant, features])
    order = len(ours) + len(templates)
    parts = [
        (slice(*down), slice(*across))
        for down in part_edges(rows, blocks[0])
        for across in part_edges(columns, blocks[1])
    ]
    sums = np.empty((len(shifts), len(parts), order, order))
    for index, (down, right) in enumerate(shifts):
        first, left = view.margin - down, view.margin - right
        there = (slice(first, first + rows), slice(left, left + columns))
        known = view.image_known & view.heights_known[there]
        values = np.concatenate([ours, templates[:, *there]]) * known
        for number, part in enumerate(parts):
            flat = values[:, *part].reshape(order, -1)
            sums[index, number] = flat @ flat.T
    return sums


def part_edges(length: int, count: int) -> list[tuple[int, int]]:
    """Return where parts of nearly equal length begin and end."""
    edges = np.linspace(0, length, count + 1).round().astype(int).tolist()
    return list(pairwise(edges))


def block_counts(shape: tuple[int, ...], pixel_m: float) -> tuple[int, int]:
    """Return into how many blocks a view is parted, down and across: two a side at least."""
    down, across = (int(np.clip(round(side * pixel_m / BLOCK_M), 2, MOST_BLOCKS)) for side in shape)
    return down, across


def explained(sums: Array, pixel_m: float) -> Array:
    """Return what share of the image's variation the templates explain.

    For each feature it is the coefficient of determination of a linear regression on all templates,
    adjusted for how little ground a shift leaves (Ezekiel 1930), with ground of PATCH_M2 taken as
    one observation; then the mean over the features that vary.

    Args:
        sums: (..., n, n) of :func:`moments`.
        pixel_m: side of a pixel [m].

    Returns:
        (...) from 0 to 1.
    """
    count = np.maximum(sums[..., 0, 0], 1)
    means = sums[..., 0, 1:] / count[..., None]
    spread = sums[..., 1:, 1:] / count[..., None, None] - means[..., :, None] * means[..., None, :]
    ours = np.diagonal(spread, axis1=-2, axis2=-1)[..., :FEATURES]
    theirs, across = spread[..., FEATURES:, FEATURES:], spread[..., FEATURES:, :FEATURES]
    order = theirs.shape[-1]
    ridge = 1e-6 * np.trace(theirs, axis1=-2, axis2=-1) + LEAST_VARIANCE
    weights = np.linalg.solve(theirs + ridge[..., None, None] * np.eye(order), across)
    varies = ours > LEAST_VARIANCE
    share = (across * weights).sum(-2) / np.where(varies, ours, 1)
    observations = np.maximum(count * pixel_m**2 / PATCH_M2, order + 2)
    penalty = (observations - 1) / (observations - order - 1)
    adjusted = np.clip(1 - (1 - share) * penalty[..., None], 0, 1)
    score: Array = np.where(varies, adjusted, 0).sum(-1) / np.maximum(varies.sum(-1), 1)
    return score
