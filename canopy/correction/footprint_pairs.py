"""What a map says within a footprint: the percentile of its heights, weighted as the laser's light.

The energy of a GEDI shot falls off across its footprint as a Gaussian of 5.5 m (Hancock et al.
2019, Earth and Space Science 6, 294-310); the footprint's 25 m hold 92 % of it. Relative heights
are percentiles of returned energy, so the percentile of the map must weigh its pixels likewise.
Instead of weighing pixels, the map is looked up at points that lie as densely as the energy; their
plain percentile is the weighted one of the pixels, for any size of pixel, at any shift, fast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from canopy.errors import SettingsError
from canopy.evaluation.points import LEAST_COVERED

if TYPE_CHECKING:
    from collections.abc import Callable

    from canopy.correction.footprints import Footprints
    from canopy.correction.settings import CorrectionSettings
    from canopy.evaluation.height_source import HeightReader, HeightSource

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

RADIUS_M = 12.5
"""Of a GEDI footprint [m]."""
SIGMA_M = 5.5
"""Standard deviation of its energy [m]."""
POINTS = 400
"""At which the map is looked up; the 98th percentile is the mean of the 8th and 9th highest."""

LEAST_MAP_M = 0.1
"""Lower percentiles of the map are taken as it in logarithms [m]."""

PLAUSIBLE_RATIO = 4.0
"""Where the median of RH over map is beyond it, or below its inverse, one is not in metres."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Shots, and the map within their footprints at shifts of their places.

    Attributes:
        right, down: metres from the map's corner as reported (n,) [true m].
        track: number of the track (n,); -1 unknown.
        rh: relative height (n,) [m].
        shifts: metres right and up that are tried (s, 2) [true m]; the first is none.
        heights: percentile of the map (n, s) [m]; NaN where it covers too little.
    """

    right: Array
    down: Array
    track: NDArray[np.int64]
    rh: Array
    shifts: Array
    heights: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of shots."""
        return self.rh.size

    def part(self, kept: Mask) -> Pairs:
        """Return some of the shots."""
        return Pairs(
            right=self.right[kept],
            down=self.down[kept],
            track=self.track[kept],
            rh=self.rh[kept],
            shifts=self.shifts,
            heights=self.heights[kept],
        )


def energy_points(count: int = POINTS) -> Array:
    """Return where the energy of a footprint falls: points right and down of its middle [m]."""
    return gaussian_points(count, SIGMA_M, RADIUS_M)


def gaussian_points(count: int, sigma_m: float, radius_m: float) -> Array:
    """Return points (count, 2) that lie as densely as a Gaussian within a circle [m].

    Vogel's spiral (1979): equal steps of the golden angle, and radii at equal steps of the share
    of the Gaussian within them, 1 - exp(-r^2 / 2 sigma^2), up to the edge of the circle.
    """
    within = 1 - math.exp(-0.5 * (radius_m / sigma_m) ** 2)
    share = (np.arange(count) + 0.5) / count * within
    radius = sigma_m * np.sqrt(-2 * np.log1p(-share))
    turn = np.arange(count) * math.pi * (3 - math.sqrt(5))
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1)


def shifts_within(reach_m: float, step_m: float) -> Array:
    """Return shifts right and up (s, 2) [m] on a square grid within a circle, none first."""
    count = int(reach_m / step_m + 1e-9)
    steps = np.arange(-count, count + 1) * step_m
    every = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    length = np.hypot(every[:, 0], every[:, 1])
    order = np.argsort(length, kind="stable")
    within: Array = every[order][length[order] <= reach_m + 1e-9]
    return within


