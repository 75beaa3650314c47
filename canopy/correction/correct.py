"""A height map corrected by footprints of space lidar: the main path, on one page."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from canopy.correction.applying import FactorField, cell_middles, coarse_grid
from canopy.correction.calibration import Calibrated, Judged, calibrate, judge
from canopy.correction.footprint_pairs import pair_with_map
from canopy.correction.footprints import read_footprints
from canopy.correction.outputs import JudgedFiles, plan_corrected, write_corrected
from canopy.correction.report import Findings
from canopy.correction.settings import CorrectionSettings
from canopy.errors import SettingsError
from canopy.evaluation.height_source import open_heights, opened
from canopy.stored_heights import unit_m
from geo.ground import ground_pixel_m

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from canopy.evaluation.height_source import HeightSource

    Plane = NDArray[np.float32]

log = logging.getLogger(__name__)

__all__ = ["CorrectionReport", "correct_map"]


@dataclass(frozen=True, kw_only=True)
class CorrectionReport:
    """What came of a correction.

    Attributes:
        files: what was written.
        findings: the report as JSON values.
    """

    files: JudgedFiles
    findings: dict[str, Any]


def correct_map(
    heights: Path,
    footprints: Path,
    output: Path,
    settings: CorrectionSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CorrectionReport:
    """Correct a height map by footprints of space lidar, where they surely make it better.

    Where they are too few, or errors do not fall on footprints kept aside, the output holds the
    heights of the map unchanged, and the report says why.

    Args:
        heights: map in metres, one band or three (heights and the ends of intervals), with a CRS.
        footprints: GeoParquet, CSV or another vector file of points with relative heights [m].
        output: where the corrected map will stand; its companions stand beside it.
        settings: how.
        progress: is told how many steps are done, first of footprints, then of parts of the map.

    Raises:
        OutputError: a file may not be written.
        SceneError: a file cannot be read.
        SettingsError: map and footprints do not fit together.
        MapFileError: a file cannot be written.
    """
    settings = settings or CorrectionSettings()
    files = plan_corrected(output, [heights, footprints], settings)
    source = open_heights(heights)
    refuse_other_units(source)
    shots = read_footprints(footprints, source, settings)
    pairs, uncovered = pair_with_map(shots, source, settings, progress)
    left_out = ", ".join(f"{count} {reason}" for reason, count in shots.left_out.items() if count)
    log.info(
        "footprints  %d of use over the map, of %d%s",
        len(pairs), shots.read, f" (left out: {left_out})" if left_out else "",
    )  # fmt: skip
    judged, folds = judge(pairs, settings) if len(pairs) else (None, np.zeros(0, np.int64))
    found = calibrate(pairs, np.ones(len(pairs), bool), folds, settings)
    reason, wanted = decide(found, judged, settings)
    field, counts = field_over(source, found, settings, wanted=wanted)
    findings = Findings(
        source=heights, footprints=shots, uncovered=uncovered, pairs=pairs, calibrated=found,
        judged=judged, field=field, counts=counts, reason=reason, settings=settings,
    )  # fmt: skip
    return CorrectionReport(files=files, findings=write_corrected(findings, files, progress))


def refuse_other_units(source: HeightSource) -> None:
    """Refuse a map that names another unit than the metre.

    Raises:
        SettingsError: as said.
    """
    with opened(source.path) as dataset:
        unit = dataset.units[0]
    if unit_m(source.path, unit) != 1.0:
        msg = f"{source.path} is in {unit}: expected metres, convert it first (gdal_calc)"
        raise SettingsError(msg)


def decide(
    found: Calibrated, judged: Judged | None, settings: CorrectionSettings
) -> tuple[str, bool]:
    """Return why a map is corrected or not, and whether it is."""
    used = int(found.used.sum())
    if judged is None or used < settings.fewest or found.field is None:
        return f"{used} usable footprints, at least {settings.fewest} are needed", False
    gain, error = judged.gain
    told = (
        f"on {int(judged.counted.sum())} footprints kept aside the mean absolute error falls by "
        f"{gain:.2f} m, standard error {error:.2f} m"
    )
    if found.field.signal <= 0:
        return "the ratios of footprints to map are no more than noise about 1", False
    change = float(np.sqrt(np.mean(found.field.at(found.field.ratios.places)[0] ** 2)))
    if change < settings.least_change:
        return (
            f"factors differ from 1 by {change:.1%} in the mean, less than the "
            f"{settings.least_change:.0%} by which footprints and true maps may differ"
        ), False
    if not judged.is_better:
        return f"{told}: no sure gain", False
    return told, True


def field_over(
    source: HeightSource, found: Calibrated, settings: CorrectionSettings, *, wanted: bool
) -> tuple[FactorField, Plane]:
    """Return the factor field over a map, and the shots that count at each of its cells."""
    grid = coarse_grid(source.grid, settings.resolution_m)
    factors, counts = np.ones(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    if wanted and found.field is not None:
        logs, shots = found.field.at(cell_middles(grid, ground_pixel_m(grid)))
        factors = np.exp(logs).astype(np.float32).reshape(grid.shape)
        counts = shots.astype(np.float32).reshape(grid.shape)
    return FactorField(grid=grid, factors=factors), counts
