"""What a user may choose about a region, beside what they may choose about any map."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from canopy.errors import SettingsError
from canopy.mapping.settings import MapSettings
from geo.imagery.ranking import Preference

if TYPE_CHECKING:
    from canopy.shared_model import NamedModel

CELL_PX = 4096
"""Side of a cell [px]: 2.5 km at 0.6 m, about a minute's work of the small model on one core."""

NO_PIXEL = ("batch", "preview", "stac", "overwrite", "resume")
"""Settings of a map that decide about no pixel."""


@dataclass(frozen=True, kw_only=True)
class RegionSettings:
    """Choices about the map of a region.

    Attributes:
        cell_px: side of a cell [px], a power of two.
        prefer: which image wins where several show the same ground.
        map: choices about every map.
        correction: name or folder of a network that corrects heights; None for none. It needs
            heights around each cell, which are predicted for the cell alone.
    """

    cell_px: int = CELL_PX
    prefer: Preference = field(default_factory=Preference)
    map: MapSettings = field(default_factory=MapSettings)
    correction: str | None = None

    def __post_init__(self) -> None:
        """Refuse choices about a map that have no meaning for cells.

        Raises:
            SettingsError: one is made.
        """
        if self.map.grid != "model":
            msg = "grid scene with a region: its pixels are those of the cells, leave it out"
            raise SettingsError(msg)
        if self.map.pixel_size_m is not None:
            msg = "pixel size with a region: imagery without georeference has no place in it"
            raise SettingsError(msg)
        if self.map.bands is not None or self.map.acquired is not None:
            msg = (
                "bands or a date with a region: its images tell theirs, name the asset with "
                "--asset, or correct their items"
            )
            raise SettingsError(msg)
        if not self.map.stac:
            msg = "no STAC items with a region: they tell which cells are whole, keep them"
            raise SettingsError(msg)


@dataclass(frozen=True, kw_only=True)
class RegionJob:
    """What every cell of a region has in common; sent to the workers with each of them.

    Attributes:
        output: where the region stands: a folder, or ``s3://bucket/prefix``.
        model: the height model, as each worker finds it.
        settings: what the user chose.
        collection: identifier of the region's collection.
        anew: whether cells that stand as they would be made are made again.
    """

    output: str
    model: NamedModel
    settings: RegionSettings
    collection: str
    anew: bool = False


def pixel_choices(settings: RegionSettings) -> dict[str, Any]:
    """Return all choices that decide about a pixel, as JSON values."""
    chosen = asdict(settings.map)
    kept = {name: value for name, value in chosen.items() if name not in NO_PIXEL}
    return kept | {"prefer": asdict(settings.prefer)}
