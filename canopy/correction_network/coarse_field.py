"""From what a network sees to a factor field: predictions on a coarse grid, smoothed and shrunk.

Imagery lies on a grid of the network's pixels; its coarse cells are squares of so many of them from
its upper left corner on. At the middle of each cell with r the predicted and p the mapped
percentile within a footprint of 25 m about there, the log ratio is y = ln(r / p). Around a place s:

    m = the robust kernel mean of y, as :mod:`canopy.correction.factor_field` takes it
    n = its weight, times the share of a window that no earlier window has seen
    f = m n / (n + sigma^2 / tau^2)                     shrunk: tau is chosen, sigma is on the card
    F = exp(0 up to d, 3 (|f| - d) up to 1.5 d, |f| above, with the sign of f), within limits

d is how far the network is off in a whole forest (its card): a map that differs by less may as well
be right. Nothing is estimated from the map as a whole, so a factor depends on its
neighbourhood alone and two cells of ground agree where they meet. Windows overlap, so their errors
do: hence the share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from canopy.correction.applying import FactorField, changed_part
from canopy.correction.factor_field import REACH, Near, local_mean
from canopy.correction.footprint_pairs import (
    Lookup,
    energy_points,
    gaussian_points,
    log_ratio,
    usable,
)
from canopy.correction_network.settings import PLACES_REACH
from canopy.correction_network.windows import read_windows
from geo.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Callable

    from canopy.correction_network.metadata import Metadata
    from canopy.correction_network.model import CorrectionCard, CorrectionModel
    from canopy.correction_network.settings import FieldSettings
    from canopy.evaluation.height_source import HeightReader
    from geo.raster import Pixels
    from geo.scene_reader import StripReader

Array = NDArray[np.float64]

SLOPE = 3.0
"""Of the part of a log factor that is applied, between the least change and half more."""

PLACES = 16
"""Of a footprint whose place is not quite known."""


class FactsAt(Protocol):
    """Tells what is known of places on the grid of the imagery."""

    def __call__(self, places: Array) -> Metadata:
        """Return the facts of rows and columns (n, 2) [px]."""
        ...


@dataclass(frozen=True, kw_only=True)
class CoarseCells:
    """Squares of a grid of imagery.

    Attributes:
        grid: of the imagery.
        stride_px: side of a cell [px].
        rows, columns: the cells that are looked at, counted from the grid's corner.
    """

    grid: Grid
    stride_px: int
    rows: range
    columns: range

    @classmethod
    def over(cls, grid: Grid, stride_px: int) -> CoarseCells:
        """Return the cells that cover a grid."""
        down, across = (range(-(-length // stride_px)) for length in grid.shape)
        return cls(grid=grid, stride_px=stride_px, rows=down, columns=across)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return len(self.rows), len(self.columns)

    @property
    def middles(self) -> NDArray[np.int64]:
        """Row and column of the middle of each cell (cells, 2) [px]."""
        down, across = (np.array(axis) * self.stride_px + self.stride_px // 2
                        for axis in (self.rows, self.columns))  # fmt: skip
        return np.stack(np.meshgrid(down, across, indexing="ij"), axis=-1).reshape(-1, 2)

    @property
    def as_grid(self) -> Grid:
        """The cells as pixels."""
        first = self.columns.start * self.stride_px, self.rows.start * self.stride_px
        transform = self.grid.transform * Affine.translation(*first) * Affine.scale(self.stride_px)
        rows, columns = self.shape
        return Grid(crs=self.grid.crs, transform=transform, height=rows, width=columns)


def predict_coarse(
    cells: CoarseCells,
    reader: StripReader,
    model: CorrectionModel,
    facts_at: FactsAt,
    progress: Callable[[int, int], None] | None = None,
) -> Array:
    """Return the relative height at the middle of each cell (rows, columns) [m].

    NaN where the window around it lacks imagery.

    Raises:
        SceneError: the imagery breaks off.
    """
    middles = cells.middles
    found = np.full(len(middles), np.nan)
    for which, windows in read_windows(reader, cells.grid.shape, middles, model.window_px):
        found[which] = model.predict(windows, facts_at(middles[which].astype(np.float64)))
        if progress is not None:
            progress(int(which[-1]) + 1, len(middles))
    return found.reshape(cells.shape)


def map_coarse(
    cells: CoarseCells,
    reader: HeightReader,
    card: CorrectionCard,
    corner_px: tuple[int, int] = (0, 0),
    wanted: NDArray[np.bool_] | None = None,
) -> Array:
    """Return the map's percentile in a footprint about the middle of each cell (rows, columns) [m].

    A network learned from footprints that lay some metres from where they were reported, so that it
    predicts the median of what lies about there (its loss is L1). The map is asked likewise: the
    median of its percentiles at the places where such a footprint may be.

    Args:
        cells: of the imagery.
        reader: of the heights.
        card: of the network.
        corner_px: row and column of the imagery's grid at which the heights begin.
        wanted: where it is wanted (rows, columns); None for everywhere.

    Returns:
        NaN where the map covers too little of the footprint.
    """
    source = reader.source
    points = places_of(card.geolocation_m)[:, None] + energy_points()[None]
    look = Lookup(pixel_m=source.pixel_m, points=points, percentile=card.percentile)
    # Metres of a pixel of the imagery along the map's axes, by the same scale as the map's own.
    scale = ~source.grid.transform * cells.grid.transform
    side_m = scale.a * source.pixel_m[0], scale.e * source.pixel_m[1]
    middles = cells.middles - np.array(corner_px)
    found = np.full(len(middles), np.nan)
    chosen = np.arange(len(middles)) if wanted is None else np.flatnonzero(wanted)
    for number in chosen.tolist():
        row, column = middles[number]
        heights = look(reader, column * side_m[0], row * side_m[1])
        known = heights[np.isfinite(heights)]
        if 2 * len(known) >= len(heights):
            found[number] = np.median(known)
    return found.reshape(cells.shape)


def places_of(geolocation_m: float) -> Array:
    """Return places right and down of a reported one where a footprint may be (k, 2) [m].

    Args:
        geolocation_m: how far they are off, root mean square.
    """
    if geolocation_m <= 0:
        return np.zeros((1, 2))
    return gaussian_points(PLACES, geolocation_m / np.sqrt(2), PLACES_REACH * geolocation_m)


def factor_field(
    cells: CoarseCells,
    predicted: Array,
    mapped: Array,
    model: CorrectionModel,
    settings: FieldSettings,
) -> tuple[FactorField, Pixels]:
    """Return the factor field of predictions and a map, and the predictions that count.

    Args:
        cells: where they are.
        predicted: relative heights (rows, columns) [m], NaN where there is none.
        mapped: the map's percentiles, the same.
        model: what predicted.
        settings: how.
    """
    told = usable(predicted.ravel(), mapped.ravel(), settings.least_height_m).reshape(cells.shape)
    ratios = np.where(told, log_ratio(predicted, np.where(told, mapped, 1.0)), np.nan)
    mean, count = smoothed(ratios, cells.stride_px * model.card.gsd_m, model.card.noise, settings)
    seen = count * min(1.0, (cells.stride_px / model.window_px) ** 2)
    shrunk = mean * seen / (seen + (model.card.noise / settings.signal) ** 2)
    least = settings.least_change_of(model.card)
    logs = np.sign(shrunk) * changed_part(np.abs(shrunk), least, slope=SLOPE)
    factors = np.exp(np.clip(logs, *np.log(settings.limits))).astype(np.float32)
    return FactorField(grid=cells.as_grid, factors=factors), count.astype(np.float32)


def smoothed(
    ratios: Array, side_m: float, noise: float, settings: FieldSettings
) -> tuple[Array, Array]:
    """Return the robust kernel mean of log ratios and its weight, at each cell (rows, columns).

    Args:
        ratios: (rows, columns), NaN where nothing is told.
        side_m: of a cell [true m].
        noise: of a ratio.
        settings: how.
    """
    offsets, distances = neighbours(REACH * settings.bandwidth_m, side_m)
    reach = int(np.abs(offsets).max())
    around = np.pad(ratios, reach, constant_values=np.nan)
    mean, count = np.zeros(ratios.shape), np.zeros(ratios.shape)
    columns = np.arange(ratios.shape[1])[:, None] + reach + offsets[:, 1]
    for row in range(ratios.shape[0]):
        values = around[row + reach + offsets[:, 0], columns]
        known = np.isfinite(values)
        near = Near(
            values=np.where(known, values, 0.0), distance=np.where(known, distances, np.inf)
        )
        mean[row], count[row], _ = local_mean(near, settings.bandwidth_m, noise)
    return mean, count


def neighbours(reach_m: float, side_m: float) -> tuple[NDArray[np.int64], Array]:
    """Return steps down and right to the cells within reach (k, 2), and how far they are [m]."""
    most = int(reach_m / side_m)
    steps = np.arange(-most, most + 1)
    every = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    distances = side_m * np.hypot(every[:, 0], every[:, 1])
    near = distances <= reach_m
    return every[near], distances[near]
