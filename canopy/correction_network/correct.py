"""``canopy correct --model``: a height map corrected by what a network sees in its imagery."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from canopy.correction.correct import refuse_other_units
from canopy.correction_network.imagery import open_imagery
from canopy.correction_network.model import load_correction_model
from canopy.correction_network.outputs import plan_by_model, write_by_model
from canopy.correction_network.seeing import Seen, see
from canopy.correction_network.settings import ByModelSettings
from canopy.errors import SettingsError
from canopy.evaluation.height_source import open_heights
from canopy.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from canopy.correction.outputs import CorrectedFiles


@dataclass(frozen=True, kw_only=True)
class ByModelReport:
    """What came of a correction by a network.

    Attributes:
        files: what was written.
        findings: the report as JSON values.
    """

    files: CorrectedFiles
    findings: dict[str, Any]


def correct_by_model(
    heights: Path,
    model: str | Path,
    image: str,
    output: Path,
    settings: ByModelSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ByModelReport:
    """Correct a height map by a network that sees its imagery.

    Where map and predictions agree, or nothing tells of canopy, heights stay as they are.

    Args:
        heights: map in metres, one band or three, with a CRS.
        model: name or folder of the network.
        image: the imagery that the map shows, a path or URL.
        output: where the corrected map will stand; its companions stand beside it.
        settings: how.
        progress: is told how many windows, then parts of the map, are done.

    Raises:
        OutputError: a file may not be written.
        ModelError: the network is unknown or broken.
        SceneError: a file cannot be read.
        SettingsError: map, imagery and network do not fit together.
        MapFileError: a file cannot be written.
    """
    settings = settings or ByModelSettings()
    files = plan_by_model(output, [heights, image], settings)
    network = load_correction_model(model, device=settings.device)
    source = open_heights(heights)
    refuse_other_units(source)
    if source.grid.crs is None:
        msg = f"{heights} has no CRS: assign it (gdal_edit -a_srs), its imagery lies on Earth"
        raise SettingsError(msg)
    imagery = open_imagery(image, network.card.gsd_m, over=source.grid)
    seen = see(source, imagery, network, settings.view, settings.factors, progress)
    if not seen.windows:
        msg = (
            f"no window of {seen.window_m:.0f} m of {image} lies whole within {heights}: give the "
            "image that the map shows, or a larger map"
        )
        raise SettingsError(msg)
    report = as_json(seen, heights.name, image, settings)
    changed = write_by_model(seen, (heights, image), files, report, progress)
    return ByModelReport(files=files, findings=report | {"pixels_changed": changed})


def as_json(seen: Seen, heights: str, image: str, settings: ByModelSettings) -> dict[str, Any]:
    """Return what was found as JSON values; lengths in metres."""
    card, factors = seen.model.card, seen.field.factors
    return {
        "map": heights,
        "image": image.rsplit("/", 1)[-1],
        "model": {
            "name": card.name,
            "version": card.version,
            "weights_sha256": seen.model.fingerprint,
            "simulated": card.simulated,
            "notice": card.notice,
            "percentile": card.percentile,
        },
        "applied": seen.applied,
        "reason": seen.reason,
        "windows": {
            "predicted": seen.windows,
            "share_out_of_reach": round(seen.unseen, 4),
            "side_m": seen.window_m,
            "median_predicted_m": median(seen.predicted),
            "median_mapped_m": median(seen.mapped),
        },
        "defaults": seen.defaults,
        "field": {
            "rows": seen.field.grid.height,
            "columns": seen.field.grid.width,
            "resolution_m": seen.settings.stride_px * card.gsd_m,
            "least_change": round(seen.settings.least_change_of(card), 4),
            "least": round(float(factors.min()), 4),
            "median": round(float(np.median(factors)), 4),
            "greatest": round(float(factors.max()), 4),
        },
        "settings": asdict(settings),
        "software": f"canopy-height {__version__}",
    }


def median(values: Any) -> float | None:  # noqa: ANN401 - an array
    """Return the median of what is known, None of nothing."""
    known = values[np.isfinite(values)]
    return round(float(np.median(known)), 3) if known.size else None
