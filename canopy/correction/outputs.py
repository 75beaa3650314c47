"""What a correction leaves behind: map, factor field, style, item, report and pictures, or none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - fields of a dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pystac
import rasterio
from pystac.extensions.file import FileExtension
from rasterio.windows import Window

from canopy.correction.applying import apply_factor_field
from canopy.correction.pictures import draw_field, draw_preview, draw_scatter
from canopy.correction.report import as_json, as_markdown
from canopy.evaluation.height_source import interval_level
from canopy.version import __version__
from geo.acquisition import acquisition_from_tags
from geo.cog import plain_then_cog
from geo.encoding import find_encoding
from geo.grid import Grid
from geo.ground import ground_pixel_m
from geo.height_statistics import summarise_heights
from geo.hrefs import source_name
from geo.lidar.chm_files import working_folder
from geo.map_facts import HeightMapFacts, HeightSummary, IntervalFacts, MethodReference
from geo.outputs import refuse_collisions, refuse_raster
from geo.stac_item import describe_height_map, multihash_sha256, write_item
from geo.style import display_maximum, write_qml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rasterio.io import DatasetReader

    from canopy.correction.applying import FactorField
    from canopy.correction.report import Findings
    from canopy.correction.settings import CorrectionSettings
    from geo.raster import Pixels

SOFTWARE = "canopy-height"
STRIP_PX = 512
FIELD_ASSET = "factor_field"


@dataclass(frozen=True, kw_only=True)
class CorrectedFiles:
    """Where the files of a correction will stand.

    Attributes:
        map: corrected heights, a COG.
        field: the factor field, a COG; the shots that count are its second band.
        style: the QGIS style.
        report: the report as JSON.
        words: the report as Markdown.
        scatter: picture of footprints against the map, before and after.
        factors: picture of the factor field with its shots.
        preview: picture of the map, before and after, or None.
        item: the STAC item, or None.
    """

    map: Path
    field: Path
    style: Path
    report: Path
    words: Path
    scatter: Path
    factors: Path
    preview: Path | None
    item: Path | None

    @property
    def all(self) -> list[Path]:
        """All of them, the map last: where it stands, the others do too."""
        named = [path for name, path in vars(self).items() if path and name != "map"]
        return [*named, self.map]


def plan_corrected(
    output: Path, sources: Sequence[Path], settings: CorrectionSettings
) -> CorrectedFiles:
    """Decide where the files of a correction will stand, and that they may.

    Raises:
        OutputError: one may not be written.
    """
    refuse_raster(output, "a corrected map")
    files = CorrectedFiles(
        map=output,
        field=output.with_suffix(".factor.tif"),
        style=output.with_suffix(".qml"),
        report=output.with_suffix(".report.json"),
        words=output.with_suffix(".report.md"),
        scatter=output.with_suffix(".scatter.png"),
        factors=output.with_suffix(".factor.png"),
        preview=output.with_suffix(".preview.png") if settings.preview else None,
        item=output.with_suffix(".json") if settings.stac else None,
    )
    refuse_collisions(files.all, sources, overwrite=settings.overwrite)
    return files


def write_corrected(
    findings: Findings,
    files: CorrectedFiles,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Make all files in a working folder, then put them in place.

    Returns:
        The report as JSON values.

    Raises:
        MapFileError: a file cannot be written.
    """
    with working_folder(files.map) as folder:
        made = CorrectedFiles(
            **{name: path and folder / path.name for name, path in vars(files).items()}
        )
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
        for path in files.all:
            (folder / path.name).replace(path)
    return report


def write_report(findings: Findings, report: dict[str, Any], made: CorrectedFiles) -> None:
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
    findings: Findings, report: dict[str, Any], made: CorrectedFiles, files: CorrectedFiles
) -> None:
    """Write style and STAC item of corrected heights."""
    with rasterio.open(made.map) as dataset:
        heights = summary_of(dataset, 1)
        interval = interval_of(dataset)
        grid = Grid(
            crs=dataset.crs, transform=dataset.transform,
            height=dataset.height, width=dataset.width,
        )  # fmt: skip
        acquired = acquisition_from_tags(dataset.tags())
    top = display_maximum(heights.percentiles_m[98])
    write_qml(made.style, top)
    if made.item is None or files.item is None:
        return
    facts = HeightMapFacts(
        item_id=files.map.stem,
        title=f"Canopy height of {source_name(findings.source)}, "
        + ("corrected" if findings.applied else "unchanged"),
        source=(findings.source, findings.footprints.path),
        method=MethodReference(
            name="correction by space lidar footprints",
            lineage=lineage(findings),
            source_title="Canopy heights before the correction",
            details=details_of(report),
        ),
        software=SOFTWARE,
        software_version=__version__,
        processed=datetime.now(UTC),
        pixel_m=sum(ground_pixel_m(grid)) / 2,
        heights=heights,
        display_maximum_m=top,
        interval=interval,
        acquired=acquired,
        preview=made.preview,
        style=made.style,
        staged_in=made.map.parent,
    )
    item = describe_height_map(made.map, facts, files.item)
    item.get_links(pystac.RelType.DERIVED_FROM)[1].title = "Footprints of space lidar"
    if made.preview:
        item.assets["preview"].title = "Map before and after"
    shots = {"name": "footprints", "description": "Footprints that count at the place"}
    add_field(item, made.field, findings.field.grid, shots)
    write_item(item, made.item)


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


def interval_of(dataset: DatasetReader) -> IntervalFacts | None:
    """Return what is told of the intervals of a map; None for heights alone."""
    level = interval_level(dataset)
    if level is None:
        return None
    rests_on = dataset.tags().get("INTERVAL_CALIBRATION", "as the map before")
    return IntervalFacts(
        level=level,
        lower=summary_of(dataset, 2),
        upper=summary_of(dataset, 3),
        calibration=f"{rests_on}; scaled with the heights since, their coverage not checked again",
    )


def summary_of(dataset: DatasetReader, band: int) -> HeightSummary:
    """Return the statistics of a band, to 1/64 m."""
    return summarise_heights(encoded_strips(dataset, band), find_encoding("float32"))


def encoded_strips(dataset: DatasetReader, band: int) -> Iterator[Pixels]:
    """Yield heights as maps keep them in float32: metres to 1/64 m, NaN where there is none."""
    encoding = find_encoding("float32")
    for row in range(0, dataset.height, STRIP_PX):
        window = Window(0, row, dataset.width, min(STRIP_PX, dataset.height - row))
        stored = dataset.read(band, window=window, masked=True)
        metres = stored.filled(0).astype(np.float32) * np.float32(dataset.scales[band - 1])
        metres += np.float32(dataset.offsets[band - 1])
        known = ~np.ma.getmaskarray(stored) & np.isfinite(metres)
        yield encoding.encode(np.where(known, metres, np.float32(np.nan)))
