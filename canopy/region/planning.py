"""Which cells a region has, what each is made from, and how that is told from any other state."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from shapely.geometry import shape

from canopy.errors import SettingsError
from canopy.region.cell_plan import Tiling, core_of, grown, hull_of
from canopy.region.cell_task import CellTask
from canopy.region.correcting import correction_facts, margin_of
from canopy.region.settings import pixel_choices
from geo.cells import CellGrid
from geo.footprint import grid_footprint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shapely.geometry.base import BaseGeometry

    from canopy.height_models.card import ModelCard
    from canopy.height_models.height_model import HeightModel
    from canopy.region.settings import RegionSettings
    from geo.cells import Cell
    from geo.imagery.image import Image

FORMAT = 1
"""Of what decides about pixels in this package: another number makes every cell stale."""


SLIVER_DEG = 1e-5
"""How far images reach into a cell before it is one of theirs: about a metre [degrees]."""


@dataclass(frozen=True, kw_only=True)
class RegionPlan:
    """A region before anything is read.

    Attributes:
        cells: the cells that its area meets.
        gsd_m: side of the model's pixels [m].
        images: all images.
        settings: what the user chose.
        card: what the model expects and is.
        model: facts of the model that decide about pixels.
        tiling: the tiles of the endless grid.
        margin_px: how far beyond a cell its heights are needed.
    """

    cells: list[Cell]
    gsd_m: float
    images: tuple[Image, ...]
    settings: RegionSettings
    card: ModelCard
    model: dict[str, Any]
    tiling: Tiling
    margin_px: int = 0

    def tasks(self, cells: Sequence[Cell]) -> Iterator[CellTask]:
        """Yield what cells are made from, in their order."""
        tree = shapely.STRtree([image.footprint for image in self.images])
        common = self._common()
        for cell in cells:
            found = np.sort(tree.query(self._read_for(cell), predicate="intersects"))
            images = tuple(self.images[index] for index in found.tolist())
            yield CellTask(cell=cell, images=images, fingerprint=fingerprint(cell, images, common))

    def _read_for(self, cell: Cell) -> BaseGeometry:
        """Return the ground that is read for a cell, in EPSG:4326."""
        core = grown(core_of(cell, self.gsd_m), self.margin_px)
        hull = hull_of(core, self.tiling, field=self.settings.map.radiometry == "aerial")
        outline = grid_footprint(hull.grid)
        return cell.footprint if outline is None else shape(outline.geometry)

    def _common(self) -> dict[str, Any]:
        """Return all that decides about pixels of every cell, as JSON values."""
        tiles = {"tile": self.tiling.tile, "overlap": self.tiling.overlap}
        return {
            "format": FORMAT,
            "model": self.model,
            "choices": pixel_choices(self.settings),
            "cell px": self.settings.cell_px,
        } | tiles


def plan_region(
    images: Sequence[Image], area: BaseGeometry | None, model: HeightModel, settings: RegionSettings
) -> RegionPlan:
    """Decide which cells a region has.

    Args:
        images: what it is made from.
        area: its ground in EPSG:4326; None for that of all images.
        model: what predicts.
        settings: what the user chose.

    Raises:
        GridError: the area reaches beyond UTM, has too many cells, or the tiles do not fit.
        SettingsError: no image shows any of the area.
    """
    together = shapely.union_all([image.footprint for image in images])
    # Of images alone: a sliver at their edges, where outlines are rounded, makes no cell.
    ground = together.buffer(-SLIVER_DEG) if area is None else area
    if not ground.intersects(together):
        msg = (
            f"none of the {len(images)} images shows any of the area: search it anew, or give "
            "another --area"
        )
        raise SettingsError(msg)
    gsd_m = model.card.gsd_m
    pixel_m = settings.map.resolution_m or gsd_m
    return RegionPlan(
        cells=CellGrid(pixel_m=pixel_m, side_px=settings.cell_px).cells_over(ground),
        gsd_m=gsd_m,
        images=tuple(sorted(images, key=lambda image: (image.id, image.link))),
        settings=settings,
        card=model.card,
        model=model_facts(model, settings),
        tiling=Tiling.of(model.card, settings.map),
        margin_px=margin_of(settings.correction),
    )


def model_facts(model: HeightModel, settings: RegionSettings) -> dict[str, Any]:
    """Return what of a model decides about pixels; not the device: a cluster may mix them."""
    facts: dict[str, Any] = {
        "name": model.card.name, "version": model.card.version, "weights": model.fingerprint
    }  # fmt: skip
    facts |= correction_facts(settings.correction, model.card)
    if settings.map.interval is None:
        return facts
    interval = model.interval(settings.map.interval, settings.map.calibration)
    return facts | {"interval": interval.identity}


def fingerprint(cell: Cell, images: Sequence[Image], common: dict[str, Any]) -> str:
    """Return what tells one state of a cell from any other: a SHA-256 of all that decides it."""
    told = common | {"cell": cell.id, "images": [dict(image.identity) for image in images]}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
