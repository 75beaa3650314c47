"""A file on the endless pixel grid of a UTM zone, block by block: each depends on nothing else."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import MaskFlags
from rasterio.windows import Window
from scipy import sparse

from geo.axis_weights import LEAST_WEIGHT, resample
from geo.grid import SAME_PLACE_PX, Grid
from geo.imagery.warp import Projection, sampled, seen_by
from geo.scene_reader import finite, resampling_for, warped

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from geo.raster import Mask, Pixels
    from geo.scene import Scene

BLOCK_PX = 256
"""Side of a block: what is read at once, and what the value of a pixel may depend on."""

FIELD_PX = 64 * BLOCK_PX
"""Side of the squares of the endless grid on which a warp is set up, once for many blocks."""

MOST_ROWS = 2048
"""About so many rows of a file are resampled at once."""

SAME_SCALE = 1e-6
"""Pixels whose sides differ by a smaller share are of one size."""


class Zone(NamedTuple):
    """The endless pixel grid of a UTM zone: pixel (0, 0) begins at its origin, rows run south.

    Attributes:
        epsg: the zone.
        pixel_m: side of a pixel [m].
    """

    epsg: int
    pixel_m: float

    @property
    def crs(self) -> CRS:
        """The zone's CRS."""
        return CRS.from_epsg(self.epsg)

    def grid(self, row: int, column: int, height: int, width: int) -> Grid:
        """Return the pixels from a row and a column on."""
        side = self.pixel_m
        transform = Affine(side, 0, column * side, 0, -side, -row * side)
        return Grid(crs=self.crs, transform=transform, height=height, width=width)


