"""What a search found, in numbers: dates, platforms, pixels, cloud, and ground that is covered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import shapely

from geo.catalog.area import equal_area_m2
from geo.catalog.search import CLOUD, footprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shapely.geometry.base import BaseGeometry

    from geo.catalog.area import Area

MOST_ROWS = 24
"""Rows of a table; where days are more, months are told, then years."""

ROUNDING = 1e-6
"""Percent of an area that sums of areas may be off."""

PERIODS = ("%Y-%m-%d", "%Y-%m", "%Y")
UNDATED = "no date"


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How much of an area imagery covers.

    Attributes:
        percent: share of the area's ground, 0 to 100, measured in an equal-area projection.
        footprints: of all items, in longitude and latitude [degrees].
        uncovered: the rest of the area; empty where all is covered.
    """

    percent: float
    footprints: list[BaseGeometry]
    uncovered: BaseGeometry

    @property
    def in_words(self) -> str:
        """Say the share."""
        return in_percent(self.percent)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Items of one time and one platform.

    Attributes:
        when: day, month or year, or `no date`.
        platform: platform and instruments, or `unknown`.
        gsd_m: finest and coarsest ground sampling distance [m]; None where items tell none.
        cloud_percent: least and most cloud [%]; None where items tell none.
        count: how many items.
        covers_percent: how much of the area they cover together.
    """

    when: str
    platform: str
    gsd_m: tuple[float, float] | None
    cloud_percent: tuple[float, float] | None
    count: int
    covers_percent: float

    @property
    def covers_in_words(self) -> str:
        """Say the share."""
        return in_percent(self.covers_percent)


def in_percent(share: float) -> str:
    """Return a share of ground in words; 100 % is said of the whole alone."""
    return "100 %" if share > 100 - ROUNDING else f"{min(share, 99.9):.1f} %"


def cover(items: Sequence[dict[str, Any]], area: Area) -> Coverage:
    """Return how much of an area the footprints of items cover."""
    footprints = [ground for ground in map(footprint, items) if ground is not None]
    uncovered = area.geometry.difference(shapely.union_all(footprints))
    whole = equal_area_m2(area.geometry)
    percent = 100 * (1 - equal_area_m2(uncovered) / whole)
    return Coverage(
        percent=min(100.0, max(0.0, percent)), footprints=footprints, uncovered=uncovered
    )


def group(items: Sequence[dict[str, Any]], area: Area) -> list[Group]:
    """Return items by time and platform, in the order of time."""
    for period in PERIODS:
        groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for item in items:
            groups.setdefault((_when(item, period), _platform(item)), []).append(item)
        if len(groups) <= MOST_ROWS:
            break
    return [
        Group(
            when=when,
            platform=platform,
            gsd_m=_range(members, "gsd"),
            cloud_percent=_range(members, CLOUD),
            count=len(members),
            covers_percent=cover(members, area).percent,
        )
        for (when, platform), members in sorted(groups.items())
    ]


def taken(item: dict[str, Any]) -> datetime | None:
    """Return when an item was taken: its moment, or the start of its time."""
    properties = item.get("properties") or {}
    text = properties.get("datetime") or properties.get("start_datetime")
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _when(item: dict[str, Any], period: str) -> str:
    """Return the day, month or year of an item."""
    moment = taken(item)
    return moment.strftime(period) if moment else UNDATED


def _platform(item: dict[str, Any]) -> str:
    """Return the platform and the instruments of an item, or `unknown`."""
    properties = item.get("properties") or {}
    instruments = properties.get("instruments") or properties.get("instrument") or []
    listed = instruments if isinstance(instruments, list) else [instruments]
    named = [properties.get("platform") or properties.get("constellation"), *listed]
    return " ".join(str(name) for name in named if name) or "unknown"


def _range(items: Sequence[dict[str, Any]], name: str) -> tuple[float, float] | None:
    """Return the least and the greatest number that a property has; None where none has one."""
    told = [(item.get("properties") or {}).get(name) for item in items]
    numbers = [float(number) for number in told if isinstance(number, int | float)]
    return (min(numbers), max(numbers)) if numbers else None
