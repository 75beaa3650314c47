"""Footprints of space lidar as they come in tables: which are used, where, how high, what track."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from canopy.errors import SettingsError
from canopy.evaluation.footprint_filters import columns_of
from canopy.evaluation.vectors import read_table
from canopy.stored_heights import TALLEST_M
from geo.gedi.columns import BEAMS
from geo.ground import crs_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from canopy.correction.settings import CorrectionSettings
    from canopy.evaluation.height_source import HeightSource

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

TRACK_COLUMNS = (("granule", "beam"), ("track", "beam"), ("granule",), ("track",))
"""Columns that together name a track: one beam of one overpass. The first that are there count."""

SHOTS_OF_AN_ORBIT, SHOTS_OF_A_BEAM, BEAM_NUMBERS = 10**13, 10**11, 100
"""GEDI's shot number is OOOOOBBFFFNNNNNNNN: orbit, beam, frame, number (L2A data dictionary)."""

LEAST_GEDI_NUMBER = 10**15


@dataclass(frozen=True, kw_only=True)
class Footprints:
    """Shots that passed the filters and lie over a map.

    Attributes:
        path: the file.
        right, down: metres from the map's upper left corner along its axes (n,) [true m].
        rh: relative height (n,) [m].
        track: number of the track (n,); -1 where it is not known.
        read: rows of the file.
        left_out: how many rows were left out, by reason.
        filters: which filters were applied, in words.
        column: where the heights come from.
        track_names: names of the tracks, by number.
        track_from: columns that told the tracks; empty where none did.
    """

    path: str
    right: Array
    down: Array
    rh: Array
    track: NDArray[np.int64]
    read: int
    left_out: dict[str, int]
    filters: tuple[str, ...]
    column: str
    track_names: tuple[str, ...]
    track_from: str

    def __len__(self) -> int:
        """Return the number of shots."""
        return self.rh.size


def read_footprints(path: Path, source: HeightSource, settings: CorrectionSettings) -> Footprints:
    """Read footprints and keep those of use that lie over a map.

    Raises:
        SceneError: the file cannot be read.
        SettingsError: it has no points, no CRS or no such relative heights, its heights are no
            metres, it does not tell the power of beams that is asked for, or no point lies over the
            map.
    """
    table = read_table(path).reset_index(drop=True)
    refuse_no_points(path, table)
    names = [str(name) for name in table.columns if name != table.geometry.name]
    column = rh_column(path, names, settings)
    heights = numbers(path, column, table[column])
    refuse_other_units(path, column, heights)
    kept = np.ones(len(table), bool)
    left_out: dict[str, int] = {}
    tests = filters_of(table, settings)
    if settings.full_power:
        tests.append(("coverage beam", has_full_power(path, table)))
    place = table.geometry.notna() & ~table.geometry.is_empty
    plausible = np.isfinite(heights) & (np.abs(heights) <= TALLEST_M)
    alone = ~repeated(table, heights)
    first = [("no place", place), ("no height", plausible), ("same place and height twice", alone)]
    for reason, fine in [*first, *tests]:
        kept = leave_out(kept, np.asarray(fine, bool), reason, left_out)
    right, down = places(table, kept, source)
    rows, columns = down / source.pixel_m[1], right / source.pixel_m[0]
    with np.errstate(invalid="ignore"):
        inside = (rows >= 0) & (rows <= source.grid.height)
        inside &= (columns >= 0) & (columns <= source.grid.width)
    refuse_elsewhere(path, table, inside, source)
    kept = leave_out(kept, inside, "beyond the map", left_out)
    tracks = tracks_of(table, names)
    return Footprints(
        path=str(path),
        right=right[kept],
        down=down[kept],
        rh=np.maximum(heights[kept], 0.0),
        track=tracks.number[kept],
        read=len(table),
        left_out=left_out,
        filters=tuple(reason for reason, _ in tests),
        column=column,
        track_names=tracks.names,
        track_from=tracks.told_by,
    )


def leave_out(kept: Mask, fine: Mask, reason: str, left_out: dict[str, int]) -> Mask:
    """Return what is still kept, and count what is not by its first reason."""
    if dropped := int((kept & ~fine).sum()):
        left_out[reason] = dropped
    return kept & fine


