"""How many true heights lie inside the intervals of a map, by class of height, site and group."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from canopy.evaluation.area_means import AreaMeans
from canopy.evaluation.points import heights_at
from canopy.evaluation.raster_sums import tiling_of
from canopy.evaluation.zones import NO_GROUP
from canopy.height_errors import CLASS_EDGES_M
from canopy.stored_heights import TALLEST_M

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from canopy.evaluation.height_source import HeightSource
    from canopy.evaluation.points import Neighbourhood, Points
    from canopy.evaluation.read_pairs import RasterPair
    from canopy.evaluation.settings import EvaluationSettings
    from canopy.evaluation.zones import Zones

    Array = NDArray[np.float64]

CLASSES = len(CLASS_EDGES_M) - 1

SUMS = ("n", "below", "above", "width")
"""Count, how many true heights lie below and above the interval, and the sum of widths [m]."""


@dataclass(kw_only=True)
class Coverage:
    """What is counted of intervals.

    Attributes:
        level: share of true heights that shall lie inside.
        sites: of each site, SUMS by class of true height (classes, 4).
        groups: of each group the same.
    """

    level: float
    sites: dict[str, Array] = field(default_factory=dict)
    groups: dict[str, Array] = field(default_factory=dict)

    def add(self, site: str, sums: Array, groups: Mapping[str, Array]) -> None:
        """Add the sums of a site, and of the parts of it that lie in groups."""
        if not sums[:, 0].any():
            return
        self.sites[site] = self.sites.get(site, 0) + sums
        for name, part in groups.items():
            self.groups[name] = self.groups.get(name, 0) + part

    def as_json(self) -> dict[str, Any]:
        """Return coverage overall, by class, site and group as JSON values; None if undefined."""
        total = np.sum(list(self.sites.values()), axis=0).reshape(-1, len(SUMS))
        ends = [None if np.isinf(edge) else edge for edge in CLASS_EDGES_M[1:]]
        classes = zip(CLASS_EDGES_M[:-1], ends, total, strict=True)
        return {
            "level": self.level,
            **told(total.sum(axis=0)),
            "height_classes": [
                {"from_m": start, "to_m": end, **told(row)} for start, end, row in classes if row[0]
            ],
            "sites": [{"site": name, **told(sums.sum(axis=0))} for name, sums in self.by_name()],
            "groups": [
                {"group": name, **told(sums.sum(axis=0))}
                for name, sums in sorted(self.groups.items())
            ],
        }

    def by_name(self) -> list[tuple[str, Array]]:
        """Return the sites in the order of their names."""
        return sorted(self.sites.items())


def coverage_for(source: HeightSource) -> Coverage | None:
    """Return what counts the intervals of a map; None where it has none."""
    return Coverage(level=source.interval) if source.interval else None


def cover_raster(
    coverage: Coverage,
    pair: RasterPair,
    settings: EvaluationSettings,
    zones: Zones | None = None,
    group: str | None = None,
) -> None:
    """Count a map's intervals against a reference, on the pixels on which both are compared.

    Where those are larger than the map's, the ends are averaged as the heights are.

    Args:
        coverage: counts them.
        pair: what is compared.
        settings: choices.
        zones: groups of its ground, where there are polygons of them.
        group: group of all of it, where a table tells it.

    Raises:
        SceneError: a file breaks off.
    """
    sums = np.zeros((CLASSES, len(SUMS)))
    groups: dict[str, Array] = {}
    with ExitStack() as stack:
        both = stack.enter_context(pair.open())
        low, high = (
            AreaMeans(stack.enter_context(end.open()), pair.grid) for end in ends_of(pair.map)
        )
        for window in tiling_of(pair, settings).windows:
            _, true, valid = both.read(window)
            if not valid.any():
                continue
            (lower, _), (upper, known) = low.read(window), high.read(window)
            upper = np.where(known, upper, TALLEST_M)
            sums += sums_of(lower[valid], upper[valid], true[valid])
            if zones is not None:
                found = zones.read(window)
                for number in np.unique(found[valid]).tolist():
                    part = valid & (found == number)
                    name = zones.names[number]
                    added = sums_of(lower[part], upper[part], true[part])
                    groups[name] = groups.get(name, 0) + added
    coverage.add(pair.site, sums, groups or ({group: sums} if group else {}))


def cover_points(
    coverage: Coverage,
    site: str,
    points: Points,
    source: HeightSource,
    around: Neighbourhood,
    groups: list[str] | None,
) -> None:
    """Count a map's intervals against measured points.

    Args:
        coverage: counts them.
        site: name of the points.
        points: what was measured.
        source: the map.
        around: what of the map is taken at a point.
        groups: of each point, or None.
    """
    found = []
    for end in ends_of(source):
        with end.open() as reader:
            found.append(heights_at(reader, points, around))
    lower, upper = found
    valid = np.isfinite(lower) & np.isfinite(upper)
    names = np.array(groups or [""] * len(valid), dtype=object)
    parts = {
        name: sums_of(
            *(values[valid & (names == name)] for values in (lower, upper, points.heights))
        )
        for name in sorted(set(names[valid].tolist()) - {""})
    }
    coverage.add(site, sums_of(lower[valid], upper[valid], points.heights[valid]), parts)


def ends_of(source: HeightSource) -> tuple[HeightSource, HeightSource]:
    """Return the lower and upper ends of a map's intervals, to be read like heights."""
    return replace(source, band=2), replace(source, band=3)


