"""The columns of one beam of a granule, in metres: places, heights, the profile beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from geo.gedi.columns import (
    HIGHEST,
    L2A,
    L2B,
    LATITUDE,
    LONGITUDE,
    LOWEST,
    PROFILE,
    RANKS,
    SECONDS,
    SHOT_NUMBER,
    Column,
)
from geo.gedi.errors import GranuleError
from geo.gedi.hdf5 import MOST_SHOTS, column, read_rows, refuse_shape, text_of
from geo.gedi.units import decide_unit, metres_of, seen_unit

if TYPE_CHECKING:
    from collections.abc import Callable

    import h5py
    from numpy.typing import NDArray

    Shots = dict[str, NDArray[Any]]

SLICE = 32_768
"""Shots that are read at once; a row of rh is the widest, 808 bytes."""


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


class Beam:
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


class BeamHeights:
    """Relative heights of a beam: the profile of L2A, the top of L2B."""

    def __init__(self, beam: Beam, ranks: tuple[int, ...]) -> None:
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

    def _seen_unit(self, beam: Beam) -> str | None:
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


class BeamProfile:
    """The columns of an L2B beam, to be joined to the shots of L2A."""

    def __init__(self, group: h5py.Group, findings: Findings) -> None:
        """Read them: some bytes a shot, which is little beside a slice of rh.

        Raises:
            GranuleError: they are not what they should be.
        """
        beam = Beam(group, L2B, findings)
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
