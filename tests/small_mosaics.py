"""Images around one cell, and what a mosaic of them shows."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform_bounds
from scipy import ndimage
from shapely.geometry import shape
from small_scenes import noise, write_scene

from geo.cells import Cell
from geo.footprint import grid_footprint
from geo.imagery.image import ColourSource, Image
from geo.imagery.mosaic import BLOCK_PX, MosaicReader, MosaicSettings
from geo.imagery.pixel_window import PixelWindow
from geo.scene import open_scene

ZONE, PIXEL, CELL_PX = 32633, 0.6, 512
CELL = Cell(epsg=ZONE, pixel_m=PIXEL, side_px=CELL_PX, column=1630, row=17650)
TOP, LEFT = CELL.origin_px
WEST, NORTH = LEFT * PIXEL, -TOP * PIXEL
"""Upper left corner of the cell [m]."""

CHOICES = MosaicSettings(cell_px=CELL_PX)


def window(down=(0, 2), across=(0, 2)):
    """Blocks, counted from the cell's upper left one."""
    rows, columns = (
        range(first + start * BLOCK_PX, first + stop * BLOCK_PX)
        for first, (start, stop) in ((TOP, down), (LEFT, across))
    )
    return PixelWindow(epsg=ZONE, pixel_m=PIXEL, rows=rows, columns=columns)


def image(path, *, day=1, name=None, footprint=None, sources=None):
    if footprint is None:
        footprint = shape(grid_footprint(open_scene(path).grid).geometry)
    return Image(
        id=name or path.stem, footprint=footprint, acquired=datetime(2021, 1, day, tzinfo=UTC),
        sources=sources or (ColourSource(str(path), None),), link=str(path), identity={},
    )  # fmt: skip


def at(west_m=0.0, north_m=0.0, pixel=PIXEL):
    """A transform that begins some metres east and south of the cell's corner."""
    return Affine(pixel, 0, WEST + west_m, 0, -pixel, NORTH - north_m)


def scene(path, pixels, west_m=0.0, north_m=0.0, pixel=PIXEL, **options):
    crs = f"EPSG:{ZONE}"
    return write_scene(path, pixels, crs=crs, transform=at(west_m, north_m, pixel), **options)


def smooth(height, width, seed=0, low=20, high=230):
    field = ndimage.gaussian_filter(noise(height, width, seed=seed).astype(float), (0, 6, 6))
    field = (field - field.min()) / np.ptp(field)
    return (low + field * (high - low)).astype(np.uint8)


def read(images, where=None, choices=CHOICES, height=None):
    where = where or window()
    height = height or len(where.rows)
    with MosaicReader(images, where, choices) as reader:
        strips = [
            (reader.read(row, count), reader.shown(row, count))
            for row in range(0, len(where.rows), height)
            for count in [min(height, len(where.rows) - row)]
        ]
    pixels = np.concatenate([strip.pixels for strip, _ in strips], axis=1)
    valid = np.concatenate([strip.valid for strip, _ in strips])
    shown = np.concatenate([each for _, each in strips])
    np.testing.assert_array_equal(valid, shown >= 0)
    return pixels, shown


def read_bytes(images, where=None, choices=CHOICES):
    """Return the bytes that a mosaic of images of bytes shows, and which of them."""
    pixels, shown = read(images, where, choices)
    scaled = pixels * 255
    np.testing.assert_allclose(scaled, np.rint(scaled), atol=1e-4)
    return np.rint(scaled).astype(np.uint8), shown


def other_crs(path, epsg, pixel, make=smooth, angle=0.0):
    """An image over the cell in another CRS, its values and its transform."""
    west, south, east, north = transform_bounds(ZONE, epsg, *CELL.grid.bounds)
    if CRS.from_epsg(epsg).is_geographic:
        pixel /= 111_320
    shape_ = round((north - south) / pixel) + 40, round((east - west) / pixel) + 40
    transform = Affine(pixel, 0, west - 20 * pixel, 0, -pixel, north + 20 * pixel)
    transform *= Affine.rotation(angle)
    pixels = make(*shape_)
    return write_scene(path, pixels, crs=f"EPSG:{epsg}", transform=transform), pixels, transform
