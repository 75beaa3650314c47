"""In which unit a granule holds heights: as it says, checked against its own elevations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geo.gedi.errors import GranuleError

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRES_OF = {
    "m": 1.0, "meter": 1.0, "meters": 1.0, "metre": 1.0, "metres": 1.0,
    "cm": 0.01, "centimeter": 0.01, "centimeters": 0.01, "centimetre": 0.01, "centimetres": 0.01,
}  # fmt: skip

DOCUMENTED = {"rh": "m", "rh100": "cm"}
"""What a height is in where a file does not say: the product's dictionary (as in gedidb's table of
variables): rh of L2A in metres, rh100 of L2B in centimetres. Elevations are in metres in both."""

LEAST_SHOTS = 3
"""Shots with a height that can be checked, below which nothing is concluded."""

FIT = (0.7, 1.4)
"""How far a median ratio may be from one for a unit to fit."""


def metres_of(unit: str, where: str) -> float:
    """Return the metres of a unit.

    Raises:
        GranuleError: it is none that heights come in.
    """
    factor = METRES_OF.get(unit.strip().lower())
    if factor is None:
        msg = f"{where} is in {unit!r}: expected m or cm"
        raise GranuleError(msg)
    return factor


def seen_unit(top: NDArray[np.float64], span_m: NDArray[np.float64]) -> str | None:
    """Return the unit in which heights agree with elevations; None where that cannot be told.

    RH100 is the elevation of the highest return less that of the lowest mode, by definition.

    Args:
        top: RH100 in the unit of the file (n,).
        span_m: elevation of the highest return less that of the lowest mode [m] (n,).
    """
    usable = np.isfinite(top) & np.isfinite(span_m) & (span_m > 1) & (top > 0)
    if usable.sum() < LEAST_SHOTS:
        return None
    ratio = float(np.median(top[usable] / span_m[usable]))
    fitting = [unit for unit in ("m", "cm") if FIT[0] < ratio * METRES_OF[unit] < FIT[1]]
    return fitting[0] if fitting else None


def decide_unit(stated: str | None, seen: str | None, where: str, name: str) -> tuple[float, str]:
    """Return the metres of a unit, and a note where the file does not state it ("" if it does).

    Args:
        stated: what the file says, or None.
        seen: what its elevations say, or None.
        where: how a message names the column.
        name: the column in the file: ``rh`` or ``rh100``.

    Raises:
        GranuleError: what it says is no unit, or its elevations say otherwise.
    """
    if stated is not None:
        factor = metres_of(stated, where)
        if seen is not None and METRES_OF[seen] != factor:
            msg = f"{where} says it is in {stated}, its elevations say {seen}: one of both is wrong"
            raise GranuleError(msg)
        return factor, ""
    if seen is not None:
        return METRES_OF[seen], f"{name} states no unit: {seen}, as its elevations show"
    unit = DOCUMENTED[name]
    return METRES_OF[unit], f"{name} states no unit: {unit} taken, as the product documents"
