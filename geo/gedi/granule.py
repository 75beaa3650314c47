"""One granule, read in slices: the shots of each beam, with heights in metres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import h5py
import numpy as np
import shapely

from geo.gedi.beams import SLICE, Beam, BeamHeights, BeamProfile
from geo.gedi.columns import BEAMS, L2A, L2B, MEASURED, PROFILE
from geo.gedi.errors import GranuleError
from geo.gedi.hdf5 import member, text_of
from geo.gedi.names import parse_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    from geo.gedi.beams import Findings, Shots

SHORT_NAMES = {"GEDI_L2A": L2A, "GEDI_L2B": L2B}


@dataclass(frozen=True, kw_only=True)
class GranuleFacts:
    """What a granule says of itself.

    Attributes:
        product: ``L2A`` or ``L2B``.
        version: of the product; None where nothing tells it.
        name: as the archive calls it, without suffix.
        is_part: whether somebody cut it out of the archive's file, by its other name.
    """

    product: str
    version: int | None
    name: str
    is_part: bool


def facts_of(file: h5py.File, file_name: str) -> GranuleFacts:
    """Return what a granule says of itself.

    Args:
        file: an HDF5 file.
        file_name: its name on disk, or in the archive that it came in.

    Raises:
        GranuleError: it is no granule of level 2A or 2B.
    """
    about = member(file, "METADATA/DatasetIdentification")
    short = text_of(file, "short_name") or (about is not None and text_of(about, "shortName"))
    product = SHORT_NAMES.get(str(short)) or _product_by_columns(file)
    if product is None:
        what = f"is {short}" if short else "has no beams of GEDI"
        msg = f"{what}: expected a GEDI granule of level 2A or 2B"
        raise GranuleError(msg)
    stated = text_of(about, "fileName") if about is not None else None
    own, kept = parse_name(stated or ""), parse_name(file_name)
    name = own or kept
    number = text_of(about, "VersionID") if about is not None else None
    version = int(number) if number and number.isdecimal() and len(number) < 4 else None  # noqa: PLR2004
    stem = file_name.rpartition(".")[0]
    return GranuleFacts(
        product=product,
        version=version or (name.version if name else None),
        name=name.text if name else stem,
        is_part=own is not None and stem != (stated or "").rpartition(".")[0],
    )


def _product_by_columns(file: h5py.File) -> str | None:
    """Return the product that the columns of the first beam are those of, or None."""
    for beam in BEAMS:
        group = member(file, beam)
        if isinstance(group, h5py.Group):
            if member(group, "rh") is not None:
                return L2A
            return L2B if member(group, "rh100") is not None else None
    return None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How granules are read.

    Attributes:
        ranks: percentiles of relative height, 0 to 100.
        area: polygons in longitude and latitude, outside of which shots are left out; None for all.
        slice_shots: shots that are read at once.
    """

    ranks: tuple[int, ...]
    area: BaseGeometry | None = None
    slice_shots: int = SLICE


def read_granule(
    file: h5py.File,
    beside: h5py.File | None,
    facts: GranuleFacts,
    reading: Reading,
    findings: Findings,
) -> Iterator[Shots]:
    """Yield the shots of a granule in slices, beam by beam.

    A beam that is missing or broken is a fault, and the other beams are read.

    Args:
        file: the granule.
        beside: the L2B granule of the same shots, whose profile is joined; None if there is none.
        facts: what the granule says of itself.
        reading: how it is read.
        findings: gets what is found on the way.

    Yields:
        Arrays (shots,) by name of the column: numbers as the granule holds them, heights in metres,
        NaN or masked where unknown; and beam and full_power, one value a slice.
    """
    absent = []
    for beam in BEAMS:
        try:
            group = member(file, beam)
            if not isinstance(group, h5py.Group):
                absent.append(beam)
                continue
            yield from _read_beam(group, beside, facts, reading, findings)
        except GranuleError as error:
            findings.faults.append(f"{error}; what follows in {beam} is left out")
    _report_absent(absent, facts, findings)


