"""What came of a map, for people and for programs."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from canopy.height_models.card import ModelCard
    from canopy.intervals import HeightInterval
    from canopy.mapping.plan import MapPlan
    from canopy.mapping.settings import MapSettings
    from geo.grid import Grid
    from geo.height_maps.map_facts import HeightSummary, IntervalFacts


@dataclass(frozen=True, kw_only=True)
class MapReport:
    """A finished map.

    Attributes:
        map: the height map.
        item: its STAC item, or None.
        style: its QGIS style.
        preview: its picture, or None.
        grid: its pixels.
        heights: its statistics.
        seconds: how long it took, loading of the model included.
        tiles_run: tiles the model saw.
        tiles_skipped: tiles without data.
        tiles_resumed: tiles that an earlier run had finished.
        model: the card of the model.
        settings: what was chosen.
        interval: the intervals around the heights; None for heights alone.
        factors: what heights were multiplied by, as a COG; None for an uncorrected map.
        correction: numbers of the correction, as JSON values; None likewise.
    """

    map: Path
    item: Path | None
    style: Path
    preview: Path | None
    grid: Grid
    heights: HeightSummary
    seconds: float
    tiles_run: int
    tiles_skipped: int
    tiles_resumed: int
    model: ModelCard
    settings: MapSettings
    interval: IntervalFacts | None = None
    factors: Path | None = None
    correction: dict[str, Any] | None = None

    @property
    def megapixels_per_second(self) -> float:
        """Pixels of the map over the time it took [million / s]."""
        return self.grid.height * self.grid.width / 1e6 / self.seconds

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values; lengths in metres, memory in MiB."""
        heights = self.heights
        return {
            "paths": {
                "map": str(self.map),
                "preview": str(self.preview) if self.preview else None,
                "stac": str(self.item) if self.item else None,
                "style": str(self.style),
                "factors": str(self.factors) if self.factors else None,
            },
            "seconds": round(self.seconds, 3),
            "megapixels_per_second": round(self.megapixels_per_second, 3),
            "tiles": {
                "run": self.tiles_run,
                "skipped": self.tiles_skipped,
                "resumed": self.tiles_resumed,
            },
            "height": heights_as_json(heights),
            "interval": interval_as_json(self.interval) if self.interval else None,
            "correction": self.correction,
            "valid_percent": round(heights.valid_percent, 2),
            "grid": grid_as_json(self.grid),
            "peak_memory_mib": round(peak_memory_mib(), 1),
            "model": model_as_json(self.model),
            "settings": settings_as_json(self.settings),
        }


def plan_as_json(plan: MapPlan, card: ModelCard, files: Sequence[Path]) -> dict[str, Any]:
    """Return what a run would do and write, as JSON values."""
    return {
        "scene": {
            "source": plan.scene.source,
            "format": plan.scene.driver,
            "bands": [*plan.scene.bands.colours],
            "type": plan.scene.dtype,
            "gsd_m": round(plan.scene.gsd_m, 4),
            "grid": grid_as_json(plan.scene.grid),
        },
        "stretch": asdict(plan.stretch) if plan.stretch else None,
        "model": model_as_json(card),
        "model_grid": grid_as_json(plan.grid),
        "grid": grid_as_json(plan.out_grid),
        "tiles": plan.tiles.count,
        "outputs": [str(path) for path in files],
        "settings": settings_as_json(plan.settings),
        "interval": planned_interval(plan.interval) if plan.interval else None,
    }


def settings_as_json(settings: MapSettings) -> dict[str, Any]:
    """Return settings as JSON values: paths and dates are texts."""
    values = asdict(settings)
    return {
        name: str(value) if isinstance(value, Path | datetime) else value
        for name, value in values.items()
    }


def planned_interval(interval: HeightInterval) -> dict[str, Any]:
    """Return what will be told of the intervals of a map, as JSON values."""
    calibration = interval.calibration
    return {
        "level": interval.level,
        "calibration": calibration.data,
        "plots": calibration.plots,
        "predictions": calibration.predictions,
    }


def interval_as_json(interval: IntervalFacts) -> dict[str, Any]:
    """Return the intervals of a map as JSON values; heights in metres."""
    return {
        "level": interval.level,
        "calibration": interval.calibration,
        "mean_lower": rounded(interval.lower.mean_m),
        "mean_upper": rounded(interval.upper.mean_m),
    }


def heights_as_json(heights: HeightSummary) -> dict[str, float | None]:
    """Return the statistics of a map [m] as JSON values."""
    percentiles = {f"p{share}": value for share, value in heights.percentiles_m.items()}
    values = {"mean": heights.mean_m, **percentiles, "max": heights.maximum_m}
    return {name: rounded(value) for name, value in values.items()}


def grid_as_json(grid: Grid) -> dict[str, Any]:
    """Return a grid as JSON values."""
    return {
        "crs": grid.crs.to_string() if grid.crs else None,
        "shape": [*grid.shape],
        "transform": [*grid.transform][:6],
    }


def model_as_json(card: ModelCard) -> dict[str, Any]:
    """Return what identifies a model, and what its users must know, as JSON values."""
    return {
        "name": card.name,
        "version": card.version,
        "gsd_m": card.gsd_m,
        "licence": card.licence,
        "notice": card.notice or None,
    }


def rounded(value: float) -> float | None:
    """Return a height to the centimetre, or None where there is none."""
    return None if math.isnan(value) else round(value, 2)


def peak_memory_mib() -> float:
    """Return the largest resident memory of the process so far [MiB]; NaN where it is not told."""
    if sys.platform == "win32":
        return math.nan
    import resource  # noqa: PLC0415 - Windows has no such module

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
