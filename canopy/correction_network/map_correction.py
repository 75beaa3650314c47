"""``canopy map --correction``: the heights of a map corrected before they become its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import rasterio
from rasterio.windows import Window

from canopy.correction.applying import apply_factor_field
from canopy.correction.outputs import add_field, write_factors
from canopy.correction_network.imagery import imagery_of
from canopy.correction_network.outputs import COUNTED
from canopy.correction_network.place_facts import ViewFacts
from canopy.correction_network.seeing import Seen, see
from canopy.correction_network.settings import FieldSettings
from canopy.errors import SettingsError
from canopy.evaluation.height_source import open_heights
from geo.height_maps.raw_raster import RawRaster

if TYPE_CHECKING:
    from pathlib import Path

    import pystac

    from canopy.correction_network.model import CorrectionModel
    from canopy.mapping.plan import MapPlan
    from geo.height_maps.raw_raster import BandFacts
    from geo.raster import Pixels

STRIP_PX = 512


@dataclass(frozen=True, kw_only=True)
class NetworkCorrection:
    """A correction of a single map by a network that sees its scene.

    Attributes:
        model: the network.
        view: how the scene was taken.
        factors: how predictions become factors.
    """

    model: CorrectionModel
    view: ViewFacts = field(default_factory=ViewFacts)
    factors: FieldSettings = field(default_factory=FieldSettings)

    @property
    def title(self) -> str:
        """Its name and version."""
        return self.model.card.title

    def check(self, plan: MapPlan) -> None:
        """Refuse a scene in which the network cannot see trees, or that lies nowhere.

        Raises:
            SettingsError: as said.
        """
        if plan.out_grid.crs is None:
            msg = f"{plan.scene.source} has no CRS: a correction needs a place on Earth, assign it"
            raise SettingsError(msg)
        imagery_of(plan.scene, self.model.card.gsd_m, plan.out_grid, plan.settings)

    def apply(self, raster: RawRaster, plan: MapPlan, facts: BandFacts) -> NetworkCorrected:
        """Return the rows of a map corrected.

        Raises:
            SceneError: the scene breaks off.
            MapFileError: the disk does not take the rows.
        """
        described = raster.describe(facts)
        imagery = imagery_of(plan.scene, self.model.card.gsd_m, plan.out_grid, plan.settings)
        seen = see(open_heights(described), imagery, self.model, self.view, self.factors)
        return corrected_rows(raster, described, seen, plan.source_name)


@dataclass(frozen=True, kw_only=True)
class NetworkCorrected:
    """Rows that a network has corrected.

    Attributes:
        raster: the rows.
        seen: what it saw.
        source_name: what the map was made from.
    """

    raster: RawRaster
    seen: Seen
    source_name: str

    @property
    def lineage(self) -> str:
        """What was done, in a sentence."""
        return self.seen.lineage(self.source_name)

    @property
    def details(self) -> dict[str, Any]:
        """Numbers of it, as JSON values."""
        return self.seen.details

    def write_factors(self, path: Path) -> None:
        """Write the factor field as a COG."""
        write_factors(path, self.seen.field, self.seen.counts, COUNTED["description"], self.lineage)

    def tell(self, item: pystac.Item, factors: Path) -> None:
        """Add to an item what was done, and the file of factors beside it."""
        tell(item, self.seen, factors)


def tell(item: pystac.Item, seen: Seen, factors: Path) -> None:
    """Add to the item of a map what a correction did, and the file of factors beside it."""
    item.properties |= {f"canopy:{name}": value for name, value in seen.details.items()}
    card = seen.model.card
    done = "corrected by" if seen.applied else "left unchanged by"
    told = item.properties.get("processing:lineage", "Canopy heights")
    item.properties["processing:lineage"] = f"{told}; {done} {card.title}"
    add_field(item, factors, seen.field.grid, COUNTED)


def corrected_rows(raster: RawRaster, described: Path, seen: Seen, name: str) -> NetworkCorrected:
    """Return the rows of a raster changed by a field, beside the raster.

    Args:
        raster: rows that stay as they are.
        described: what GDAL reads them through.
        seen: the field.
        name: what the map was made from.
    """
    if not seen.applied:
        return NetworkCorrected(raster=raster, seen=seen, source_name=name)
    folder = raster.data.parent
    plain = folder / "corrected.tif"
    apply_factor_field(
        described, seen.field, plain, keep_below_m=seen.settings.keep_below_m, tags={}
    )
    target = RawRaster(folder / "corrected", raster.grid, raster.dtype.name, raster.bands)
    with rasterio.open(plain) as dataset:
        for row in range(0, dataset.height, STRIP_PX):
            window = Window(0, row, dataset.width, min(STRIP_PX, dataset.height - row))
            target.write(row, rows_of(dataset.read(window=window)))
    plain.unlink()
    return NetworkCorrected(raster=target, seen=seen, source_name=name)


def rows_of(bands: Pixels) -> Pixels:
    """Return bands (bands, rows, columns) as a flat file holds them."""
    return bands[0] if len(bands) == 1 else bands.transpose(1, 2, 0)
