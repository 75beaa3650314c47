"""A factor field over a height map: how it is laid out, and how it changes heights.

Nothing here knows how a field came to be, footprints or network. With F the factor at a pixel,
interpolated between the middles of the field's cells (bilinear), and h its height [m],

    h' = h + (F - 1) s(h),   s(h) = 0 up to a,  1.5 (h - a) up to 3 a,  h above

so that heights up to a are kept as they are, heights from 3 a on are multiplied by F, and between
them h' is continuous. s rises by no more than 1.5 a metre, so h' rises with h for every F above
1/3: what was taller stays taller, and an interval keeps its height inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from canopy.errors import SettingsError
from canopy.stored_heights import TALLEST_M
from geo.grid import Grid
from geo.ground import ground_pixel_m

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from rasterio.io import DatasetReader, DatasetWriter

Array = NDArray[np.float64]
Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

SLOPE = 1.5
"""Of s between the height that is kept and that which takes the whole factor."""

ROWS, COLUMNS = 512, 4096
"""Of the parts of a map that are in memory at a time [px]."""

FLOAT_STEP_M = 1 / 64
"""Changed heights in floating point are rounded to it, as all maps here [m]."""

PLACES = 2.0**20
"""Places within a cell that are told apart along an axis."""

MOST_CELLS = 4_000_000


@dataclass(frozen=True, kw_only=True)
class FactorField:
    """Factors on a coarse grid over a map.

    Attributes:
        grid: its cells; they begin at the map's upper left corner, along its axes.
        factors: what heights are multiplied by, at the middle of each cell (rows, columns).
    """

    grid: Grid
    factors: Plane

    @property
    def is_one(self) -> bool:
        """Whether it changes nothing."""
        return bool((self.factors == 1).all())


def coarse_grid(grid: Grid, resolution_m: float) -> Grid:
    """Return the grid of a field over a map: square cells from its upper left corner on.

    Args:
        grid: the map's.
        resolution_m: side of a cell [true m]; a pixel at least.

    Raises:
        SettingsError: there would be too many cells.
    """
    across, down = (max(1.0, resolution_m / side) for side in ground_pixel_m(grid))
    rows, columns = (
        max(1, int(np.ceil(length / cell - 1e-9)))
        for length, cell in ((grid.height, down), (grid.width, across))
    )
    if rows * columns > MOST_CELLS:
        msg = f"--resolution {resolution_m:g}: {rows} x {columns} cells; take a coarser one"
        raise SettingsError(msg)
    transform = grid.transform * Affine.scale(across, down)
    return Grid(crs=grid.crs, transform=transform, height=rows, width=columns)


def cell_middles(field: Grid, resolution_m: tuple[float, float]) -> Array:
    """Return metres right and down of the corner of each cell's middle (cells, 2).

    Args:
        field: grid of a field.
        resolution_m: width and height of its cells [true m].
    """
    right = (np.arange(field.width) + 0.5) * resolution_m[0]
    down = (np.arange(field.height) + 0.5) * resolution_m[1]
    across, along = np.meshgrid(right, down)
    return np.stack([across.ravel(), along.ravel()], axis=1)


def factors_of(field: FactorField, grid: Grid, window: Window) -> Plane:
    """Return the factor at each pixel of a window of a map (rows, columns), float32.

    Interpolated between the middles of cells; beyond the outer middles they go on unchanged.
    """
    scale = ~field.grid.transform * grid.transform
    rows = (window.row_off + np.arange(window.height) + 0.5) * scale.e + scale.f - 0.5
    columns = (window.col_off + np.arange(window.width) + 0.5) * scale.a + scale.c - 0.5
    # Two grids over the same ground place a pixel alike but for rounding, which must not tell.
    rows, columns = (np.rint(places * PLACES) / PLACES for places in (rows, columns))
    first, more = between(rows, field.grid.height)
    left, right = between(columns, field.grid.width)
    values = field.factors.astype(np.float64)
    upper = (
        values[first] * (1 - more[:, None]) + values[next_(first, values.shape[0])] * more[:, None]
    )
    found = upper[:, left] * (1 - right) + upper[:, next_(left, values.shape[1])] * right
    factors: Plane = found.astype(np.float32)
    return factors


def between(positions: Array, count: int) -> tuple[NDArray[np.int64], Array]:
    """Return the cell before each position and how far it is to the next (0 to 1)."""
    inside = np.clip(positions, 0, count - 1)
    first = np.minimum(np.floor(inside).astype(np.int64), count - 1)
    return first, inside - first


def next_(index: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the cells that follow, the last one after itself."""
    return np.minimum(index + 1, count - 1)


def changed_part(heights: Array, keep_below_m: float, slope: float = SLOPE) -> Array:
    """Return s(h): how much of each height takes part in a change [m].

    None up to what is kept, then rising by the slope until it is all of the height.
    """
    if keep_below_m <= 0:
        return np.maximum(heights, 0.0)
    rising = slope * (heights - keep_below_m)
    full = slope / (slope - 1) * keep_below_m
    part: Array = np.where(heights >= full, heights, np.maximum(rising, 0.0))
    return part


def corrected(heights: Array, factors: Array, keep_below_m: float) -> Array:
    """Return h' = h + (F - 1) s(h) [m]."""
    return heights + (factors - 1) * changed_part(heights, keep_below_m)


