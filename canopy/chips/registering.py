"""Pairs whose heights surely lie beside their image, set right before they are cut."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from canopy.chips.views import register_pair
from canopy.errors import SettingsError
from geo.errors import ApartError
from geo.registration.single_shift import RegistrationSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from canopy.chips.pairing import PairFiles

VERDICTS = ("shifted", "aligned", "unclear")


@dataclass(frozen=True, kw_only=True)
class RegisteredPairs:
    """Pairs as they are cut.

    Attributes:
        pairs: those that are kept, the shifted ones with their shift.
        verdicts: number of pairs by verdict, dropped ones included.
        dropped: names of the pairs that are left out, because their shift is unclear.
    """

    pairs: list[PairFiles]
    verdicts: dict[str, int]
    dropped: list[str]

    @property
    def shifts_m(self) -> dict[str, tuple[float, float]]:
        """How far the heights of each moved pair are moved east and north [m]."""
        return {pair.name: pair.shift_m for pair in self.pairs if pair.shift_m != (0.0, 0.0)}

    def as_json(self) -> dict[str, Any]:
        """Return what was done as JSON values."""
        shifts = self.shifts_m
        return {
            "verdicts": self.verdicts,
            "dropped": self.dropped,
            "median_shift_m": (
                round(median(math.hypot(*shift) for shift in shifts.values()), 3)
                if shifts
                else None
            ),
            "shifts_m": {
                name: [round(part, 3) for part in shift] for name, shift in shifts.items()
            },
        }


def register_pairs(
    pairs: list[PairFiles], *, drop_unclear: bool, done: Callable[[int], None]
) -> RegisteredPairs:
    """Find the one shift of every pair, and give it to those that surely lie elsewhere.

    Pairs that share too little ground to say are unclear.

    Raises:
        SettingsError: no pair is left, or a file has no CRS.
        SceneError: a file cannot be read.
    """
    kept, dropped, verdicts = [], [], Counter(dict.fromkeys(VERDICTS, 0))
    for number, pair in enumerate(pairs):
        verdict, shift = shift_of(pair)
        verdicts[verdict] += 1
        if verdict == "unclear" and drop_unclear:
            dropped.append(pair.name)
        else:
            kept.append(replace(pair, shift_m=shift))
        done(number + 1)
    if not kept:
        msg = (
            f"none of {len(pairs)} pairs is left, the shift of all is unclear: "
            "keep them with --register keep-unclear"
        )
        raise SettingsError(msg)
    return RegisteredPairs(pairs=kept, verdicts=dict(verdicts), dropped=dropped)


def shift_of(pair: PairFiles) -> tuple[str, tuple[float, float]]:
    """Return the verdict on a pair, and how far its heights are to be moved east and north [m]."""
    try:
        _, found = register_pair(pair, RegistrationSettings())
    except ApartError:
        return "unclear", (0.0, 0.0)
    moved = found.verdict == "shifted"
    return found.verdict, (found.east_m, found.north_m) if moved else (0.0, 0.0)