def pair_with_map(
    footprints: Footprints,
    source: HeightSource,
    settings: CorrectionSettings,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Pairs, int]:
    """Look up the map within footprints, at every shift that is tried.

    Returns:
        Shots where the map has data in nine tenths of the footprint, and how many have not.

    Raises:
        SettingsError: the map is not in metres.
        SceneError: the map breaks off.
    """
    shifts = shifts_within(settings.max_shift_m, settings.shift_step_m)
    heights = np.full((len(footprints), len(shifts)), np.nan, np.float32)
    with source.open() as reader:
        order = np.lexsort((footprints.right, footprints.down // 300.0))
        look = Lookup.on(source, shifts, settings.percentile)
        for done, index in enumerate(order.tolist()):
            heights[index] = look(reader, footprints.right[index], footprints.down[index])
            if progress is not None and done % 64 == 0:
                progress(done, len(footprints))
        implausible = reader.implausible
    covered = np.isfinite(heights[:, 0])
    if implausible and covered.mean() < 0.5:  # noqa: PLR2004 - most
        refuse_units(source, "most heights under the footprints are taller than any tree")
    pairs = Pairs(
        right=footprints.right,
        down=footprints.down,
        track=footprints.track,
        rh=footprints.rh,
        shifts=shifts,
        heights=heights,
    ).part(covered)
    refuse_ratio(pairs, source, settings)
    return pairs, int((~covered).sum())


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """Looks up percentiles of one map.

    Attributes:
        pixel_m: width and height of a pixel [true m].
        points: places right and down of a footprint's reported middle, by shift (s, points, 2)
            [true m].
        percentile: 0 to 100.
    """

    pixel_m: tuple[float, float]
    points: Array
    percentile: float

    @classmethod
    def on(cls, source: HeightSource, shifts: Array, percentile: float) -> Lookup:
        """Prepare the places of all shifts."""
        moved = shifts * np.array([1.0, -1.0])  # up is towards lower rows
        points = moved[:, None] + energy_points()[None]
        return cls(pixel_m=source.pixel_m, points=points, percentile=percentile)

    def __call__(self, reader: HeightReader, right: float, down: float) -> Array:
        """Return the percentile at each shift (s,) [m]; NaN where too little has a height."""
        columns = pixels_at(right, self.points[..., 0], self.pixel_m[0])
        rows = pixels_at(down, self.points[..., 1], self.pixel_m[1])
        top, left = int(rows.min()), int(columns.min())
        height, width = int(rows.max()) - top + 1, int(columns.max()) - left + 1
        heights, valid = reader.read(top, left, height, width)
        index = (rows - top) * width + (columns - left)
        values, known = heights.ravel()[index], valid.ravel()[index]
        found = np.full(len(values), np.nan)
        whole = known.all(axis=1)
        if whole.any():
            found[whole] = np.percentile(values[whole], self.percentile, axis=1)
        for shift in np.flatnonzero(~whole & (known.mean(axis=1) >= LEAST_COVERED)).tolist():
            found[shift] = np.percentile(values[shift][known[shift]], self.percentile)
        return found


def pixels_at(place_m: float, offsets_m: Array, pixel_m: float) -> NDArray[np.int64]:
    """Return the pixels that hold places some metres from one, counted along an axis.

    The same whatever the axis is counted from: a part of a map that begins elsewhere finds the same
    ground, where a sum of floats would not quite.
    """
    place = round(place_m / pixel_m, 6)
    whole = math.floor(place)
    within = np.floor(round(place - whole, 6) + offsets_m / pixel_m)
    return whole + within.astype(np.int64)


def usable(rh: Array, heights: NDArray[np.floating], least_m: float) -> Mask:
    """Return which shots say something of the ratio: where both heights together are tall enough.

    The geometric mean of both is held against the least height, for it treats them alike. A
    threshold on RH alone would keep shots that geolocation error moved off a stand's edge in one
    direction only, and so tilt the ratio of an unbiased map.
    """
    with np.errstate(invalid="ignore"):
        tall = np.sqrt(np.maximum(rh, 0) * np.maximum(heights, 0)) >= least_m
    both: Mask = tall & (np.minimum(rh, heights) >= LEAST_MAP_M)
    return both


def log_ratio(rh: Array, heights: NDArray[np.floating]) -> Array:
    """Return the logarithm of relative height over the map's."""
    ratio: Array = np.log(np.maximum(rh, LEAST_MAP_M) / np.maximum(heights, LEAST_MAP_M))
    return ratio


def refuse_ratio(pairs: Pairs, source: HeightSource, settings: CorrectionSettings) -> None:
    """Refuse a map whose heights are a multiple of all footprints'.

    Raises:
        SettingsError: as said.
    """
    tall = usable(pairs.rh, pairs.heights[:, 0], settings.least_height_m)
    if int(tall.sum()) < settings.fewest:
        return
    ratio = float(np.exp(np.median(log_ratio(pairs.rh[tall], pairs.heights[tall, 0]))))
    if not 1 / PLAUSIBLE_RATIO <= ratio <= PLAUSIBLE_RATIO:
        refuse_units(source, f"the median of footprint over map is {ratio:.3g}")


def refuse_units(source: HeightSource, found: str) -> None:
    """Refuse a map in another unit than the metre.

    Raises:
        SettingsError: always.
    """
    msg = (
        f"{source.path}: {found}; expected metres: state its unit in the file, for centimetres "
        "gdal_edit -scale 0.01, or convert it"
    )
    raise SettingsError(msg)
