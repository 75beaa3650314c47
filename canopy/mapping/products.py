"""What a finished map leaves behind: COG, style, preview and STAC item, all or none."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import rasterio
from rasterio.enums import Resampling

from canopy.version import SOFTWARE, __version__
from geo.acquisition import Acquisition, acquisition_from_tags
from geo.ground import ground_pixel_m
from geo.height_maps.cog import check_cog, write_cog
from geo.height_maps.encoding import find_encoding
from geo.height_maps.height_statistics import summarise_heights
from geo.height_maps.map_facts import HeightMapFacts, HeightSummary, IntervalFacts, ModelReference
from geo.height_maps.partial_map import partial_folder
from geo.height_maps.raw_raster import BandFacts, RawRaster
from geo.height_maps.regrid import regrid
from geo.height_maps.stac_item import describe_height_map, write_item
from geo.height_maps.style import display_maximum, write_qml
from geo.hrefs import source_name
from geo.outputs import put_in_place, refuse_collisions, refuse_raster, staged
from geo.scene_reader import read_on

if TYPE_CHECKING:
    import pystac

    from canopy.height_models.height_model import HeightModel
    from canopy.intervals import Calibration, HeightInterval
    from canopy.mapping.plan import MapPlan
    from canopy.mapping.settings import MapSettings
    from geo.grid import Grid
    from geo.height_maps.encoding import Encoding
    from geo.height_maps.partial_map import PartialMap
    from geo.raster import Mask, Pixels

DESCRIPTION = "Canopy height"
UNIT = "m"
STRIP_PX = 512
PREVIEW_PX = 900
"""Longest side of the image and of the map in a preview [px]."""
LARGE_SCENE_PX = 64 << 20
"""Pixels of a scene beyond which its picture takes every so many, not their mean."""


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
        draw_preview(made, plan, f"{model.card.name} {model.card.version}{by}", top)
    if made.item and outputs.item:
        item = item_of(made, outputs.item, plan, model, statistics, top)
        if corrected and made.factors:
            corrected.tell(item, made.factors)
        write_item(item, made.item)
    put_in_place(partial.folder, outputs.files)
    return statistics


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


def draw_preview(made: Outputs, plan: MapPlan, model: str, top: float) -> None:
    """Draw the scene beside the map, each as fine as it is and a picture can show."""
    from canopy.preview import Picture, write_preview  # noqa: PLC0415 - a slow import, not always needed

    heights_m, grid = preview_heights(made.map, plan)
    image, valid = preview_image(plan)
    picture = Picture(
        image=image.transpose(1, 2, 0),
        image_valid=valid,
        heights_m=heights_m,
        pixel_m=ground_pixel_m(grid),
        north_up=grid.is_north_up and grid.crs is not None,
        title=f"Canopy height of {Path(source_name(plan.scene.source)).name}",
        model=model,
        source=source_name(plan.scene.source),
        maximum_m=top,
    )
    write_preview(made.preview or made.map.with_suffix(".png"), picture)


def preview_heights(map_path: Path, plan: MapPlan) -> tuple[Pixels, Grid]:
    """Return heights [m] (rows, columns), NaN where there is none, and the grid they are on."""
    grid = scaled(plan.out_grid, min(1.0, PREVIEW_PX / max(plan.out_grid.shape)))
    with rasterio.open(map_path) as dataset:
        stored = dataset.read(1, out_shape=grid.shape, resampling=Resampling.average)
    return plan.encoding.decode(stored), grid


def preview_image(plan: MapPlan) -> tuple[Pixels, Mask]:
    """Return the scene over the map's ground: (3, rows, columns) uint8, and where it has data."""
    scene = plan.scene
    finer = max(1.0, plan.pixel_m / scene.gsd_m)
    grid = scaled(plan.out_grid, min(finer, PREVIEW_PX / max(plan.out_grid.shape)))
    # The map ends on whole pixels of its own: some of the finer ones lie beyond the scene.
    inside = grid
    if scene.grid.shares_axes_with(grid):
        height, width = (
            min(count, math.ceil(length * side / pixel - 1e-6))
            for count, length, side, pixel in zip(
                grid.shape,
                scene.grid.shape,
                reversed(scene.grid.pixel_size),
                reversed(grid.pixel_size),
                strict=True,
            )
        )
        inside = grid.part(0, 0, height, width)
    # A mean reads every pixel of the scene again, which a picture of a large one is not worth.
    large = scene.grid.height * scene.grid.width > LARGE_SCENE_PX
    with read_on(scene, inside, Resampling.nearest if large else None) as reader:
        image = reader.read(0, inside.height)
    pixels = image.pixels
    if plan.stretch:
        pixels = np.rint(255 * np.clip(plan.stretch.apply(pixels), 0, 1)).astype(np.uint8)
    beyond = ((0, grid.height - inside.height), (0, grid.width - inside.width))
    return np.pad(pixels, ((0, 0), *beyond), mode="edge"), np.pad(image.valid, beyond, mode="edge")


def scaled(grid: Grid, factor: float) -> Grid:
    """Return the grid of the same ground with a factor of the pixels a side."""
    height, width = (max(1, round(length * factor)) for length in grid.shape)
    return grid.scaled_to(height, width)


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