class PlacedFile:
    """An open file, read by blocks of the endless grid of a zone."""

    def __init__(
        self, dataset: DatasetReader, scene: Scene, bands: tuple[int, ...], zone: Zone
    ) -> None:
        """Read bands of an open dataset of a scene."""
        self.dataset, self.scene, self.bands, self.zone = dataset, scene, bands, zone
        self.straight = not scene.gcps and scene.grid.is_north_up and scene.grid.crs == zone.crs
        self.masks = _mask_bands(dataset, bands)
        self._fields: dict[tuple[int, int], DatasetReader] = {}
        self._stack = ExitStack()

    def close(self) -> None:
        """Close what was set up for warps; the dataset is the caller's."""
        self._stack.close()

    def read(self, row: int, column: int) -> tuple[Pixels, Mask] | None:
        """Return the block that begins at a pixel of the endless grid.

        Where the file's axes are the zone's, a pixel is the exact mean of the area it covers, or
        interpolated where it is smaller than the file's; it is valid if its centre lies in the
        file and at least half of what it sees is, so that files side by side leave no gap. Other
        axes and projections are followed within a hundredth of a millimetre, and means taken of
        points (`geo.imagery.warp`).

        Returns:
            Pixels (bands, BLOCK_PX, BLOCK_PX) of the file's type, and where they are valid; None
            where the file has nothing.

        Raises:
            RasterioError: the file breaks off or is corrupt.
        """
        if self.straight:
            return self._aligned(row, column)
        return self._warped(row, column) if self.scene.gcps else self._bent(row, column)

    def _aligned(self, row: int, column: int) -> tuple[Pixels, Mask] | None:
        """Return a block along the file's own axes."""
        grid, pixel = self.scene.grid, self.zone.pixel_m
        tall, wide = -grid.transform.e, grid.transform.a
        down = block_weights(row, pixel, (grid.transform.f, tall), grid.height)
        across = block_weights(column, pixel, (-grid.transform.c, wide), grid.width)
        if down is None or across is None:
            return None
        if down.copies and across.copies:
            pixels, valid = self._read(Window(across.first, down.first, across.count, down.count))
            return _inside(pixels, valid, down, across) if valid.any() else None
        parts = [self._resampled(rows, down, across) for rows in _portions(down.count)]
        pixels = np.concatenate([each for each, _ in parts], axis=1)
        valid = np.concatenate([each for _, each in parts])
        valid &= down.inside[:, None] & across.inside
        return (pixels, valid) if valid.any() else None

    def _resampled(
        self, rows: slice, down: BlockWeights, across: BlockWeights
    ) -> tuple[Pixels, Mask]:
        """Return some rows of a block, resampled along the file's own axes."""
        weights = down.weights[rows]
        if not weights.nnz:
            shape = (rows.stop - rows.start, BLOCK_PX)
            return np.zeros((len(self.bands), *shape), self.scene.dtype), np.zeros(shape, bool)
        first, last = int(weights.indices.min()), int(weights.indices.max()) + 1
        pixels, valid = self._read(
            Window(across.first, down.first + first, across.count, last - first)
        )
        return resample(pixels, valid, weights[:, first:last], across.weights)

    def _read(self, window: Window) -> tuple[Pixels, Mask]:
        """Return pixels of the file itself, and where they are valid."""
        pixels = self.dataset.read(self.bands, window=window)
        valid = finite(pixels)
        if self.masks:
            valid &= self.dataset.read_masks(self.masks, window=window).any(axis=0)
        if alpha := self.scene.read_bands.alpha:
            valid &= self.dataset.read(alpha, window=window) > 0
        return pixels, valid

    def _bent(self, row: int, column: int) -> tuple[Pixels, Mask] | None:
        """Return a block through the projection of the file."""
        lattice = self._projection.lattice(self.zone.grid(row, column, BLOCK_PX, BLOCK_PX))
        shape = self.scene.grid.shape
        seen = seen_by(lattice, shape) if lattice else None
        if lattice is None or seen is None:
            return None
        window = Window.from_slices(
            (seen.rows.start, seen.rows.stop), (seen.columns.start, seen.columns.stop)
        )
        pixels, valid = self._read(window)
        if not valid.any():
            return None
        return sampled(pixels, valid, lattice, seen, shape)

    @cached_property
    def _projection(self) -> Projection:
        """The way from the zone to the pixels of the file."""
        return Projection(self.zone.crs, self.scene.grid)

    def _warped(self, row: int, column: int) -> tuple[Pixels, Mask] | None:
        """Return a block of a file that has ground control points alone: GDAL knows those."""
        virtual = self._field(row // FIELD_PX, column // FIELD_PX)
        window = Window(column % FIELD_PX, row % FIELD_PX, BLOCK_PX, BLOCK_PX)
        alpha = self.scene.read_bands.alpha or virtual.count
        pixels = virtual.read((*self.bands, alpha), window=window)
        colours = pixels[:-1]
        valid = (pixels[-1] > 0) & finite(colours)
        return (colours, valid) if valid.any() else None

    def _field(self, down: int, across: int) -> DatasetReader:
        """Return the warp of a square of the endless grid: the same for whoever reads there."""
        if (down, across) not in self._fields:
            grid = self.zone.grid(down * FIELD_PX, across * FIELD_PX, FIELD_PX, FIELD_PX)
            warp = warped(self.dataset, self.scene, grid, resampling_for(self.scene, grid))
            self._fields[down, across] = self._stack.enter_context(warp)
        return self._fields[down, across]


@dataclass(frozen=True, kw_only=True)
class BlockWeights:
    """What a block sees of a file along one axis.

    Attributes:
        first: first pixel of the file that has a part in it.
        count: pixels of the file that have.
        weights: how much of each of them is in each pixel of the block (BLOCK_PX, count).
        inside: pixels of the block whose centres lie in the file (BLOCK_PX,).
        copies: whether each pixel of the block inside is one pixel of the file.
    """

    first: int
    count: int
    weights: sparse.csr_array
    inside: Mask
    copies: bool


def block_weights(
    start: int, pixel_m: float, axis: tuple[float, float], length: int
) -> BlockWeights | None:
    """Return what a block sees of a file along one axis.

    Args:
        start: first pixel of the block on the endless grid.
        pixel_m: side of its pixels [m].
        axis: what is added to a pixel's distance from the zone's origin to get that from the
            file's edge [m], and the side of the file's pixels [m].
        length: pixels of the file.

    Returns:
        None where no centre of the block's pixels lies in the file.
    """
    offset, size = axis
    edges = (np.arange(start, start + BLOCK_PX + 1) * pixel_m + offset) / size
    same_size = abs(pixel_m / size - 1) < SAME_SCALE
    if same_size and abs(edges[0] - round(edges[0])) < SAME_PLACE_PX:
        edges = round(edges[0]) + np.arange(BLOCK_PX + 1.0)
    centres = (edges[:-1] + edges[1:]) / 2
    inside = (centres >= -SAME_PLACE_PX) & (centres <= length + SAME_PLACE_PX)
    if not inside.any():
        return None
    shrinks = pixel_m > size and not same_size
    taps, shares = _means(edges, length) if shrinks else _between(centres, length)
    shares[~inside] = 0
    shares[shares <= LEAST_WEIGHT * shares.max(1, keepdims=True)] = 0
    totals = shares.sum(1, keepdims=True)
    shares = (shares / np.where(totals > 0, totals, 1)).astype(np.float32)
    rows, columns = np.nonzero(shares)
    seen = taps[rows, columns]
    first, count = int(seen.min()), int(seen.max() - seen.min()) + 1
    weights = sparse.csr_array((shares[rows, columns], (rows, seen - first)), (BLOCK_PX, count))
    copies = not shrinks and len(seen) == count == int(inside.sum())
    return BlockWeights(first=first, count=count, weights=weights, inside=inside, copies=copies)


def _means(edges: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels of a file, and how much of each lies between edges."""
    low, high = (np.clip(side, 0, length)[:, None] for side in (edges[:-1], edges[1:]))
    most = math.ceil((edges[-1] - edges[0]) / BLOCK_PX) + 1
    taps = np.floor(low).astype(int) + np.arange(most)
    return taps, np.clip(np.minimum(high, taps + 1) - np.maximum(low, taps), 0, None)


def _between(centres: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the two pixels of a file beside each centre, and how near they are to it."""
    places = np.clip(centres - 0.5, 0, length - 1)[:, None]
    taps = np.floor(places).astype(int) + np.arange(2)
    return taps, np.where(taps < length, 1 - np.abs(places - taps), 0.0)


def _inside(
    pixels: Pixels, valid: Mask, down: BlockWeights, across: BlockWeights
) -> tuple[Pixels, Mask]:
    """Return a block that holds pixels of a file as they are."""
    if valid.shape == (BLOCK_PX, BLOCK_PX):
        return pixels, valid
    top, left = int(down.inside.argmax()), int(across.inside.argmax())
    rows, columns = slice(top, top + down.count), slice(left, left + across.count)
    whole = np.zeros((len(pixels), BLOCK_PX, BLOCK_PX), pixels.dtype)
    mask = np.zeros((BLOCK_PX, BLOCK_PX), bool)
    whole[:, rows, columns], mask[rows, columns] = pixels, valid
    return whole, mask


def _portions(count: int) -> list[slice]:
    """Return the rows of a block in portions that see few enough rows of a file to be in memory."""
    portions = min(BLOCK_PX, -(-count // MOST_ROWS))
    edges = [BLOCK_PX * portion // portions for portion in range(portions + 1)]
    return [slice(first, last) for first, last in pairwise(edges)]


def _mask_bands(dataset: DatasetReader, bands: tuple[int, ...]) -> tuple[int, ...]:
    """Return the bands whose masks say what is valid: none, one for all, or each its own."""
    flags = [dataset.mask_flag_enums[band - 1] for band in bands]
    if all(MaskFlags.all_valid in each or MaskFlags.alpha in each for each in flags):
        return ()  # alpha is read by itself
    if all(MaskFlags.per_dataset in each for each in flags):
        return bands[:1]
    return bands
