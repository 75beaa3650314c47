"""From a scene, a model and settings to everything a map is decided by, before a pixel is read."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canopy.errors import SettingsError
from canopy.radiometry import Stretch, choose_stretch
from geo.axis_weights import HALF, LEAST_WEIGHT
from geo.errors import SceneError
from geo.ground import SAME_GSD, ground_pixel_m, model_grid, resized
from geo.height_maps.encoding import Encoding, find_encoding
from geo.hrefs import source_name
from geo.scene import Scene, is_remote
from geo.scene_reader import read_on, read_sample
from geo.tiles import TilePlan, plan_tiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from canopy.colour_matching import ColourMatcher
    from canopy.height_models.height_model import HeightModel
    from canopy.intervals import HeightInterval
    from canopy.mapping.settings import MapSettings
    from geo.grid import Grid
    from geo.raster import Raster
    from geo.scene_reader import StripReader

COARSEST = 3.0
"""A scene whose pixels are larger than this many of the model's is refused."""


@dataclass(frozen=True, kw_only=True)
class MapPlan:
    """How one scene becomes one map.

    Attributes:
        scene: the imagery.
        settings: what the user chose.
        grid: where the model sees the scene, at its GSD.
        out_grid: the grid of the map.
        tiles: every tile on ``grid``.
        stretch: how pixel values become what the model expects; None for uint8 as it is.
        colours: what matches the colours of aerial images; None where they stay.
        encoding: how heights are stored.
        interval: what makes an interval of each height; None for heights alone.
        scaled: whether the scale of the errors is predicted too, as intervals need.
        identity: everything that decides about a pixel, as JSON, by names users know.
    """

    scene: Scene
    settings: MapSettings
    grid: Grid
    out_grid: Grid
    tiles: TilePlan
    stretch: Stretch | None
    colours: ColourMatcher | None
    encoding: Encoding
    identity: dict[str, Any]
    interval: HeightInterval | None = None
    scaled: bool = False

    @property
    def regrids(self) -> bool:
        """Whether the map's grid is another than the model's."""
        return self.out_grid is not self.grid

    @property
    def source_name(self) -> str:
        """What the map is made from, as a file that travels names it."""
        return source_name(self.scene.source)

    @property
    def batch(self) -> int | None:
        """Tiles predicted at once; None for what the device can take."""
        return self.settings.batch

    @contextmanager
    def read(self) -> Iterator[StripReader]:
        """Open the scene for reading on the model's grid."""
        # On the way back to the scene's own pixels, each of them that is valid needs a height.
        least = LEAST_WEIGHT if self.settings.grid == "scene" else HALF
        with read_on(self.scene, self.grid, least=least) as reader:
            yield Stretched(reader, self.stretch) if self.stretch else reader

    @property
    def bands(self) -> int:
        """Bands of the map: heights, and the ends of their intervals where they have some."""
        return 3 if self.interval else 1

    @property
    def pixel_m(self) -> float:
        """Side of the map's pixels on the ground, the mean of both [m]."""
        locate = self.scene.locate if self.out_grid is self.scene.grid else None
        return sum(ground_pixel_m(self.out_grid, locate)) / 2


class Stretched:
    """A reader whose pixels are stretched to [0, 1]."""

    def __init__(self, reader: StripReader, stretch: Stretch) -> None:
        """Stretch what a reader reads."""
        self.reader, self.stretch = reader, stretch

    def read(self, row: int, height: int) -> Raster:
        """Return rows of the grid over its whole width, float32."""
        raster = self.reader.read(row, height)
        return replace(raster, pixels=self.stretch.apply(raster.pixels))


def plan_map(
    scene: Scene,
    model: HeightModel,
    settings: MapSettings,
    colours: ColourMatcher | None = None,
    interval: HeightInterval | None = None,
) -> MapPlan:
    """Decide everything about a map.

    Args:
        scene: the imagery.
        model: what predicts.
        settings: what the user chose.
        colours: what matches the colours of aerial images, where that is asked for.
        interval: what makes intervals, where they are asked for.

    Raises:
        SceneError: the scene is too coarse for the model.
        SettingsError: the settings do not fit the scene.
        GridError: the scene lies outside its CRS, or the tiles cannot be planned.
    """
    refuse_coarse(scene, model)
    card = model.card
    grid = model_grid(scene.grid, card.gsd_m, scene.locate)
    tiles = plan_tiles(
        grid.height,
        grid.width,
        tile=card.tile_px if settings.tile_px is None else settings.tile_px,
        overlap=card.overlap_px if settings.overlap_px is None else settings.overlap_px,
        multiple=card.multiple_px,
    )
    return MapPlan(
        scene=scene,
        settings=settings,
        grid=grid,
        out_grid=map_grid(scene, grid, settings),
        tiles=tiles,
        stretch=stretch_for(scene, settings),
        colours=colours,
        encoding=find_encoding(settings.encoding),
        identity=identity(scene, model, settings, colours) | interval_identity(interval),
        interval=interval,
        scaled=interval is not None,
    )


