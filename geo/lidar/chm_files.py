"""What a canopy height model leaves behind: COG, style, density and STAC item, all or none."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - a field of a dataclass
from pathlib import Path  # noqa: TC003 - likewise
from typing import TYPE_CHECKING

from geo.ground import ground_pixel_m
from geo.height_maps.cog import check_cog, write_cog
from geo.height_maps.encoding import Encoding, find_encoding
from geo.height_maps.height_statistics import summarise_heights
from geo.height_maps.map_facts import (
    AcquisitionInterval,
    HeightMapFacts,
    HeightSummary,
    MethodReference,
)
from geo.height_maps.partial_map import locked, partial_folder
from geo.height_maps.raw_raster import BandFacts, RawRaster
from geo.height_maps.stac_item import describe_height_map, write_item
from geo.height_maps.style import display_maximum, write_qml
from geo.hrefs import source_name
from geo.outputs import put_in_place, refuse_collisions, refuse_raster, staged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geo.grid import Grid
    from geo.lidar.settings import ChmSettings

SOFTWARE = "canopy-height"
STRIP_PX = 512
NAMED_SOURCES = 8
"""Sources named in the tags of the file; the STAC item links them all."""

DENSITY = Encoding(name="density", dtype="float32", scale=1.0, step=1 / 64, nodata=float("nan"))


@dataclass(frozen=True, kw_only=True)
class ChmFiles:
    """Where the files of a canopy height model will stand.

    Attributes:
        chm: the COG.
        style: the QGIS style.
        density: points per square metre, a COG too, or None.
        item: the STAC item, or None.
    """

    chm: Path
    style: Path
    density: Path | None
    item: Path | None

    @property
    def all(self) -> list[Path]:
        """All of them, the model last: where it stands, the others do too."""
        return [path for path in (self.style, self.density, self.item, self.chm) if path]


@dataclass(frozen=True, kw_only=True)
class ChmRasters:
    """Finished rows on disk.

    Attributes:
        heights: stored heights.
        density: points per square metre, or None.
    """

    heights: RawRaster
    density: RawRaster | None


@dataclass(frozen=True, kw_only=True)
class ChmOrigin:
    """Where heights come from.

    Attributes:
        sources: files that were read.
        method: how heights were made, in words and numbers.
        acquired: when the survey was flown; None where that is unknown.
        processed: when the model was made.
    """

    sources: Sequence[Path]
    method: MethodReference
    acquired: AcquisitionInterval | None
    processed: datetime


def plan_chm_files(output: Path, sources: Sequence[Path], settings: ChmSettings) -> ChmFiles:
    """Decide where the files of a canopy height model will stand, and that they may.

    Raises:
        OutputError: one would replace a source, or what may not be overwritten; or there is no
            folder for them.
    """
    refuse_raster(output, "a canopy height model")
    files = ChmFiles(
        chm=output,
        style=output.with_suffix(".qml"),
        density=output.with_suffix(".density.tif") if settings.density else None,
        item=output.with_suffix(".json") if settings.stac else None,
    )
    refuse_collisions(files.all, sources, overwrite=settings.overwrite)
    return files


@contextmanager
def working_folder(output: Path) -> Iterator[Path]:
    """Lend an empty folder beside an output, and remove it however the block ends.

    Raises:
        MapFileError: it cannot be made, or another run is writing the same output.
    """
    folder = partial_folder(output)
    with locked(folder, output):
        try:
            work = folder / "chm"
            shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
            work.mkdir()
            yield work
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def new_rasters(folder: Path, grid: Grid, settings: ChmSettings) -> ChmRasters:
    """Describe rasters whose rows are to be written."""
    encoding = find_encoding(settings.encoding)
    density = RawRaster(folder / "density", grid, DENSITY.dtype) if settings.density else None
    return ChmRasters(heights=RawRaster(folder / "heights", grid, encoding.dtype), density=density)


def finish(
    rasters: ChmRasters, files: ChmFiles, origin: ChmOrigin, settings: ChmSettings, folder: Path
) -> HeightSummary:
    """Make all files in a working folder, then put them in place.

    Returns:
        The statistics of the heights.

    Raises:
        MapFileError: a file cannot be written.
    """
    made, raster = staged(files, folder), rasters.heights
    encoding = find_encoding(settings.encoding)
    rows = raster.grid.height
    strips = (raster.read(row, min(STRIP_PX, rows - row)) for row in range(0, rows, STRIP_PX))
    heights = summarise_heights(strips, encoding)
    write_raster(raster, height_facts(encoding, origin, settings), made.chm)
    if rasters.density and made.density:
        write_raster(rasters.density, density_facts(origin, settings), made.density)
    write_qml(made.style, display_maximum(heights.percentiles_m[98]))
    if made.item and files.item:
        facts = item_facts(made, raster.grid, origin, heights, settings)
        write_item(describe_height_map(made.chm, facts, files.item), made.item)
    put_in_place(folder, files.all)
    return heights


def write_raster(raster: RawRaster, facts: BandFacts, path: Path) -> None:
    """Write rows as a COG and check it.

    Raises:
        MapFileError: it cannot be written, or is no valid COG.
    """
    write_cog(raster.describe(facts), path)
    check_cog(path)


def height_facts(encoding: Encoding, origin: ChmOrigin, settings: ChmSettings) -> BandFacts:
    """Return what the file of a canopy height model says of itself."""
    return BandFacts(
        nodata=encoding.nodata,
        scale=encoding.scale,
        description="Canopy height",
        unit="m",
        tags=file_tags("Canopy height [m]", origin, settings) | {"METHOD": origin.method.lineage},
    )


def density_facts(origin: ChmOrigin, settings: ChmSettings) -> BandFacts:
    """Return what the file of point densities says of itself."""
    return BandFacts(
        nodata=DENSITY.nodata,
        scale=DENSITY.scale,
        description="Points per square metre",
        unit="1/m2",
        tags=file_tags("Lidar points per square metre", origin, settings),
    )


def file_tags(description: str, origin: ChmOrigin, settings: ChmSettings) -> dict[str, str]:
    """Return the tags that all files have."""
    names = [source_name(path) for path in origin.sources]
    more = len(names) - NAMED_SOURCES
    return {
        "AREA_OR_POINT": "Area",
        "TIFFTAG_SOFTWARE": f"{SOFTWARE} {settings.software_version}",
        "TIFFTAG_IMAGEDESCRIPTION": description,
        "SOURCE": ", ".join(names[:NAMED_SOURCES]) + (f" and {more} more" if more > 0 else ""),
    }


def item_facts(
    made: ChmFiles, grid: Grid, origin: ChmOrigin, heights: HeightSummary, settings: ChmSettings
) -> HeightMapFacts:
    """Return what the STAC item tells beside the file."""
    first, more = origin.sources[0], len(origin.sources) - 1
    across, down = ground_pixel_m(grid)
    return HeightMapFacts(
        item_id=made.chm.stem,
        title=f"Canopy height of {first.name}{f' and {more} more' if more else ''}",
        source=tuple(origin.sources),
        method=origin.method,
        software=SOFTWARE,
        software_version=settings.software_version,
        processed=origin.processed,
        pixel_m=(across + down) / 2,
        heights=heights,
        display_maximum_m=display_maximum(heights.percentiles_m[98]),
        acquired=origin.acquired,
        style=made.style,
        density=made.density,
        staged_in=made.chm.parent,
    )
