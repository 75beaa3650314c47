"""What a correction leaves behind: map, factor field, style, item, report and pictures, or none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - fields of a dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pystac
import rasterio
from pystac.extensions.file import FileExtension

from canopy.changed_heights import Change, describe_changed, summary_of
from canopy.correction.applying import apply_factor_field
from canopy.correction.pictures import draw_field, draw_preview, draw_scatter
from canopy.correction.report import as_json, as_markdown
from canopy.evaluation.height_source import interval_level
from canopy.version import SOFTWARE, __version__
from geo.height_maps.cog import plain_then_cog
from geo.height_maps.map_facts import IntervalFacts, MethodReference
from geo.height_maps.stac_item import multihash_sha256, write_item
from geo.hrefs import source_name
from geo.lidar.chm_files import working_folder
from geo.outputs import put_in_place, refuse_collisions, refuse_raster, staged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from canopy.correction.applying import FactorField
    from canopy.correction.report import Findings
    from canopy.correction.settings import CorrectionSettings
    from geo.grid import Grid
    from geo.raster import Pixels

BEFORE = "Canopy heights before the correction"
"""What a corrected map was made of first."""

FIELD_ASSET = "factor_field"

UNCHECKED = "scaled with the heights since, their coverage not checked again"
BY_FOOTPRINTS = (
    "scaled with the heights since; on simulated forests 90 % then held 90 to 91 % of true heights "
    "if the calibration knew nothing of the map's bias, 63 to 99 % if it had made room for it"
)
"""What is said of the intervals of a corrected map, see docs/correction.md."""


class FileChoices(Protocol):
    """What a user chooses about files."""

    @property
    def preview(self) -> bool:
        """Whether a picture is drawn."""

    @property
    def stac(self) -> bool:
        """Whether a STAC item is written."""

    @property
    def overwrite(self) -> bool:
        """Whether files that stand may be replaced."""


@dataclass(frozen=True, kw_only=True)
class CorrectedFiles:
    """Where the files of a correction will stand.

    Attributes:
        map: corrected heights, a COG.
        field: the factor field, a COG; what its factors rest on is its second band.
        style: the QGIS style.
        report: the report as JSON.
        factors: picture of the factor field.
        preview: picture of the map, before and after, or None.
        item: the STAC item, or None.
    """

    map: Path
    field: Path
    style: Path
    report: Path
    factors: Path
    preview: Path | None
    item: Path | None

    @property
    def all(self) -> list[Path]:
        """All of them, the map last: where it stands, the others do too."""
        named = [path for name, path in vars(self).items() if path and name != "map"]
        return [*named, self.map]


@dataclass(frozen=True, kw_only=True)
class JudgedFiles(CorrectedFiles):
    """Those of a correction that footprints judge.

    Attributes:
        words: the report as Markdown.
        scatter: picture of footprints against the map, before and after.
    """

    words: Path
    scatter: Path


def places_of(output: Path, choices: FileChoices) -> dict[str, Any]:
    """Return where the files of every correction will stand, by their names in `CorrectedFiles`.

    Raises:
        OutputError: the map may not be called so.
    """
    refuse_raster(output, "a corrected map")
    return {
        "map": output,
        "field": output.with_suffix(".factor.tif"),
        "style": output.with_suffix(".qml"),
        "report": output.with_suffix(".report.json"),
        "factors": output.with_suffix(".factor.png"),
        "preview": output.with_suffix(".preview.png") if choices.preview else None,
        "item": output.with_suffix(".json") if choices.stac else None,
    }


def plan_corrected(
    output: Path, sources: Sequence[Path], settings: CorrectionSettings
) -> JudgedFiles:
    """Decide where the files of a correction will stand, and that they may.

    Raises:
        OutputError: one may not be written.
    """
    files = JudgedFiles(
        **places_of(output, settings),
        words=output.with_suffix(".report.md"),
        scatter=output.with_suffix(".scatter.png"),
    )
    refuse_collisions(files.all, sources, overwrite=settings.overwrite)
    return files


def write_corrected(
    findings: Findings,
    files: JudgedFiles,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Make all files in a working folder, then put them in place.

    Returns:
        The report as JSON values.

    Raises:
        MapFileError: a file cannot be written.
    """
    with working_folder(files.map) as folder:
        made = staged(files, folder)
        with plain_then_cog(made.map) as plain:
            changed = apply_factor_field(
                findings.source,
                findings.field,
                plain,
                keep_below_m=findings.settings.keep_below_m,
                tags={"CORRECTION": lineage(findings)},
                progress=progress,
            )
        write_field(findings, made.field)
        report = as_json(findings) | {"pixels_changed": changed}
        write_report(findings, report, made)
        describe(findings, report, made, files)
        put_in_place(folder, files.all)
    return report


def write_report(findings: Findings, report: dict[str, Any], made: JudgedFiles) -> None:
    """Write the report and draw its pictures."""
    made.report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    draw_scatter(findings, made.scatter)
    draw_field(findings, made.factors)
    pictures = [made.scatter.name, made.factors.name]
    if made.preview:
        draw_preview(findings.source, made.map, made.preview)
        pictures.append(made.preview.name)
    made.words.write_text(as_markdown(report, pictures), encoding="utf-8")