def stretch_for(scene: Scene, settings: MapSettings) -> Stretch | None:
    """Return how a scene's values become what a model expects; None for bytes as they are.

    Raises:
        SettingsError: pixels shall be left as they are, and would be stretched.
    """
    stretch = choose_stretch(settings.stretch, scene.dtype, lambda: read_sample(scene))
    if stretch is None or settings.radiometry != "none":
        return stretch
    if settings.stretch == "auto":
        msg = (
            f"radiometry none with a stretch of auto: {scene.source} has {scene.dtype}, whose "
            "values would be stretched; choose --stretch none or LOW,HIGH"
        )
        raise SettingsError(msg)
    return replace(stretch, clips=False)


def refuse_coarse(scene: Scene, model: HeightModel) -> None:
    """Refuse a scene in which the model would see no trees.

    Raises:
        SceneError: its pixels are too large.
    """
    gsd = scene.gsd_m
    limit = COARSEST * model.card.gsd_m
    if gsd > limit * (1 + SAME_GSD):  # UTM's own metres differ from true ones by up to 0.1 %
        msg = (
            f"{scene.source} has pixels of {gsd:.2f} m: {model.card.name} sees trees at "
            f"{model.card.gsd_m:g} m and takes up to {limit:g} m, give finer imagery"
        )
        raise SceneError(msg)


def map_grid(scene: Scene, grid: Grid, settings: MapSettings) -> Grid:
    """Return the grid that the map is asked for on.

    Raises:
        SettingsError: the scene's own grid is asked for and it has none.
    """
    if settings.grid == "scene":
        if scene.gcps:
            msg = (
                f"{scene.source} has ground control points and no grid of its own: "
                "leave --grid scene out, the map comes in the local UTM zone"
            )
            raise SettingsError(msg)
        return grid if scene.grid.matches(grid) else scene.grid
    if settings.resolution_m is None:
        return grid
    return resized(grid, settings.resolution_m)


def identity(
    scene: Scene, model: HeightModel, settings: MapSettings, colours: ColourMatcher | None
) -> dict[str, Any]:
    """Return all that decides about a pixel of the map; the batch does not, by design."""
    choices = {
        "bands": settings.bands,
        "pixel size": settings.pixel_size_m,
        "stretch": settings.stretch,
        "radiometry": settings.radiometry,
        "colours": colours.fingerprint[:12] if colours else None,
        "mean": model.card.mean,
        "std": model.card.std,
        "precision": settings.precision,
        "compile": settings.compiled,
        "grid": settings.grid,
        "resolution": settings.resolution_m,
        "tile": model.card.tile_px if settings.tile_px is None else settings.tile_px,
        "overlap": model.card.overlap_px if settings.overlap_px is None else settings.overlap_px,
        "encoding": settings.encoding,
    }
    weights = f"{model.card.name} {model.card.version} {model.fingerprint[:12]}".strip()
    return {**input_identity(scene), "model": weights, "device": model.device.type, **choices}


def interval_identity(interval: HeightInterval | None) -> dict[str, Any]:
    """Return all that decides about the ends of intervals; nothing for heights alone."""
    if interval is None:
        return {}
    ends = hashlib.sha256(json.dumps(interval.calibration.identity).encode()).hexdigest()
    return {"interval": interval.title, "interval calibration": ends[:12]}


def input_identity(scene: Scene) -> dict[str, Any]:
    """Return what tells one state of the input from another."""
    facts: dict[str, Any] = {
        "input": scene.source if is_remote(scene.source) else str(Path(scene.source).absolute()),
        "input shape": [*scene.grid.shape],
        "input transform": [*scene.grid.transform][:6],
    }
    path = Path(scene.source)
    if not is_remote(scene.source) and path.exists():
        status = path.stat()
        facts |= {"input size": status.st_size, "input changed at": status.st_mtime_ns}
    return facts
