"""The picture of a map: the scene beside its heights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.enums import Resampling

from geo.ground import ground_pixel_m
from geo.hrefs import source_name
from geo.scene_reader import read_on

if TYPE_CHECKING:
    from canopy.mapping.plan import MapPlan
    from geo.grid import Grid
    from geo.raster import Mask, Pixels

PREVIEW_PX = 900
"""Longest side of the image and of the map in a preview [px]."""
LARGE_SCENE_PX = 64 << 20
"""Pixels of a scene beyond which its picture takes every so many, not their mean."""


def draw_preview(map_path: Path, target: Path, plan: MapPlan, model: str, top: float) -> None:
    """Draw the scene beside the map, each as fine as it is and a picture can show."""
    from canopy.preview import Picture, write_preview  # noqa: PLC0415 - a slow import, not always needed

    heights_m, grid = preview_heights(map_path, plan)
    image, valid = preview_image(plan)
    picture = Picture(
        image=image.transpose(1, 2, 0),
        image_valid=valid,
        heights_m=heights_m,
        pixel_m=ground_pixel_m(grid),
        north_up=grid.is_north_up and grid.crs is not None,
        title=f"Canopy height of {Path(source_name(plan.scene.source)).name}",
        model=model,
        source=source_name(plan.scene.source),
        maximum_m=top,
    )
    write_preview(target, picture)


def preview_heights(map_path: Path, plan: MapPlan) -> tuple[Pixels, Grid]:
    """Return heights [m] (rows, columns), NaN where there is none, and the grid they are on."""
    grid = scaled(plan.out_grid, min(1.0, PREVIEW_PX / max(plan.out_grid.shape)))
    with rasterio.open(map_path) as dataset:
        stored = dataset.read(1, out_shape=grid.shape, resampling=Resampling.average)
    return plan.encoding.decode(stored), grid


def preview_image(plan: MapPlan) -> tuple[Pixels, Mask]:
    """Return the scene over the map's ground: (3, rows, columns) uint8, and where it has data."""
    scene = plan.scene
    finer = max(1.0, plan.pixel_m / scene.gsd_m)
    grid = scaled(plan.out_grid, min(finer, PREVIEW_PX / max(plan.out_grid.shape)))
    # The map ends on whole pixels of its own: some of the finer ones lie beyond the scene.
    inside = grid
    if scene.grid.shares_axes_with(grid):
        height, width = (
            min(count, math.ceil(length * side / pixel - 1e-6))
            for count, length, side, pixel in zip(
                grid.shape,
                scene.grid.shape,
                reversed(scene.grid.pixel_size),
                reversed(grid.pixel_size),
                strict=True,
            )
        )
        inside = grid.part(0, 0, height, width)
    # A mean reads every pixel of the scene again, which a picture of a large one is not worth.
    large = scene.grid.height * scene.grid.width > LARGE_SCENE_PX
    with read_on(scene, inside, Resampling.nearest if large else None) as reader:
        image = reader.read(0, inside.height)
    pixels = image.pixels
    if plan.stretch:
        pixels = np.rint(255 * np.clip(plan.stretch.apply(pixels), 0, 1)).astype(np.uint8)
    beyond = ((0, grid.height - inside.height), (0, grid.width - inside.width))
    return np.pad(pixels, ((0, 0), *beyond), mode="edge"), np.pad(image.valid, beyond, mode="edge")


def scaled(grid: Grid, factor: float) -> Grid:
    """Return the grid of the same ground with a factor of the pixels a side."""
    height, width = (max(1, round(length * factor)) for length in grid.shape)
    return grid.scaled_to(height, width)
