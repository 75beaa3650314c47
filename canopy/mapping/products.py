"""What a finished map leaves behind: COG, style, preview and STAC item, all or none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from canopy.mapping.facts import band_facts, interval_facts, model_reference, summary_of
from canopy.mapping.picture import draw_preview
from canopy.version import SOFTWARE, __version__
from geo.acquisition import Acquisition, acquisition_from_tags
from geo.height_maps.cog import check_cog, write_cog
from geo.height_maps.map_facts import HeightMapFacts, HeightSummary, IntervalFacts
from geo.height_maps.partial_map import partial_folder
from geo.height_maps.raw_raster import BandFacts, RawRaster
from geo.height_maps.regrid import regrid
from geo.height_maps.stac_item import describe_height_map, write_item
from geo.height_maps.style import display_maximum, write_qml
from geo.outputs import put_in_place, refuse_collisions, refuse_raster, staged
from geo.scene_reader import read_on

if TYPE_CHECKING:
    import pystac

    from canopy.height_models.height_model import HeightModel
    from canopy.mapping.plan import MapPlan
    from canopy.mapping.settings import MapSettings
    from geo.height_maps.partial_map import PartialMap
    from geo.raster import Mask


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where the files of a map will stand.

    Attributes:
        map: the COG.
        style: the QGIS style.
        preview: the picture, or None.
        item: the STAC item, or None.
        factors: what a correction multiplied heights by, or None.
    """

    map: Path
    style: Path
    preview: Path | None
    item: Path | None
    factors: Path | None = None

    @property
    def files(self) -> list[Path]:
        """All of them, the map last: where it stands, the others do too."""
        named = (self.style, self.preview, self.item, self.factors, self.map)
        return [path for path in named if path]


class CorrectedRows(Protocol):
    """Rows of a map that a correction has changed."""

    @property
    def raster(self) -> RawRaster:
        """The rows, on the grid and in the encoding of the map."""

    @property
    def lineage(self) -> str:
        """What was done to them, in a sentence."""

    @property
    def details(self) -> dict[str, Any]:
        """Numbers of it, as JSON values."""

    def write_factors(self, path: Path) -> None:
        """Write what heights were multiplied by as a COG."""

    def tell(self, item: pystac.Item, factors: Path) -> None:
        """Add to an item what was done, and the file of factors beside it."""


class HeightCorrection(Protocol):
    """What changes the heights of a finished map before it becomes files."""

    @property
    def title(self) -> str:
        """Its name and version."""

    def check(self, plan: MapPlan) -> None:
        """Refuse, before anything is mapped, a plan whose map it cannot correct."""

    def apply(self, raster: RawRaster, plan: MapPlan, facts: BandFacts) -> CorrectedRows:
        """Return the rows of a map, described by facts, corrected."""