def repeated(table: Any, heights: Array) -> Mask:  # noqa: ANN401 - see refuse_no_points
    """Return which rows have place and height of an earlier one (n,).

    They are the same shot, as where tables were joined: counted twice it would look twice as sure.
    """
    told = np.stack([table.geometry.x, table.geometry.y, heights], axis=1)
    again = np.ones(len(told), bool)
    again[np.unique(told, axis=0, return_index=True)[1]] = False
    return again


def refuse_no_points(path: Path, table: Any) -> None:  # noqa: ANN401 - geopandas has no types
    """Refuse a table that is no points on Earth.

    Raises:
        SettingsError: as said.
    """
    if not hasattr(table, "geometry"):
        msg = f"{path} has no points: expected a geometry, or columns longitude and latitude"
        raise SettingsError(msg)
    if kinds := set(table.geometry.geom_type.dropna()) - {"Point"}:
        msg = f"{path} holds {', '.join(sorted(kinds))}: expected points"
        raise SettingsError(msg)
    if table.crs is None:
        msg = f"{path} has no CRS: assign that of its coordinates"
        raise SettingsError(msg)


def rh_column(path: Path, names: Sequence[str], settings: CorrectionSettings) -> str:
    """Return the column of relative heights, as named or by the rank.

    Raises:
        SettingsError: there is none.
    """
    rank = f"{settings.percentile:g}"
    if settings.rh_column is not None:
        if settings.rh_column in names:
            return settings.rh_column
        wanted = settings.rh_column
    else:
        found = [n for n in names if re.fullmatch(rf"rh_?{re.escape(rank)}(_m)?", n.lower())]
        if found:
            return found[0]
        wanted = f"rh{rank}"
    ranks = [name for name in names if re.fullmatch(r"rh_?[\d.]+(_m)?", name.lower())]
    there = ", ".join(ranks[:12]) or "none of relative heights"
    msg = (
        f"{path} has no column {wanted}: found {there}; choose another percentile, or name the "
        "column (--percentile and --rh, in a configuration percentile and rh_column)"
    )
    raise SettingsError(msg)


def numbers(path: Path, column: str, values: Any) -> Array:  # noqa: ANN401 - see refuse_no_points
    """Return the numbers of a column (n,), NaN where it has none.

    Raises:
        SettingsError: it holds something else.
    """
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        msg = f"{path}: {column} holds {values.iloc[0]!r}, expected heights in metres: --rh"
        raise SettingsError(msg) from error


def refuse_other_units(path: Path, column: str, heights: Array) -> None:
    """Refuse heights of which most are taller than any tree.

    Raises:
        SettingsError: they are.
    """
    finite = heights[np.isfinite(heights)]
    if finite.size and float(np.median(finite)) > TALLEST_M:
        msg = f"{path}: the median of {column} is {np.median(finite):g}: expected metres"
        raise SettingsError(msg)


def filters_of(table: Any, settings: CorrectionSettings) -> list[tuple[str, Any]]:  # noqa: ANN401
    """Return what keeps a row, by the reason why others are left out."""
    if not settings.filters:
        return []
    least = settings.least_sensitivity
    tests: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "quality_flag": ("quality_flag is not 1", lambda value: value == 1),
        "degrade_flag": ("degrade_flag is not 0", lambda value: value == 0),
        "sensitivity": (f"sensitivity below {least:g}", lambda value: value >= least),
    }
    names = {str(name).lower(): name for name in table.columns}
    return [
        (reason, test(table[names[name]]))
        for name, (reason, test) in tests.items()
        if name in names
    ]


def has_full_power(path: Path, table: Any) -> Mask:  # noqa: ANN401 - see refuse_no_points
    """Return which shots are of full-power beams (n,), as a column or the beam's name tells.

    Raises:
        SettingsError: neither does.
    """
    said = columns_of(table).get("full_power")
    if said is not None:
        return said
    names = {str(name).lower(): name for name in table.columns}
    if "beam" not in names:
        msg = (
            f"{path} tells no power of beams: expected a column full_power, or beam with names "
            "such as BEAM0101; leave --full-power out"
        )
        raise SettingsError(msg)
    beams = table[names["beam"]].astype(str).str.strip().str.upper()
    if unknown := sorted(set(beams) - set(BEAMS)):
        msg = (
            f"{path}: beam {unknown[0]!r} tells no power: expected names such as BEAM0101, or a "
            "column full_power; leave --full-power out"
        )
        raise SettingsError(msg)
    return np.asarray(beams.map(BEAMS), bool)


