"""What the files of a map tell: what it holds, and how it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from canopy.version import SOFTWARE, __version__
from geo.height_maps.encoding import find_encoding
from geo.height_maps.height_statistics import summarise_heights
from geo.height_maps.map_facts import HeightSummary, IntervalFacts, ModelReference
from geo.height_maps.raw_raster import BandFacts, RawRaster

if TYPE_CHECKING:
    from canopy.height_models.height_model import HeightModel
    from canopy.intervals import Calibration, HeightInterval
    from canopy.mapping.settings import MapSettings
    from geo.height_maps.encoding import Encoding

DESCRIPTION = "Canopy height"
UNIT = "m"
STRIP_PX = 512


class Told(Protocol):
    """What the files of a map tell of how it was made: the plan of a scene, or of a cell."""

    @property
    def encoding(self) -> Encoding:
        """How heights are stored."""

    @property
    def interval(self) -> HeightInterval | None:
        """What makes an interval of each height."""

    @property
    def settings(self) -> MapSettings:
        """What the user chose."""

    @property
    def source_name(self) -> str:
        """What the map is made from."""


def summary_of(raster: RawRaster, band: int, plan: Told) -> HeightSummary:
    """Return the statistics of a band of encoded rows."""
    strips = (
        raster.read(row, min(STRIP_PX, raster.grid.height - row), band)
        for row in range(0, raster.grid.height, STRIP_PX)
    )
    return summarise_heights(strips, plan.encoding)


def interval_facts(raster: RawRaster, plan: Told) -> IntervalFacts | None:
    """Return what is told of the intervals of a map; None for heights alone."""
    if plan.interval is None:
        return None
    return IntervalFacts(
        level=plan.interval.level,
        lower=summary_of(raster, 2, plan),
        upper=summary_of(raster, 3, plan),
        calibration=calibration_words(plan.interval.calibration),
    )


def calibration_words(calibration: Calibration) -> str:
    """Return in a sentence what intervals rest on."""
    other = " (each predicted by a model that never saw it)"
    return (
        f"{calibration.data.rstrip('.')}: {calibration.plots} plots"
        f"{other if calibration.predictions == 'out-of-fold' else ''}"
    )


def band_facts(plan: Told, model: HeightModel | None) -> BandFacts:
    """Return what the file of a map says of itself; without a model, of rows to be regridded."""
    encoding = plan.encoding if model else find_encoding("float32")
    card = model.card if model else None
    tags = {
        "AREA_OR_POINT": "Area",
        "TIFFTAG_SOFTWARE": f"{SOFTWARE} {__version__}",
        "TIFFTAG_IMAGEDESCRIPTION": f"{DESCRIPTION} [{UNIT}]",
        "SOURCE": plan.source_name,
    }
    if card and model:
        tags |= {
            "MODEL": card.name,
            "MODEL_VERSION": card.version,
            "MODEL_WEIGHTS_SHA256": model.fingerprint,
            "MODEL_GSD_M": f"{card.gsd_m:g}",
            "RADIOMETRY": plan.settings.radiometry,
            "MODEL_MEAN": ",".join(f"{value:g}" for value in card.mean),
            "MODEL_STD": ",".join(f"{value:g}" for value in card.std),
        }
    more: tuple[str, ...] = ()
    if plan.interval:
        more = (f"lower {plan.interval.title}", f"upper {plan.interval.title}")
        tags |= {
            "INTERVAL_LEVEL": f"{plan.interval.level:g}",
            "INTERVAL_CALIBRATION": calibration_words(plan.interval.calibration),
        }
    return BandFacts(
        nodata=encoding.nodata,
        scale=encoding.scale,
        description=DESCRIPTION,
        unit=UNIT,
        tags=tags,
        more=more,
    )


def model_reference(model: HeightModel) -> ModelReference:
    """Return how an item names the model that made its map."""
    card = model.card
    return ModelReference(
        name=card.name,
        version=card.version,
        href=card.url or None,
        licence=card.licence,
        weights_sha256=model.fingerprint or None,
    )
