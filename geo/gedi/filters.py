"""Which shots are worth keeping: filters with their sources, presets, and what each removes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from geo.gedi.errors import GediError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from numpy.typing import NDArray

    Columns = Mapping[str, NDArray[Any]]

LEAST_SENSITIVITY = 0.95
MOST_STEP_M = 150.0
"""Largest difference of the lowest mode and the elevation model [m]."""

CATALOGUE = "Earth Engine catalogue, example of LARSE/GEDI/GEDI02_A_002_MONTHLY"
CHMV2 = "Brandt et al. 2026 (CHMv2), section 4.3"


@dataclass(frozen=True, kw_only=True)
class Filter:
    """One condition on a shot.

    Attributes:
        name: in tables.
        columns: columns it looks at; without them it is skipped.
        keeps: the condition in words.
        removes: what is left out by it, in words.
        source: who filters so.
        test: from columns (n,) to what is kept (n,).
    """

    name: str
    columns: tuple[str, ...]
    keeps: str
    removes: str
    source: str
    test: Callable[[Columns], NDArray[Any]]


QUALITY = Filter(
    name="quality",
    columns=("quality_flag",),
    removes="quality_flag is not 1",
    keeps="quality_flag is 1",
    source=CATALOGUE,
    test=lambda shots: shots["quality_flag"] == 1,
)
DEGRADE = Filter(
    name="degrade",
    columns=("degrade_flag",),
    removes="degrade_flag is not 0",
    keeps="degrade_flag is 0",
    source=CATALOGUE,
    test=lambda shots: shots["degrade_flag"] == 0,
)
POWER = Filter(
    name="power",
    columns=("full_power",),
    removes="coverage beam",
    keeps="full-power beam",
    source=CHMV2,
    test=lambda shots: shots["full_power"],
)
NIGHT = Filter(
    name="night",
    columns=("solar_elevation",),
    removes="taken by day",
    keeps="solar_elevation below 0",
    source=CHMV2,
    test=lambda shots: shots["solar_elevation"] < 0,
)
LEAVES = Filter(
    name="leaves",
    removes="leaves off",
    columns=("leaf_off_flag",),
    keeps="leaf_off_flag is not 1",
    source=CHMV2,
    # Unknown is kept: the flag is set where trees shed leaves, and nowhere else.
    test=lambda shots: np.ma.filled(shots["leaf_off_flag"], 0) != 1,
)
SENSITIVE = Filter(
    name="sensitivity",
    columns=("sensitivity",),
    removes="sensitivity below 0.95",
    source=CHMV2,
    keeps=f"sensitivity at least {LEAST_SENSITIVITY:g}",
    # Kept in the precision in which the file holds it: 0.95 as a float32 is 0.95.
    test=lambda shots: shots["sensitivity"] >= shots["sensitivity"].dtype.type(LEAST_SENSITIVITY),
)
ELEVATION = Filter(
    name="elevation",
    columns=("elev_lowestmode", "digital_elevation_model"),
    removes="ground far from the elevation model",
    source=CHMV2,
    keeps=f"elev_lowestmode within {MOST_STEP_M:g} m of digital_elevation_model",
    # Unknown is kept: the elevation model has gaps, the shots over them are no worse.
    test=lambda shots: (
        ~(np.abs(shots["elev_lowestmode"] - shots["digital_elevation_model"]) >= MOST_STEP_M)
    ),
)

PRESETS: dict[str, tuple[Filter, ...]] = {
    "none": (),
    "default": (QUALITY, DEGRADE),
    "strict": (QUALITY, DEGRADE, SENSITIVE, POWER, NIGHT, LEAVES, ELEVATION),
}


def preset(name: str) -> tuple[Filter, ...]:
    """Return the filters of a preset, in their order.

    Raises:
        GediError: there is no such preset.
    """
    if name not in PRESETS:
        msg = f"--preset {name}: expected {', '.join(PRESETS)}"
        raise GediError(msg)
    return PRESETS[name]


def lacking(filters: Iterable[Filter], columns: Collection[str]) -> dict[str, str]:
    """Return the filters that cannot be applied, with the columns that they lack."""
    return {
        each.name: ", ".join(name for name in each.columns if name not in columns)
        for each in filters
        if not set(each.columns) <= set(columns)
    }


def failures(filters: Iterable[Filter], shots: Columns, count: int) -> NDArray[np.uint32]:
    """Return which filters remove each shot (count,): bit 0 for the first filter, and so on.

    A filter whose columns are missing removes nothing.
    """
    failed = np.zeros(count, np.uint32)
    for number, each in enumerate(filters):
        if set(each.columns) <= set(shots):
            kept = np.ma.filled(each.test(shots), fill_value=False)
            failed |= np.where(np.broadcast_to(kept, count), 0, 1 << number).astype(np.uint32)
    return failed


@dataclass(frozen=True, kw_only=True)
class Removed:
    """What a filter did.

    Attributes:
        name, keeps: of the filter.
        in_turn: shots removed that those before it had kept.
        alone: shots that it would remove by itself.
    """

    name: str
    keeps: str
    in_turn: int
    alone: int


def removals(filters: Iterable[Filter], failed: NDArray[np.uint32]) -> list[Removed]:
    """Return what each filter did, from what `failures` returned."""
    found = []
    for number, each in enumerate(filters):
        by_it = failed & np.uint32(1 << number) > 0
        before = failed & np.uint32((1 << number) - 1) > 0
        found.append(
            Removed(
                name=each.name, keeps=each.keeps,
                in_turn=int((by_it & ~before).sum()), alone=int(by_it.sum()),
            )
        )  # fmt: skip
    return found