def _report_absent(absent: list[str], facts: GranuleFacts, findings: Findings) -> None:
    """Say which beams are missing: a fault, unless the file was cut out around an area."""
    if not absent:
        return
    said = f"has no {', '.join(absent)}"
    if len(absent) == len(BEAMS):
        findings.faults.append("has none of the eight beams")
    elif facts.is_part:
        findings.note(f"{said} (it was cut out of {facts.name}, perhaps no shot lies there)")
    else:
        findings.faults.append(f"{said}: expected eight beams; the others are kept")


def _read_beam(
    group: h5py.Group,
    partner: h5py.File | None,
    facts: GranuleFacts,
    reading: Reading,
    findings: Findings,
) -> Iterator[Shots]:
    """Yield the shots of a beam in slices."""
    beam = Beam(group, facts.product, findings)
    findings.read += beam.count
    chosen = _chosen(beam, reading.area, findings)
    left = int(chosen.sum())
    try:
        for shots in _slices(beam, chosen, partner, reading, findings):
            left -= len(shots["shot_number"])
            yield shots
    except GranuleError:
        findings.broken += left
        raise


def _slices(
    beam: Beam,
    chosen: NDArray[np.bool_],
    partner: h5py.File | None,
    reading: Reading,
    findings: Findings,
) -> Iterator[Shots]:
    """Yield the chosen shots of a beam in slices."""
    joined = _joined(partner, beam.name, findings) if partner is not None else None
    heights = BeamHeights(beam, reading.ranks)
    columns = beam.columns([*MEASURED, *(PROFILE if beam.product == L2B else ())])
    power = _full_power(beam.group, beam.name, findings)
    for start in range(0, beam.count, reading.slice_shots):
        rows = slice(start, min(start + reading.slice_shots, beam.count))
        inside = chosen[rows]
        if not inside.any():
            continue
        shots = {name: read(rows)[inside] for name, read in columns.items()}
        shots |= heights.read(rows, inside)
        shots["shot_number"] = beam.shot_numbers[rows][inside]
        shots["lon_lowestmode"] = beam.longitudes[rows][inside]
        shots["lat_lowestmode"] = beam.latitudes[rows][inside]
        shots["beam"], shots["full_power"] = np.array(beam.name), np.array(power)
        if joined is not None:
            shots |= joined.beside(shots["shot_number"])
        yield shots


def _chosen(beam: Beam, area: BaseGeometry | None, findings: Findings) -> NDArray[np.bool_]:
    """Return which shots of a beam have a place, and one within the area (shots,)."""
    x, y = beam.longitudes, beam.latitudes
    placed = (np.abs(x) <= 180) & (np.abs(y) <= 90)  # noqa: PLR2004 - NaN compares as false
    findings.no_place += int((~placed).sum())
    if area is None:
        return placed
    west, south, east, north = area.bounds
    inside: NDArray[np.bool_] = placed & (x >= west) & (x <= east) & (y >= south) & (y <= north)
    index = np.flatnonzero(inside)
    shapely.prepare(area)
    inside[index] = shapely.intersects_xy(area, x[index], y[index])
    findings.outside += int((placed & ~inside).sum())
    return inside


def _joined(partner: h5py.File, beam: str, findings: Findings) -> BeamProfile | None:
    """Return the profile of a beam of L2B; None, and a fault, where it cannot be read."""
    try:
        group = member(partner, beam)
        if isinstance(group, h5py.Group):
            return BeamProfile(group, findings)
        trouble = f"L2B has no {beam}"
    except GranuleError as error:
        trouble = f"L2B: {error}"
    findings.faults.append(f"{trouble}; the shots of {beam} have no profile")
    return None


def _full_power(group: h5py.Group, beam: str, findings: Findings) -> bool:
    """Return whether a beam has full power: as the file says, else as the mission built it."""
    said = (text_of(group, "description") or "").lower()
    if "full power" in said or "coverage" in said:
        return "full power" in said
    findings.note("the beams' power is not stated: BEAM0101, 0110, 1000 and 1011 taken as full")
    return BEAMS[beam]