def apply_factor_field(
    source: Path,
    field: FactorField,
    target: Path,
    *,
    keep_below_m: float,
    tags: Mapping[str, str],
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write a height map with its heights changed by a field, as a plain GeoTIFF.

    All bands are changed alike, so the ends of intervals stay around their height: the height is
    rounded to the nearest step of the file, a lower end down and an upper end up. Where the factor
    is 1, or the height is kept, stored values stay what they were, bit for bit. Memory holds one
    part of 512 x 4096 px at a time.

    Args:
        source: map in metres (its scale and offset apart), one band or three, as
            `canopy.evaluation.height_source.open_heights` takes them.
        field: on a grid of :func:`coarse_grid` of the map, or alike.
        target: where the file will stand; grid, type, nodata, mask, scale, unit, descriptions and
            tags are those of the source.
        keep_below_m: a of the formula [m].
        tags: tags that are added.
        progress: is told how many of all parts are finished.

    Returns:
        How many pixels of the first band have another stored value.

    Raises:
        SettingsError: the field does not follow the map's axes.
    """
    changed = 0
    with rasterio.open(source) as dataset:
        grid = Grid.of(dataset)
        refuse_other_axes(field.grid, grid)
        with rasterio.open(target, "w", **profile_of(dataset)) as written:
            describe_alike(dataset, written, tags)
            parts = list(windows(dataset))
            for number, window in enumerate(parts):
                factors = factors_of(field, grid, window).astype(np.float64)
                changed += change_part(dataset, written, window, factors, keep_below_m)
                if progress is not None:
                    progress(number + 1, len(parts))
    return changed


def refuse_other_axes(field: Grid, grid: Grid) -> None:
    """Refuse a field whose cells do not lie along a map's rows and columns.

    Raises:
        SettingsError: as said.
    """
    scale = ~field.transform * grid.transform
    turned = abs(scale.b) * grid.height + abs(scale.d) * grid.width
    if field.crs != grid.crs or turned > 0.01 or scale.a <= 0 or scale.e <= 0:  # noqa: PLR2004
        msg = "the factor field lies on other axes than the map: expected cells along its rows"
        raise SettingsError(msg)


def profile_of(dataset: DatasetReader) -> dict[str, Any]:
    """Return how the plain copy is laid out."""
    return {
        "driver": "GTiff", "dtype": dataset.dtypes[0], "count": dataset.count,
        "height": dataset.height, "width": dataset.width, "crs": dataset.crs,
        "transform": dataset.transform, "nodata": dataset.nodata,
        "tiled": True, "blockxsize": 512, "blockysize": 512, "BIGTIFF": "IF_SAFER",
    }  # fmt: skip


def describe_alike(dataset: DatasetReader, target: DatasetWriter, tags: Mapping[str, str]) -> None:
    """Give a raster what another says of itself, and tags."""
    target.scales, target.offsets = dataset.scales, dataset.offsets
    target.units = tuple(unit or "" for unit in dataset.units)
    target.descriptions = dataset.descriptions
    target.colorinterp = dataset.colorinterp
    target.update_tags(**{**dataset.tags(), **tags})


def windows(dataset: DatasetReader) -> Iterator[Window]:
    """Yield the parts of a map, row by row."""
    for row in range(0, dataset.height, ROWS):
        for column in range(0, dataset.width, COLUMNS):
            yield Window(
                column, row, min(COLUMNS, dataset.width - column), min(ROWS, dataset.height - row)
            )


def change_part(
    dataset: DatasetReader,
    written: DatasetWriter,
    window: Window,
    factors: Array,
    keep_below_m: float,
) -> int:
    """Change all bands of a part and write them; return how many pixels of the first changed."""
    changed = 0
    rounds = (np.rint, np.floor, np.ceil)
    for band in dataset.indexes:
        stored = dataset.read(band, window=window)
        known = dataset.read_masks(band, window=window) > 0
        scale, offset = dataset.scales[band - 1], dataset.offsets[band - 1]
        metres = stored.astype(np.float64) * scale + offset
        with np.errstate(invalid="ignore"):
            touched = known & (changed_part(metres, keep_below_m) > 0) & (factors != 1)
            touched &= metres <= TALLEST_M
        heights = corrected(np.where(touched, metres, 0.0), factors, keep_below_m)
        rounded = encoded(heights, stored.dtype, (scale, offset), rounds[min(band, 3) - 1])
        fresh = np.where(touched, within_type(rounded, stored.dtype, dataset.nodata), stored)
        written.write(fresh.astype(stored.dtype), band, window=window)
        if band == 1:
            changed = int((touched & (fresh != stored)).sum())
            if dataset.nodata is None and not known.all():
                written.write_mask(known, window=window)
    return changed


def encoded(
    heights: Array,
    dtype: np.dtype[Any],
    placed: tuple[float, float],
    rounding: Callable[[Array], Array],
) -> Array:
    """Return heights [m] as multiples of what a file stores, scale and offset undone."""
    scale, offset = placed
    units = (heights - offset) / scale
    if np.issubdtype(dtype, np.integer):
        return rounding(units)
    step = FLOAT_STEP_M / scale
    return rounding(units / step) * step


def within_type(units: Array, dtype: np.dtype[Any], nodata: float | None) -> Array:
    """Return stored values that the type can hold and that are not nodata."""
    if not np.issubdtype(dtype, np.integer):
        return units
    limits = np.iinfo(dtype)
    low = limits.min + (nodata == limits.min)
    high = limits.max - (nodata == limits.max)
    inside = np.clip(units, low, high)
    if nodata is None or not low <= nodata <= high:
        return inside
    return np.where(inside == nodata, inside + 1, inside)