def sums_of(lower: Array, upper: Array, true: Array) -> Array:
    """Return SUMS by class of true height (classes, 4) of valid pixels (n,)."""
    found = np.digitize(true, CLASS_EDGES_M[1:-1])
    columns = (np.ones_like(true), true < lower, true > upper, upper - lower)
    return np.stack(
        [np.bincount(found, weights=column, minlength=CLASSES) for column in columns], axis=1
    )


def told(sums: Array) -> dict[str, float | int | None]:
    """Return what is told of SUMS (4,)."""
    n, below, above, width = sums.tolist()
    if not n:
        return {"count": 0, "coverage": None, "below": None, "above": None, "width_m": None}
    return {
        "count": int(n),
        "coverage": 1 - (below + above) / n,
        "below": below / n,
        "above": above / n,
        "width_m": width / n,
    }


def coverage_lines(comparison: dict[str, Any]) -> list[str]:
    """Return the coverage of a comparison as Markdown; nothing where the map has no intervals."""
    found = comparison.get("interval")
    if not found or found["coverage"] is None:
        return []
    words = (
        f"The intervals of the map shall hold {100 * found['level']:g} % of true heights. They "
        f"hold **{share(found['coverage'])}**; {share(found['below'])} lie below and "
        f"{share(found['above'])} above. In the mean they are {found['width_m']:.1f} m wide."
    )
    lines = ["", "### Intervals", "", words, ""]
    lines += rows_of(
        "height of the reference", [(class_words(e), e) for e in found["height_classes"]]
    )
    for title, key in (("site", "sites"), ("group", "groups")):
        entries = [(entry[title], entry) for entry in found[key] if entry[title] != NO_GROUP]
        if len(entries) > 1:
            lines += ["", *rows_of(title, entries)]
    return lines


def rows_of(title: str, entries: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """Return a Markdown table of coverage."""
    lines = [
        f"| {title} | count | inside | below | above | mean width |",
        "|---|---|---|---|---|---|",
    ]
    for name, entry in entries:
        cells = (share(entry[key]) for key in ("coverage", "below", "above"))
        lines.append(
            f"| {re.sub('[|]', '/', name)} | {entry['count']} | {' | '.join(cells)} | "
            f"{entry['width_m']:.1f} m |"
        )
    return lines


def class_words(entry: dict[str, Any]) -> str:
    """Return a class in words."""
    if entry["to_m"] is None:
        return f"{entry['from_m']:g} m and above"
    return f"{entry['from_m']:g} to {entry['to_m']:g} m"


def share(value: float | None) -> str:
    """Return a share in percent."""
    return "-" if value is None else f"{100 * value:.1f} %"