def places(table: Any, kept: Mask, source: HeightSource) -> tuple[Array, Array]:  # noqa: ANN401
    """Return metres right and down of the map's upper left corner (n,); NaN for what is not kept.

    The scale is that of the map's middle.

    Raises:
        SettingsError: the map has no CRS.
    """
    if source.grid.crs is None:
        msg = f"{source.path} has no CRS: assign it (gdal_edit -a_srs), footprints lie on Earth"
        raise SettingsError(msg)
    right, down = np.full((2, len(table)), np.nan)
    moved = table.geometry[kept].to_crs(source.grid.crs.to_wkt())
    x, y = np.asarray(moved.x, float), np.asarray(moved.y, float)
    back = ~source.grid.transform
    right[kept] = (back.a * x + back.b * y + back.c) * source.pixel_m[0]
    down[kept] = (back.d * x + back.e * y + back.f) * source.pixel_m[1]
    return right, down


def refuse_elsewhere(path: Path, table: Any, inside: Mask, source: HeightSource) -> None:  # noqa: ANN401
    """Refuse footprints none of which lies over the map, whatever the filters.

    Raises:
        SettingsError: as said.
    """
    if inside.any() or not len(table):
        return
    everywhere = np.asarray(table.geometry.notna() & ~table.geometry.is_empty, bool)
    right, down = places(table, everywhere, source)
    across, along = (
        length * side
        for length, side in zip(reversed(source.grid.shape), source.pixel_m, strict=True)
    )
    with np.errstate(invalid="ignore"):
        there = (right >= 0) & (right <= across) & (down >= 0) & (down <= along)
    if there.any():
        return  # all of them failed a filter: too few, not elsewhere
    west, south, east, north = table.total_bounds
    msg = (
        f"no footprint of {path} lies over {source.path}: footprints span {west:.6g} to {east:.6g} "
        f"and {south:.6g} to {north:.6g} ({crs_words(table.crs)}); check place and CRS"
    )
    raise SettingsError(msg)


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """Tracks of shots.

    Attributes:
        number: of the track of each row (n,); -1 where it is not known.
        names: of the tracks, by number.
        told_by: what told them; empty where nothing did.
    """

    number: NDArray[np.int64]
    names: tuple[str, ...]
    told_by: str


def tracks_of(table: Any, names: Sequence[str]) -> Tracks:  # noqa: ANN401 - see refuse_no_points
    """Return the tracks of a table's rows.

    A track is one beam of one overpass: its shots share most of their geolocation error. A beam's
    name alone is none, for it flies on every overpass.
    """
    by_name = {name.lower(): name for name in names}
    for wanted in TRACK_COLUMNS:
        if all(name in by_name for name in wanted):
            keys = table[[by_name[name] for name in wanted]].astype(str).agg(" ".join, axis=1)
            return numbered(np.asarray(keys, np.str_), " + ".join(wanted))
    if "shot_number" in by_name:
        shots = np.asarray(table[by_name["shot_number"]])
        whole = shots.size and np.issubdtype(shots.dtype, np.integer)
        if whole and shots.min() > LEAST_GEDI_NUMBER:
            orbits, beams = shots // SHOTS_OF_AN_ORBIT, shots // SHOTS_OF_A_BEAM % BEAM_NUMBERS
            pairs = zip(orbits.tolist(), beams.tolist(), strict=True)
            keys = np.array(
                [f"orbit {orbit:05d} beam {beam:02d}" for orbit, beam in pairs], np.str_
            )
            return numbered(keys, "orbit and beam in shot_number")
    return Tracks(number=np.full(len(table), -1, np.int64), names=(), told_by="")


def numbered(keys: NDArray[np.str_], told_by: str) -> Tracks:
    """Return a number for each different key."""
    names, number = np.unique(keys, return_inverse=True)
    return Tracks(
        number=number.astype(np.int64).ravel(), names=tuple(names.tolist()), told_by=told_by
    )
