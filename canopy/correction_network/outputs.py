"""What a correction by a network leaves behind: map, factors, style, item, report and pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - fields of a dataclass
from typing import TYPE_CHECKING, Any

import pystac
import rasterio

from canopy.correction.applying import apply_factor_field
from canopy.correction.outputs import (
    SOFTWARE,
    add_field,
    interval_of,
    summary_of,
    write_factors,
)
from canopy.correction.pictures import draw_preview
from canopy.correction_network.pictures import draw_factors
from canopy.version import __version__
from geo.acquisition import acquisition_from_tags
from geo.cog import plain_then_cog
from geo.grid import Grid
from geo.ground import ground_pixel_m
from geo.hrefs import source_name
from geo.lidar.chm_files import working_folder
from geo.map_facts import HeightMapFacts, MethodReference
from geo.outputs import refuse_collisions, refuse_raster
from geo.stac_item import describe_height_map, write_item
from geo.style import display_maximum, write_qml

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from canopy.correction_network.seeing import Seen
    from canopy.correction_network.settings import ByModelSettings

COUNTED = {"name": "predictions", "description": "Predictions that count at the place"}


@dataclass(frozen=True, kw_only=True)
class ByModelFiles:
    """Where the files of a correction will stand.

    Attributes:
        map: corrected heights, a COG.
        field: the factor field, a COG; the predictions that count are its second band.
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


def plan_by_model(
    output: Path, sources: Sequence[Path | str], settings: ByModelSettings
) -> ByModelFiles:
    """Decide where the files will stand, and that they may.

    Raises:
        OutputError: one may not be written.
    """
    refuse_raster(output, "a corrected map")
    files = ByModelFiles(
        map=output,
        field=output.with_suffix(".factor.tif"),
        style=output.with_suffix(".qml"),
        report=output.with_suffix(".report.json"),
        factors=output.with_suffix(".factor.png"),
        preview=output.with_suffix(".preview.png") if settings.preview else None,
        item=output.with_suffix(".json") if settings.stac else None,
    )
    refuse_collisions(files.all, sources, overwrite=settings.overwrite)
    return files


def write_by_model(
    seen: Seen,
    sources: tuple[Path, str],
    files: ByModelFiles,
    report: dict[str, Any],
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Make all files in a working folder, then put them in place.

    Args:
        seen: the field.
        sources: the map and its imagery.
        files: where they will stand.
        report: what is told of it.
        progress: told how many parts of the map are done.

    Returns:
        How many pixels of the map have another stored value.

    Raises:
        MapFileError: a file cannot be written.
    """
    heights, _ = sources
    lineage = seen.lineage(source_name(heights))
    with working_folder(files.map) as folder:
        made = ByModelFiles(
            **{name: path and folder / path.name for name, path in vars(files).items()}
        )
        with plain_then_cog(made.map) as plain:
            changed = apply_factor_field(
                heights, seen.field, plain, keep_below_m=seen.settings.keep_below_m,
                tags={"CORRECTION": lineage}, progress=progress,
            )  # fmt: skip
        write_factors(made.field, seen.field, seen.counts, COUNTED["description"], lineage)
        text = json.dumps(report | {"pixels_changed": changed}, indent=2)
        made.report.write_text(text + "\n", encoding="utf-8")
        draw_factors(seen, heights.name, made.factors)
        if made.preview:
            draw_preview(heights, made.map, made.preview)
        describe(seen, sources, made, files)
        for path in files.all:
            (folder / path.name).replace(path)
    return changed


def describe(
    seen: Seen, sources: tuple[Path, str], made: ByModelFiles, files: ByModelFiles
) -> None:
    """Write style and STAC item of corrected heights."""
    with rasterio.open(made.map) as dataset:
        heights, interval = summary_of(dataset, 1), interval_of(dataset)
        grid = Grid(
            crs=dataset.crs, transform=dataset.transform,
            height=dataset.height, width=dataset.width,
        )  # fmt: skip
        acquired = acquisition_from_tags(dataset.tags())
    top = display_maximum(heights.percentiles_m[98])
    write_qml(made.style, top)
    if made.item is None or files.item is None:
        return
    name = source_name(sources[0])
    facts = HeightMapFacts(
        item_id=files.map.stem,
        title=f"Canopy height of {name}, " + ("corrected" if seen.applied else "unchanged"),
        source=sources,
        method=MethodReference(
            name="correction by a network that learned from space lidar",
            lineage=seen.lineage(name),
            source_title="Canopy heights before the correction",
            details=seen.details,
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
    item.get_links(pystac.RelType.DERIVED_FROM)[1].title = "Imagery that the network saw"
    if made.preview:
        item.assets["preview"].title = "Map before and after"
    add_field(item, made.field, seen.field.grid, COUNTED)
    write_item(item, made.item)
