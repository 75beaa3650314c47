"""One granule, read in slices: the shots of each beam, with heights in metres."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import shapely

from geo.gedi.columns import (
    BEAMS,
    HIGHEST,
    L2A,
    L2B,
    LATITUDE,
    LONGITUDE,
    LOWEST,
    MEASURED,
    PROFILE,
    RANKS,
    SECONDS,
    SHOT_NUMBER,
    Column,
)
from geo.gedi.errors import GranuleError
from geo.gedi.hdf5 import MOST_SHOTS, column, member, read_rows, refuse_shape, text_of
from geo.gedi.names import parse_name
from geo.gedi.units import decide_unit, metres_of, seen_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    Shots = dict[str, NDArray[Any]]

SLICE = 32_768
"""Shots that are read at once; a row of rh is the widest, 808 bytes."""

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


@dataclass(kw_only=True)
class Findings:
    """What was found on the way.

    Attributes:
        notes: what a user should know, each once.
        faults: what could not be read.
        read: shots in the beams.
        no_place: of these, shots without coordinates.
        outside: of these, shots outside the area.
        broken: of those left, in the part of a beam that could not be read.
    """

    notes: dict[str, None] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    read: int = 0
    no_place: int = 0
    outside: int = 0
    broken: int = 0

    def note(self, text: str) -> None:
        """Keep a note, once."""
        if text:
            self.notes.setdefault(text)


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
    beam = _Beam(group, facts.product, findings)
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
    beam: _Beam,
    chosen: NDArray[np.bool_],
    partner: h5py.File | None,
    reading: Reading,
    findings: Findings,
) -> Iterator[Shots]:
    """Yield the chosen shots of a beam in slices."""
    joined = _joined(partner, beam.name, findings) if partner is not None else None
    heights = _Heights(beam, reading.ranks)
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


def _joined(partner: h5py.File, beam: str, findings: Findings) -> _Profile | None:
    """Return the profile of a beam of L2B; None, and a fault, where it cannot be read."""
    try:
        group = member(partner, beam)
        if isinstance(group, h5py.Group):
            return _Profile(group, findings)
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


class _Beam:
    """The columns of a beam that are small enough to be whole, and how the others are read."""

    def __init__(self, group: h5py.Group, product: str, findings: Findings) -> None:
        """Read shot numbers and coordinates.

        Raises:
            GranuleError: they are missing, or not what they should be.
        """
        self.group, self.product, self.findings = group, product, findings
        self.name = group.name.rpartition("/")[2]
        numbers = self._needed(SHOT_NUMBER)
        if numbers.ndim != 1 or numbers.dtype.itemsize != 8 or numbers.shape[0] > MOST_SHOTS:  # noqa: PLR2004
            msg = (
                f"{numbers.name} is {numbers.dtype} of shape {numbers.shape}: expected 64-bit "
                f"integers, {MOST_SHOTS} at most"
            )
            raise GranuleError(msg)
        self.count = int(numbers.shape[0])
        whole = slice(0, self.count)
        self.shot_numbers = read_rows(numbers, whole).astype(np.uint64)
        self.longitudes = self._coordinates(LONGITUDE)
        self.latitudes = self._coordinates(LATITUDE)

    def _needed(self, wanted: Column) -> h5py.Dataset:
        """Return a dataset without which there are no footprints.

        Raises:
            GranuleError: there is none.
        """
        path = wanted.places[self.product]
        found = column(self.group, path, wanted.kinds)
        if found is None:
            msg = f"{self.group.name} has no {path}"
            raise GranuleError(msg)
        return found

    def _coordinates(self, wanted: Column) -> NDArray[np.float64]:
        """Return coordinates [degrees] (shots,)."""
        dataset = self._needed(wanted)
        refuse_shape(dataset, (self.count,))
        return read_rows(dataset, slice(0, self.count)).astype(np.float64)

    def columns(self, wanted: list[Column]) -> dict[str, Callable[[slice], NDArray[Any]]]:
        """Return what reads rows of each column that there is, and of the time."""
        found = {}
        for each in (SECONDS, *wanted):
            read = self.reader(each)
            if read is not None:
                found[each.name] = read
        return found

    def reader(self, wanted: Column) -> Callable[[slice], NDArray[Any]] | None:
        """Return what reads rows of a column, heights in metres; None where there is no such.

        Raises:
            GranuleError: it is there but is not what it should be.
        """
        path = wanted.places.get(self.product)
        dataset = column(self.group, path, wanted.kinds) if path else None
        if dataset is None:
            return None
        refuse_shape(dataset, (self.count,))
        factor = self._elevation_unit(dataset) if wanted.height else 1.0
        if factor is None:
            return None

        def read(rows: slice) -> NDArray[Any]:
            return known(read_rows(dataset, rows), wanted.unknown, factor)

        return read

    def _elevation_unit(self, dataset: h5py.Dataset) -> float | None:
        """Return the metres of the unit of an elevation; None where it is no unit of length."""
        stated = text_of(dataset, "units")
        if stated is None:
            self.findings.note("elevations state no unit: m taken, as the product documents")
            return 1.0
        try:
            return metres_of(stated, dataset.name.rpartition("/")[2])
        except GranuleError as error:
            self.findings.note(f"{error}; the column is left out")
            return None


def known(values: NDArray[Any], unknown: tuple[float, ...], factor: float = 1.0) -> NDArray[Any]:
    """Return numbers times a factor: NaN or, of integers, masked where they stand for unknown."""
    gaps = np.isin(values, unknown)
    if values.dtype.kind == "f":
        values = values * values.dtype.type(factor) if factor != 1 else values.copy()
        values[gaps | ~np.isfinite(values)] = np.nan
        return values
    if factor != 1:
        return np.where(gaps, np.nan, values * factor)
    return np.ma.masked_array(values, mask=gaps)


def _chosen(beam: _Beam, area: BaseGeometry | None, findings: Findings) -> NDArray[np.bool_]:
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


class _Heights:
    """Relative heights of a beam: the profile of L2A, the top of L2B."""

    def __init__(self, beam: _Beam, ranks: tuple[int, ...]) -> None:
        """Find the heights and their unit.

        Raises:
            GranuleError: there are none, or their unit cannot be believed.
        """
        self.ranks = ranks
        self.name = "rh" if beam.product == L2A else "rh100"
        dataset = column(beam.group, self.name, "fi")
        if dataset is None:
            msg = f"{beam.group.name} has no {self.name}"
            raise GranuleError(msg)
        refuse_shape(dataset, (beam.count, RANKS) if self.name == "rh" else (beam.count,))
        self.dataset = dataset
        seen = self._seen_unit(beam)
        self.factor, note = decide_unit(text_of(dataset, "units"), seen, dataset.name, self.name)
        beam.findings.note(note)

    def _seen_unit(self, beam: _Beam) -> str | None:
        """Return the unit that the elevations of the first good shots tell."""
        low, high = beam.reader(LOWEST), beam.reader(HIGHEST)
        rows = slice(0, min(beam.count, SLICE))
        if low is None or high is None or not beam.count:
            return None
        top = read_rows(self.dataset, rows)
        top = known(top[:, -1] if top.ndim > 1 else top, (-9999.0,))
        span = np.ma.filled(high(rows) - low(rows), np.nan).astype(np.float64)
        return seen_unit(np.ma.filled(top.astype(np.float64), np.nan), span)

    def read(self, rows: slice, inside: NDArray[np.bool_]) -> Shots:
        """Return the heights that are asked for, of the shots inside [m]."""
        values = read_rows(self.dataset, rows)[inside]
        if self.name == "rh100":
            return {"rh100": self._in_metres(values)} if 100 in self.ranks else {}  # noqa: PLR2004
        return {f"rh{rank}": self._in_metres(values[:, rank]) for rank in self.ranks}

    def _in_metres(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return heights in metres, in the precision in which they came."""
        if values.dtype.kind == "f":
            return known(values, (-9999.0,), self.factor)
        return np.where(values == -9999, np.nan, values * self.factor)  # noqa: PLR2004


class _Profile:
    """The columns of an L2B beam, to be joined to the shots of L2A."""

    def __init__(self, group: h5py.Group, findings: Findings) -> None:
        """Read them: some bytes a shot, which is little beside a slice of rh.

        Raises:
            GranuleError: they are not what they should be.
        """
        beam = _Beam(group, L2B, findings)
        self.order = np.argsort(beam.shot_numbers, kind="stable")
        self.numbers = beam.shot_numbers[self.order]
        whole = slice(0, beam.count)
        readers = {each.name: beam.reader(each) for each in PROFILE}
        self.columns = {name: read(whole) for name, read in readers.items() if read is not None}

    def beside(self, shot_numbers: NDArray[np.uint64]) -> Shots:
        """Return the columns of these shots, unknown where L2B does not have the shot."""
        if not self.numbers.size:
            return {}
        at = np.minimum(np.searchsorted(self.numbers, shot_numbers), self.numbers.size - 1)
        there = self.numbers[at] == shot_numbers
        rows = self.order[at]
        return {
            name: np.ma.masked_array(values[rows], mask=np.ma.getmaskarray(values)[rows] | ~there)
            for name, values in self.columns.items()
        }