def plan_outputs(
    output: Path, source: str, settings: MapSettings, *, corrected: bool = False
) -> Outputs:
    """Decide where the files of a map will stand, and that they may.

    Args:
        output: where the map will stand.
        source: the scene, which must not be written over.
        settings: what the user chose.
        corrected: whether the map is corrected, which adds a file of factors.

    Raises:
        OutputError: one would replace the scene, or what may not be overwritten; or the folder
            is missing.
    """
    outputs = Outputs(
        map=output,
        style=output.with_suffix(".qml"),
        preview=output.with_suffix(".preview.png") if settings.preview else None,
        item=output.with_suffix(".json") if settings.stac else None,
        factors=output.with_suffix(".factor.tif") if corrected else None,
    )
    refuse_raster(output, "a map")
    # A run that was killed while its files were put in place has left some of them.
    resumes = settings.resume and partial_folder(output).exists()
    refuse_collisions(
        [output] if resumes else outputs.files, [source], overwrite=settings.overwrite
    )
    return outputs


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What the bands of a map hold.

    Attributes:
        heights: the heights.
        interval: their intervals; None for heights alone.
        correction: numbers of their correction; None where there was none.
    """

    heights: HeightSummary
    interval: IntervalFacts | None
    correction: dict[str, Any] | None = None


def write_products(
    partial: PartialMap,
    plan: MapPlan,
    model: HeightModel,
    outputs: Outputs,
    correction: HeightCorrection | None = None,
) -> Statistics:
    """Make all files of a finished map in the folder of the unfinished one, then put them in place.

    Args:
        partial: the rows of the map, as they were predicted.
        plan: how they came to be.
        model: what predicted them.
        outputs: where the files will stand.
        correction: what changes the heights first; None for nothing.

    Returns:
        What the map holds.

    Raises:
        MapFileError: a file cannot be written.
    """
    made = staged(outputs, partial.folder)
    raster, facts = encoded_rows(partial, plan), band_facts(plan, model)
    corrected = correction.apply(raster, plan, facts) if correction else None
    if corrected and made.factors:
        corrected.write_factors(made.factors)
        raster = corrected.raster
        facts = replace(facts, tags={**facts.tags, "CORRECTION": corrected.lineage})
    heights = summary_of(raster, 1, plan)
    statistics = Statistics(
        heights=heights,
        interval=interval_facts(raster, plan),
        correction=corrected.details if corrected else None,
    )
    write_cog(raster.describe(facts), made.map)
    check_cog(made.map)
    top = display_maximum(heights.percentiles_m[98])
    write_qml(made.style, top)
    if made.preview:
        by = f", corrected by {correction.title}" if correction else ""
        draw_preview(made.map, made.preview, plan, f"{model.card.title}{by}", top)
    if made.item and outputs.item:
        item = item_of(made, outputs.item, plan, model, statistics, top)
        if corrected and made.factors:
            corrected.tell(item, made.factors)
        write_item(item, made.item)
    put_in_place(partial.folder, outputs.files)
    return statistics


def encoded_rows(partial: PartialMap, plan: MapPlan) -> RawRaster:
    """Return the rows of the map on its own grid and in its own encoding."""
    if not plan.regrids:
        return partial.raster
    target = RawRaster(partial.folder / "regridded", plan.out_grid, plan.encoding.dtype, plan.bands)
    source = partial.raster.describe(band_facts(plan, None))
    shrink = plan.pixel_m > partial.raster.grid.pixel_size[0]
    if plan.settings.grid != "scene":
        regrid(source, target, plan.encoding, pixels_shrink=shrink)
        return target
    with read_on(plan.scene, plan.out_grid) as reader:

        def valid(row: int, count: int) -> Mask:
            return reader.read(row, count).valid

        regrid(source, target, plan.encoding, pixels_shrink=shrink, valid=valid)
    return target


def acquisition_of(plan: MapPlan) -> Acquisition | None:
    """Return when a scene was taken: as a user says, else as its tags do."""
    if plan.settings.acquired is not None:
        return Acquisition(moment=plan.settings.acquired, evidence="given with the scene")
    return acquisition_from_tags(plan.scene.tags)


def item_of(
    made: Outputs,
    path: Path,
    plan: MapPlan,
    model: HeightModel,
    statistics: Statistics,
    top: float,
) -> pystac.Item:
    """Describe the map as a STAC item whose files all stand beside it."""
    facts = HeightMapFacts(
        item_id=path.stem,
        title=f"Canopy height of {Path(plan.scene.source).stem}",
        source=plan.scene.source,
        model=model_reference(model),
        software=SOFTWARE,
        software_version=__version__,
        processed=datetime.now(UTC),
        pixel_m=plan.pixel_m,
        heights=statistics.heights,
        interval=statistics.interval,
        display_maximum_m=top,
        acquired=acquisition_of(plan),
        preview=made.preview,
        style=made.style,
        staged_in=made.map.parent,
    )
    return describe_height_map(made.map, facts, path)
