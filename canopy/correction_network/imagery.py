"""Imagery as a correction network sees it: on metric pixels of its own size."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from canopy.errors import SettingsError
from canopy.mapping.plan import COARSEST, Stretched, stretch_for
from canopy.mapping.settings import MapSettings
from geo.ground import SAME_GSD, ground_pixel_m, model_grid
from geo.scene import open_scene
from geo.scene_reader import read_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from canopy.radiometry import Stretch
    from geo.grid import Grid
    from geo.scene import Scene
    from geo.scene_reader import StripReader


@dataclass(frozen=True, kw_only=True)
class Imagery:
    """A scene on a grid.

    Attributes:
        scene: the scene.
        grid: where it is seen.
        stretch: what brings its values to [0, 1]; None for bytes as they are.
    """

    scene: Scene
    grid: Grid
    stretch: Stretch | None

    @contextmanager
    def read(self) -> Iterator[StripReader]:
        """Open it for reading."""
        with read_on(self.scene, self.grid) as reader:
            yield Stretched(reader, self.stretch) if self.stretch else reader


def open_imagery(
    source: str, gsd_m: float, over: Grid | None = None, settings: MapSettings | None = None
) -> Imagery:
    """Open a scene at a network's pixel.

    Args:
        source: a path or URL.
        gsd_m: side of the network's pixels [m].
        over: a map whose upper left corner and axes the grid shall have; None for the scene's own.
        settings: how the map was made of the scene; None for defaults.

    Raises:
        SceneError: it cannot be read.
        SettingsError: its pixels are too large.
    """
    settings = settings or MapSettings()
    scene = open_scene(source, bands=settings.bands, pixel_size_m=settings.pixel_size_m)
    return imagery_of(scene, gsd_m, over, settings)


def imagery_of(scene: Scene, gsd_m: float, over: Grid | None, settings: MapSettings) -> Imagery:
    """Put an open scene on a network's pixels; see :func:`open_imagery`."""
    limit = COARSEST * gsd_m
    if scene.gsd_m > limit * (1 + SAME_GSD):
        msg = (
            f"{scene.source} has pixels of {scene.gsd_m:.2f} m: the network sees trees at "
            f"{gsd_m:g} m and takes up to {limit:g} m, give finer imagery"
        )
        raise SettingsError(msg)
    grid = model_grid(scene.grid, gsd_m, scene.locate) if over is None else resampled(over, gsd_m)
    return Imagery(scene=scene, grid=grid, stretch=stretch_for(scene, settings))


def resampled(grid: Grid, gsd_m: float) -> Grid:
    """Return the grid with the corner and axes of another and pixels of a size [true m].

    Pixels within one per cent of it stay.
    """
    scale = [gsd_m / side for side in ground_pixel_m(grid)]
    if all(abs(each - 1) <= SAME_GSD for each in scale):
        return grid
    width, height = (
        max(1, math.ceil(round(length / each, 6)))
        for length, each in zip(reversed(grid.shape), scale, strict=True)
    )
    transform = grid.transform * grid.transform.scale(*scale)
    return replace(grid, transform=transform, height=height, width=width)
