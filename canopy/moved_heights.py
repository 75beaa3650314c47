"""What a registration leaves behind: moved heights as a COG, their style and their STAC item."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - fields of a dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from rasterio.windows import Window

from canopy.version import __version__
from geo.acquisition import acquisition_from_tags
from geo.bent_raster import write_bent
from geo.encoding import find_encoding
from geo.grid import Grid
from geo.ground import ground_pixel_m
from geo.height_statistics import summarise_heights
from geo.hrefs import source_name
from geo.lidar.chm_files import working_folder
from geo.map_facts import HeightMapFacts, MethodReference
from geo.moved_raster import write_moved
from geo.outputs import refuse_collisions, refuse_raster
from geo.stac_item import describe_height_map, write_item
from geo.style import display_maximum, write_qml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rasterio.crs import CRS
    from rasterio.io import DatasetReader

    from geo.local_registration import LocalRegistration
    from geo.raster import Pixels
    from geo.registration import Registration

SOFTWARE = "canopy-height"
STRIP_PX = 512


@dataclass(frozen=True, kw_only=True)
class MovedFiles:
    """Where moved heights and their companions will stand.

    Attributes:
        heights: the COG.
        style: the QGIS style.
        item: the STAC item, or None.
    """

    heights: Path
    style: Path
    item: Path | None

    @property
    def all(self) -> list[Path]:
        """All of them, the heights last: where they stand, the others do too."""
        return [path for path in (self.style, self.item, self.heights) if path]


@dataclass(frozen=True, kw_only=True)
class Move:
    """How heights are moved.

    Attributes:
        image: what they are moved to fit.
        heights: what is moved.
        crs: of the shifts, in metres.
        found: the one shift for all.
        local: the field of shifts that is followed instead; None where the one is.
    """

    image: Path
    heights: Path
    crs: CRS
    found: Registration
    local: LocalRegistration | None

    @property
    def words(self) -> str:
        """What is done, in a sentence."""
        name, found = source_name(self.image), self.found
        if self.local is None:
            return (
                f"moved {found.east_m:.3f} m east and {found.north_m:.3f} m north to fit {name}, "
                f"spread {found.spread_m:.2f} m"
            )
        (west, east), (south, north) = self.local.east_m, self.local.north_m
        return (
            f"moved {west:.2f} to {east:.2f} m east and {south:.2f} to {north:.2f} m north, "
            f"smoothly by place, to fit {name}, from {self.local.agreeing} windows"
        )

    @property
    def details(self) -> dict[str, Any]:
        """The shift for the properties of an item, in metres."""
        found, local = self.found, self.local
        details: dict[str, Any] = {
            "registered_to": source_name(self.image),
            "shift_crs": self.crs.to_string(),
        }
        if local is None:
            return details | {
                "shift_m": [round(found.east_m, 3), round(found.north_m, 3)],
                "shift_spread_m": round(found.spread_m, 3),
            }
        return details | {
            "shift_m": [round(shift, 3) for shift in local.field.base],
            "local_shift_east_m": [round(end, 3) for end in local.east_m],
            "local_shift_north_m": [round(end, 3) for end in local.north_m],
            "local_windows": local.agreeing,
        }


def plan_moved(output: Path, sources: Sequence[Path], *, stac: bool, overwrite: bool) -> MovedFiles:
    """Decide where moved heights and their companions will stand, and that they may.

    Raises:
        OutputError: one may not be written.
    """
    refuse_raster(output, "a canopy height model")
    files = MovedFiles(
        heights=output,
        style=output.with_suffix(".qml"),
        item=output.with_suffix(".json") if stac else None,
    )
    refuse_collisions(files.all, sources, overwrite=overwrite)
    return files


def write_moved_heights(move: Move, files: MovedFiles) -> None:
    """Make all files in a working folder, then put them in place.

    Raises:
        MapFileError: a file cannot be written.
    """
    tags = {"REGISTRATION": move.words}
    with working_folder(files.heights) as folder:
        made = MovedFiles(
            **{name: path and folder / path.name for name, path in vars(files).items()}
        )
        if move.local is None:
            shift = (move.found.east_m, move.found.north_m)
            write_moved(move.heights, made.heights, shift, move.crs, tags)
        else:
            write_bent(move.heights, made.heights, move.local.field, move.crs, tags)
        describe(move, made, files)
        for path in files.all:
            (folder / path.name).replace(path)


def describe(move: Move, made: MovedFiles, files: MovedFiles) -> None:
    """Write style and STAC item of moved heights."""
    with rasterio.open(made.heights) as dataset:
        summary = summarise_heights(encoded_strips(dataset), find_encoding("float32"))
        grid = Grid(
            crs=dataset.crs,
            transform=dataset.transform,
            height=dataset.height,
            width=dataset.width,
        )
        acquired = acquisition_from_tags(dataset.tags())
    top = display_maximum(summary.percentiles_m[98])
    write_qml(made.style, top)
    if made.item is None or files.item is None:
        return
    name = source_name(move.heights)
    facts = HeightMapFacts(
        item_id=files.heights.stem,
        title=f"Canopy height of {name}, registered",
        source=move.heights,
        method=MethodReference(
            name="registration to imagery",
            lineage=f"Canopy heights of {name}, {move.words}",
            source_title="Canopy heights before they were moved",
            details=move.details,
        ),
        software=SOFTWARE,
        software_version=__version__,
        processed=datetime.now(UTC),
        pixel_m=sum(ground_pixel_m(grid)) / 2,
        heights=summary,
        display_maximum_m=top,
        acquired=acquired,
        style=made.style,
        staged_in=made.heights.parent,
    )
    write_item(describe_height_map(made.heights, facts, files.item), made.item)


def encoded_strips(dataset: DatasetReader) -> Iterator[Pixels]:
    """Yield heights as maps keep them in float32: metres to 1/64 m, NaN where there is none."""
    encoding = find_encoding("float32")
    for row in range(0, dataset.height, STRIP_PX):
        window = Window(0, row, dataset.width, min(STRIP_PX, dataset.height - row))
        stored = dataset.read(1, window=window, masked=True)
        metres = stored.filled(0).astype(np.float32) * dataset.scales[0] + dataset.offsets[0]
        known = ~np.ma.getmaskarray(stored) & np.isfinite(metres)
        yield encoding.encode(np.where(known, metres, np.float32(np.nan)).astype(np.float32))
