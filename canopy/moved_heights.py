"""What a registration leaves behind: moved heights as a COG, their style and their STAC item."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - fields of a dataclass
from typing import TYPE_CHECKING, Any

from canopy.changed_heights import Change, describe_changed
from geo.height_maps.map_facts import MethodReference
from geo.height_maps.stac_item import write_item
from geo.hrefs import source_name
from geo.lidar.chm_files import working_folder
from geo.outputs import put_in_place, refuse_collisions, refuse_raster, staged
from geo.registration.bent_raster import write_bent
from geo.registration.moved_raster import write_moved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rasterio.crs import CRS

    from geo.registration.local_shifts import LocalRegistration
    from geo.registration.single_shift import Registration


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
        made = staged(files, folder)
        if move.local is None:
            shift = (move.found.east_m, move.found.north_m)
            write_moved(move.heights, made.heights, shift, move.crs, tags)
        else:
            write_bent(move.heights, made.heights, move.local.field, move.crs, tags)
        describe(move, made, files)
        put_in_place(folder, files.all)


def describe(move: Move, made: MovedFiles, files: MovedFiles) -> None:
    """Write style and STAC item of moved heights."""
    name = source_name(move.heights)
    change = Change(
        title=f"Canopy height of {name}, registered",
        source=move.heights,
        method=MethodReference(
            name="registration to imagery",
            lineage=f"Canopy heights of {name}, {move.words}",
            source_title="Canopy heights before they were moved",
            details=move.details,
        ),
        style=made.style,
    )
    item = describe_changed(made.heights, files.item, change)
    if item and made.item:
        write_item(item, made.item)