def lineage(findings: Findings) -> str:
    """Return in a sentence what was done."""
    name, shots = source_name(findings.source), source_name(findings.footprints.path)
    if not findings.applied:
        return f"Canopy heights of {name}, unchanged: {findings.reason}"
    return (
        f"Canopy heights of {name}, multiplied by a smooth field of factors "
        f"{findings.field.factors.min():.2f} to {findings.field.factors.max():.2f} from "
        f"{int(findings.calibrated.used.sum())} footprints of {shots}"
    )


def write_field(findings: Findings, path: Path) -> None:
    """Write the factor field and the shots that count as a COG of two bands."""
    write_factors(
        path, findings.field, findings.counts, "Footprints that count here", lineage(findings)
    )


def write_factors(path: Path, field: FactorField, counts: Pixels, counted: str, told: str) -> None:
    """Write a factor field as a COG of two bands.

    Args:
        path: where it will stand.
        field: the factors.
        counts: how much each of them rests on (rows, columns).
        counted: what is counted.
        told: how the field came to be, in a sentence.
    """
    grid = field.grid
    profile = {
        "driver": "GTiff", "dtype": "float32", "count": 2, "height": grid.height,
        "width": grid.width, "crs": grid.crs, "transform": grid.transform, "nodata": np.nan,
        "photometric": "MINISBLACK",
    }  # fmt: skip
    with plain_then_cog(path) as plain, rasterio.open(plain, "w", **profile) as dataset:
        dataset.write(field.factors.astype(np.float32), 1)
        dataset.write(counts.astype(np.float32), 2)
        dataset.descriptions = ("Factor on canopy heights", counted)
        dataset.update_tags(TIFFTAG_SOFTWARE=f"{SOFTWARE} {__version__}", METHOD=told)


def describe(
    findings: Findings, report: dict[str, Any], made: JudgedFiles, files: JudgedFiles
) -> None:
    """Write style and STAC item of corrected heights."""
    change = Change(
        title=f"Canopy height of {source_name(findings.source)}, "
        + ("corrected" if findings.applied else "unchanged"),
        source=(findings.source, findings.footprints.path),
        method=MethodReference(
            name="correction by space lidar footprints",
            lineage=lineage(findings),
            source_title=BEFORE,
            details=details_of(report),
        ),
        style=made.style,
        preview=made.preview,
        interval=interval_of(made.map, BY_FOOTPRINTS if findings.applied else ""),
    )
    item = describe_changed(made.map, files.item, change)
    if item is None or made.item is None:
        return
    shots = {"name": "footprints", "description": "Footprints that count at the place"}
    tell_companions(item, made, "Footprints of space lidar", findings.field.grid, shots)
    write_item(item, made.item)


def tell_companions(
    item: pystac.Item, made: CorrectedFiles, origin: str, grid: Grid, counted: dict[str, str]
) -> None:
    """Tell in an item of its second source, its picture and its factor field.

    Args:
        item: of a corrected map.
        made: its files, where they wait.
        origin: what the second source is.
        grid: of the factor field.
        counted: second band of the field.
    """
    item.get_links(pystac.RelType.DERIVED_FROM)[1].title = origin
    if made.preview:
        item.assets["preview"].title = "Map before and after"
    add_field(item, made.field, grid, counted)


def details_of(report: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of a correction for the properties of an item."""
    aside = report["kept_aside"]
    return {
        "correction_applied": report["applied"],
        "correction_reason": report["reason"],
        "correction_footprints": report["shots"]["used"],
        "correction_factors": [report["field"][name] for name in ("least", "median", "greatest")],
        "correction_kept_aside": aside
        and {"shots": aside["shots"], "before": aside["before"], "after": aside["after"]},
    }


def add_field(item: pystac.Item, path: Path, grid: Grid, counted: dict[str, str]) -> None:
    """Add the factor field to an item that stands beside it; `counted` is its second band."""
    asset = pystac.Asset(
        f"./{path.name}",
        title="Factors on canopy heights",
        media_type=pystac.MediaType.COG,
        roles=["data"],
        extra_fields={
            "bands": [
                {"name": "factor", "data_type": "float32",
                 "description": "What heights were multiplied by"},
                counted | {"data_type": "float32"},
            ],
            "proj:shape": list(grid.shape),
            "proj:transform": list(grid.transform)[:6],
            "proj:bbox": list(grid.bounds),
        },
    )  # fmt: skip
    item.add_asset(FIELD_ASSET, asset)
    FileExtension.ext(asset, add_if_missing=True).apply(
        size=path.stat().st_size, checksum=multihash_sha256(path)
    )


def interval_of(path: Path, since: str = UNCHECKED) -> IntervalFacts | None:
    """Return what is told of the intervals of a map; None for heights alone.

    Args:
        path: the map.
        since: what was done to them after the calibration; empty for nothing.
    """
    with rasterio.open(path) as dataset:
        level = interval_level(dataset)
        if level is None:
            return None
        rests_on = dataset.tags().get("INTERVAL_CALIBRATION", "as the map before")
        return IntervalFacts(
            level=level,
            lower=summary_of(dataset, 2),
            upper=summary_of(dataset, 3),
            calibration=f"{rests_on}; {since}" if since else rests_on,
        )
