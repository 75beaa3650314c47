"""What a correction by a network leaves behind: map, factors, style, item, report and pictures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from canopy.changed_heights import Change, describe_changed
from canopy.correction.applying import apply_factor_field
from canopy.correction.outputs import (
    BEFORE,
    CorrectedFiles,
    interval_of,
    places_of,
    tell_companions,
    write_factors,
)
from canopy.correction.pictures import draw_preview
from canopy.correction_network.pictures import draw_factors
from geo.height_maps.cog import plain_then_cog
from geo.height_maps.map_facts import MethodReference
from geo.height_maps.stac_item import write_item
from geo.hrefs import source_name
from geo.lidar.chm_files import working_folder
from geo.outputs import put_in_place, refuse_collisions, staged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from canopy.correction_network.seeing import Seen
    from canopy.correction_network.settings import ByModelSettings

COUNTED = {"name": "predictions", "description": "Predictions that count at the place"}


def plan_by_model(
    output: Path, sources: Sequence[Path | str], settings: ByModelSettings
) -> CorrectedFiles:
    """Decide where the files will stand, and that they may.

    Raises:
        OutputError: one may not be written.
    """
    files = CorrectedFiles(**places_of(output, settings))
    refuse_collisions(files.all, sources, overwrite=settings.overwrite)
    return files


def write_by_model(
    seen: Seen,
    sources: tuple[Path, str],
    files: CorrectedFiles,
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
        made = staged(files, folder)
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
        put_in_place(folder, files.all)
    return changed


def describe(
    seen: Seen, sources: tuple[Path, str], made: CorrectedFiles, files: CorrectedFiles
) -> None:
    """Write style and STAC item of corrected heights."""
    name = source_name(sources[0])
    change = Change(
        title=f"Canopy height of {name}, " + ("corrected" if seen.applied else "unchanged"),
        source=sources,
        method=MethodReference(
            name="correction by a network that learned from space lidar",
            lineage=seen.lineage(name),
            source_title=BEFORE,
            details=seen.details,
        ),
        style=made.style,
        preview=made.preview,
        interval=interval_of(made.map),
    )
    item = describe_changed(made.map, files.item, change)
    if item and made.item:
        tell_companions(item, made, "Imagery that the network saw", seen.field.grid, COUNTED)
        write_item(item, made.item)
