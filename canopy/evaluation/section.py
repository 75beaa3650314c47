"""Errors of sites and groups with their intervals, from sums, as JSON values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from canopy.evaluation.intervals import LEVEL, Bootstrap, interval, intervals
from canopy.evaluation.settings import ENOUGH_SITES
from canopy.evaluation.shifts import common_table, each_at_its_best, shift_as_json
from canopy.evaluation.sums import CLASSES, errors_of, part_of
from canopy.evaluation.zones import NO_GROUP
from canopy.height_errors import CLASS_EDGES_M

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from canopy.evaluation.counts import HeightCounts, Residuals
    from canopy.evaluation.coverage import Coverage
    from canopy.evaluation.raster_sums import SiteSums
    from canopy.evaluation.settings import EvaluationSettings

    Array = NDArray[np.float64]

POINT_ERRORS = (
    "mae_m", "rmse_m", "bias_m", "r2", "slope", "intercept_m", "nmae", "cover_2m_iou",
    "cover_5m_iou",
)  # fmt: skip
"""Errors of heights that have no neighbours."""

PERCENTILES = (5, 50, 95)


@dataclass(frozen=True, kw_only=True)
class PointResiduals:
    """Map minus reference at the points of a file.

    Attributes:
        site: name of the file in the report.
        x, y: how far along the axes of the map's CRS they lie from the least of both (n,) [true m].
        residuals: differences [m] (n,).
    """

    site: str
    x: Array
    y: Array
    residuals: Array


@dataclass(kw_only=True)
class Section:
    """What was compared in one way: pixels with lidar rasters, or points, or footprints.

    Attributes:
        kind: ``pixels``, ``points`` or ``footprints``.
        words: what is compared with what, for people.
        sites: sums of every site.
        facts: what else is known of every site, in the same order.
        counts: heights against heights.
        group_of: group of each site, where whole sites are grouped.
        column: what the groups are called after; None without groups.
        residuals: pictures of some sites.
        points: residuals of points.
        skipped: references that were not compared, and why.
        coverage: of the map's intervals; None where it has none.
        counted_before: pixels left out of references that lie under one named earlier.
    """

    kind: str
    words: str
    counts: HeightCounts
    sites: list[SiteSums] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)
    group_of: dict[str, str] = field(default_factory=dict)
    column: str | None = None
    residuals: dict[str, Residuals] = field(default_factory=dict)
    points: list[PointResiduals] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    coverage: Coverage | None = None
    counted_before: int = 0

    @property
    def groups(self) -> dict[str, list[tuple[SiteSums, Array]]]:
        """Sites of each group, in the order of names, and the sums of their pieces in it."""
        found: dict[str, list[tuple[SiteSums, Array]]] = {}
        for site in self.sites:
            parts = site.groups
            if site.site in self.group_of:
                parts = {self.group_of[site.site]: site.pieces}
            for name, pieces in parts.items():
                found.setdefault(name, []).append((site, pieces))
        return dict(sorted(found.items()))


def section_as_json(section: Section, settings: EvaluationSettings) -> dict[str, Any]:
    """Return everything that a section tells as JSON values; None where a value is undefined."""
    drawing = Bootstrap(replicates=settings.replicates, seed=settings.seed)
    everything = [(site, site.pieces) for site in section.sites]
    over = interval_units(len(section.sites), settings)
    report = {
        "kind": section.kind,
        "compared": section.words,
        **row(section.kind, everything, over, drawing, "all"),
        "intervals_over": over,
        "interval_level_percent": LEVEL,
        "differences_m": {
            f"p{share}": section.counts.difference_percentile(share) for share in PERCENTILES
        },
        "height_classes": classes_as_json(total(everything)),
        "sites": [
            fact | {"site": site.site} | site_row(section.kind, site, drawing)
            for site, fact in zip(section.sites, section.facts, strict=True)
        ],
        "skipped": section.skipped,
    }
    if section.kind == "pixels":
        report["counted_before"] = section.counted_before
        tables = [site.shifts for site in section.sites if site.shifts is not None]
        report["shift"] = {
            "one_for_all": shift_as_json(common_table(tables)),
            "each_site_its_own": each_at_its_best(tables),
        }
    by_site = {site.site: [(site, site.pieces)] for site in section.sites}
    report["between_sites"] = gap_as_json(by_site, "tiles", drawing)
    if section.coverage and section.coverage.sites:
        report["interval"] = section.coverage.as_json()
    if section.column is not None:
        report["groups"] = groups_as_json(section, over, drawing)
    cleaned: dict[str, Any] = clean(report)
    return cleaned


def interval_units(sites: int, settings: EvaluationSettings) -> str:
    """Return what intervals are drawn over, ``sites`` or ``tiles``."""
    if settings.unit != "auto":
        return settings.unit
    return "sites" if sites >= ENOUGH_SITES else "tiles"


def groups_as_json(section: Section, over: str, drawing: Bootstrap) -> dict[str, Any]:
    """Return the errors of every group, the worst of them and the gap to the best."""
    named = {name: parts for name, parts in section.groups.items() if name != NO_GROUP}
    return {
        "column": section.column,
        "groups": [
            {"group": name} | row(section.kind, parts, over, drawing, f"group {name}")
            for name, parts in section.groups.items()
        ],
        **gap_as_json(named, over, drawing, "group "),
    }


def row(
    kind: str,
    parts: Sequence[tuple[SiteSums, Array]],
    over: str,
    drawing: Bootstrap,
    name: str,
) -> dict[str, Any]:
    """Return size, errors and intervals of sites, or of parts of them."""
    sums = total(parts)
    units = units_of(parts, over)
    errors = {key: float(value) for key, value in errors_of(sums).items() if is_told(kind, key)}
    drawn = drawing.draw(units, name)
    size = {"count": int(part_of(sums, "pixel")[0])}
    if kind == "pixels":
        size |= {
            "blocks_50px": int(part_of(sums, "block_50px")[0]),
            "blocks_30m": int(part_of(sums, "block_30m")[0]),
        }
    return {
        **size,
        "area_ha": area_ha(parts) if kind == "pixels" else None,
        "errors": errors,
        "intervals": {key: pair for key, pair in intervals(drawn).items() if is_told(kind, key)},
        "interval_units": len(units),
    }


def site_row(kind: str, site: SiteSums, drawing: Bootstrap) -> dict[str, Any]:
    """Return what is told of one site."""
    found = row(kind, [(site, site.pieces)], "tiles", drawing, f"site {site.site}")
    if kind == "pixels":
        found["shift"] = shift_as_json(site.shifts)
    return found


def is_told(kind: str, name: str) -> bool:
    """Whether an error means something: points have no neighbours."""
    return kind == "pixels" or name in POINT_ERRORS


def total(parts: Sequence[tuple[SiteSums, Array]]) -> Array:
    """Return all sums together (LENGTH,)."""
    summed: Array = np.sum([pieces.sum(axis=0) for _, pieces in parts], axis=0)
    return summed


def units_of(parts: Sequence[tuple[SiteSums, Array]], over: str) -> Array:
    """Return the sums (units, LENGTH) that intervals are drawn from."""
    if over == "sites":
        units = np.stack([pieces.sum(axis=0) for _, pieces in parts])
    else:
        units = np.concatenate([pieces for _, pieces in parts])
    return units[part_of(units, "pixel")[:, 0] > 0]


def area_ha(parts: Sequence[tuple[SiteSums, Array]]) -> float:
    """Return the ground that was compared [ha]."""
    return math.fsum(
        float(part_of(pieces, "pixel")[:, 0].sum()) * site.pixel_ha for site, pieces in parts
    )


def gap_as_json(
    groups: Mapping[str, Sequence[tuple[SiteSums, Array]]],
    over: str,
    drawing: Bootstrap,
    prefix: str = "site ",
) -> dict[str, Any]:
    """Return which group has the largest MAE, which the smallest, and how far they are apart.

    The interval of the gap is that of these two groups, each drawn by itself; that they were picked
    as the extremes makes it too narrow rather than too wide.
    """
    errors = {name: float(errors_of(total(parts))["mae_m"]) for name, parts in groups.items()}
    errors = {name: error for name, error in errors.items() if math.isfinite(error)}
    if not errors:
        return {"worst": None, "best": None, "gap_mae_m": None, "gap_mae_m_interval": None}
    worst = min(errors, key=lambda name: (-errors[name], name))
    best = min(errors, key=lambda name: (errors[name], name))
    draws = [
        drawing.draw(units_of(groups[name], over), f"{prefix}{name}").get("mae_m")
        for name in (worst, best)
    ]
    gap = None
    if worst != best and draws[0] is not None and draws[1] is not None:
        gap = interval(draws[0] - draws[1])
    return {
        "worst": {"name": worst, "mae_m": errors[worst]},
        "best": {"name": best, "mae_m": errors[best]},
        "gap_mae_m": errors[worst] - errors[best] if worst != best else None,
        "gap_mae_m_interval": gap,
    }


def classes_as_json(sums: Array) -> list[dict[str, Any]]:
    """Return errors by class of reference height."""
    classes = part_of(sums, "classes").reshape(CLASSES, 4)
    counted = max(1.0, float(classes[:, 0].sum()))
    return [
        {
            "from_m": CLASS_EDGES_M[number],
            "to_m": CLASS_EDGES_M[number + 1],
            "count": int(n),
            "share": n / counted,
            "mae_m": absolute / n if n else None,
            "rmse_m": math.sqrt(dd / n) if n else None,
            "bias_m": d / n if n else None,
        }
        for number, (n, absolute, d, dd) in enumerate(classes.tolist())
    ]


def clean(value: Any) -> Any:  # noqa: ANN401 - JSON values
    """Return JSON values with None for what is not finite."""
    if isinstance(value, dict):
        return {key: clean(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [clean(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
