"""Scenes small enough to be made by a test, with a bright block whose place is known."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning

if TYPE_CHECKING:
    from pathlib import Path

DARK, BRIGHT = 40, 220

UTM = "EPSG:32633"
EAST, NORTH = 500_400.0, 5_420_100.0
"""Upper left corner of most scenes, in UTM zone 33 [m]."""


def noise(height: int, width: int, bands: int = 3, dtype: str = "uint8", seed: int = 0):
    """Pixels (bands, height, width) without 0 or the largest value, which tests use as nodata."""
    top = 254 if dtype == "uint8" else 4000
    return np.random.default_rng(seed).integers(1, top, (bands, height, width)).astype(dtype)


def write_scene(path: Path, pixels, *, pixel=0.6, crs=UTM, transform=None, **options) -> Path:
    """Write pixels (bands, rows, columns) as a GeoTIFF in UTM, or wherever the options say.

    Options of one band or more, which rasterio sets on an open file, are passed on to it:
    ``colorinterp``, ``descriptions``, ``mask``, ``colormap``, ``gcps``.
    """
    later = {
        name: options.pop(name)
        for name in ("colorinterp", "descriptions", "mask", "colormap", "gcps")
        if name in options
    }
    if transform is None:
        transform = Affine(pixel, 0, EAST, 0, -pixel, NORTH)
    if transform.is_identity:
        transform = None
    profile = {
        "driver": "GTiff", "count": len(pixels), "height": pixels.shape[1],
        "width": pixels.shape[2], "dtype": pixels.dtype, "crs": crs, "transform": transform,
    }  # fmt: skip
    profile = {name: value for name, value in (profile | options).items() if value is not None}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.open(path, "w", **profile) as target,
    ):
        if "colormap" in later:
            target.write_colormap(1, later["colormap"])
        if "gcps" in later:
            target.gcps = later["gcps"]
        if "colorinterp" in later:
            target.colorinterp = later["colorinterp"]
        for band, text in enumerate(later.get("descriptions", ()), start=1):
            target.set_band_description(band, text)
        target.write(pixels)
        if "mask" in later:
            target.write_mask(later["mask"])
    return path


@dataclass(frozen=True, kw_only=True)
class Place:
    """A kind of georeference, and where a scene of it lies.

    Attributes:
        name: what tests call it.
        crs: of its coordinates; None for a plane without a CRS.
        transform: of its pixels.
        gcps: whether the file has only ground control points.
        map_crs: where a map on the model's grid comes out.
        height: rows of the scene.
        width: columns of the scene.
    """

    name: str
    crs: str | None
    transform: Affine
    map_crs: str | None
    gcps: bool = False
    height: int = 130
    width: int = 170

    @property
    def pixel_size_m(self) -> float | None:
        """What a user must say about its scale."""
        return self.transform.a if self.crs is None else None

    @property
    def block(self) -> tuple[slice, slice]:
        """Rows and columns of the bright block, off the middle in both directions."""
        return (
            slice(round(self.height * 0.2), round(self.height * 0.35)),
            slice(round(self.width * 0.6), round(self.width * 0.8)),
        )

    @property
    def block_centre(self) -> tuple[float, float]:
        """Row and column of the block's centre [px from the upper left corner]."""
        rows, columns = self.block
        return (rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2

    def pixels(self):
        """Dark everywhere but in the block (3, height, width)."""
        values = np.full((3, self.height, self.width), DARK, np.uint8)
        values[:, *self.block] = BRIGHT
        return values

    def write(self, path: Path, pixels=None, **options) -> Path:
        """Write a scene there."""
        pixels = self.pixels() if pixels is None else pixels
        if self.crs is None:
            return write_scene(path, pixels, crs=None, transform=Affine.identity(), **options)
        if not self.gcps:
            return write_scene(path, pixels, crs=self.crs, transform=self.transform, **options)
        points = [
            GroundControlPoint(row=row, col=column, x=x, y=y)
            for row in (0, self.height / 2, self.height)
            for column in (0, self.width / 2, self.width)
            for x, y in [self.transform * (column, row)]
        ]
        return write_scene(
            path, pixels, crs=None, transform=Affine.identity(),
            gcps=(points, CRS.from_string(self.crs)), **options,
        )  # fmt: skip


def degrees(metres: float, latitude: float, *, east: bool = False) -> float:
    """About how many degrees some metres are; pixels need not be exactly square."""
    return metres / 111_320 / (np.cos(np.radians(latitude)) if east else 1)


def geographic(name: str, longitude: float, latitude: float, map_crs: str, gsd=0.6) -> Place:
    """A scene in degrees."""
    across, down = degrees(gsd, latitude, east=True), degrees(gsd, latitude)
    transform = Affine(across, 0, longitude, 0, -down, latitude)
    return Place(name=name, crs="EPSG:4326", transform=transform, map_crs=map_crs)


def metric(name: str, pixel: float, height: int = 130, width: int = 170) -> Place:
    """A north-up scene in UTM."""
    transform = Affine(pixel, 0, EAST, 0, -pixel, NORTH)
    return Place(
        name=name, crs=UTM, transform=transform, map_crs=UTM, height=height, width=width
    )  # fmt: skip


def turned(transform: Affine, angle: float) -> Affine:
    """The same corner and pixel, rotated [degrees]."""
    return transform * Affine.rotation(angle)


UPRIGHT = metric("UTM, the model's own pixels", 0.6)

PLACES = [
    UPRIGHT,
    metric("UTM, 0.1 m", 0.1, 500, 620),
    metric("UTM, 0.3 m", 0.3),
    metric("UTM, 0.59 m", 0.59),
    metric("UTM, 1 m", 1.0),
    metric("UTM, 1.7 m", 1.7, 60, 70),
    replace(UPRIGHT, name="rotated", transform=turned(UPRIGHT.transform, 27)),
    replace(UPRIGHT, name="a quarter turn", transform=turned(UPRIGHT.transform, 90)),
    replace(UPRIGHT, name="south-up", transform=Affine(0.6, 0, EAST, 0, 0.6, NORTH)),
    replace(UPRIGHT, name="mirrored", transform=Affine(-0.6, 0, EAST, 0, -0.6, NORTH)),
    geographic("degrees, Finland", 24.6, 60.4, "EPSG:32635"),
    geographic("degrees, Chile", -71.2, -41.3, "EPSG:32719"),
    geographic("degrees, the equator", 9.01, 0.002, "EPSG:32632"),
    geographic("degrees, 0.3 m", -81.99, 29.7, "EPSG:32617", gsd=0.3),
    Place(
        name="Web Mercator, Finland", crs="EPSG:3857", map_crs="EPSG:32635",
        transform=Affine(1.2, 0, 2_738_500, 0, -1.2, 8_490_000),
    ),
    Place(
        name="feet, New York", crs="EPSG:2263", map_crs="EPSG:32618",
        transform=Affine(2, 0, 990_000, 0, -2, 220_000),
    ),
    Place(
        name="British National Grid", crs="EPSG:27700", map_crs="EPSG:27700",
        transform=Affine(0.5, 0, 450_000, 0, -0.5, 300_000),
    ),
    Place(
        name="ground control points in metres", crs=UTM, map_crs=UTM, gcps=True,
        transform=turned(UPRIGHT.transform, -12),
    ),
    replace(
        geographic("ground control points in degrees", 24.6, 60.4, "EPSG:32635"), gcps=True
    ),
    Place(
        name="no CRS", crs=None, map_crs=None, transform=Affine(0.3, 0, 0, 0, -0.3, 0)
    ),
]  # fmt: skip
