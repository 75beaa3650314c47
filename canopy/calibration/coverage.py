"""Whether intervals hold: coverage on groups of plots that had no part in their calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from canopy.calibration.conformal import LEAST_PLOTS, calibrate, plots_for
from canopy.errors import SettingsError
from canopy.height_errors import CLASS_EDGES_M

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from canopy.calibration.conformal import ModelFacts, PlotSample
    from canopy.intervals import Calibration, HeightInterval

    Array = NDArray[np.float64]

TOLD_LEVELS = (0.5, 0.8, 0.9, 0.95)
"""The levels that a report tells."""

SUMS = ("weight", "below", "above", "width")
CLASSES = len(CLASS_EDGES_M) - 1


@dataclass(frozen=True, kw_only=True)
class Test:
    """Plots that are judged, and the calibration that never saw them.

    Attributes:
        group: what they are called.
        samples: the plots.
        calibration: of other plots.
    """

    group: str
    samples: Sequence[PlotSample]
    calibration: Calibration


def leave_groups_out(
    samples: Sequence[PlotSample], groups: Sequence[str], facts: ModelFacts
) -> list[Test]:
    """Calibrate as often as there are groups, each time without one, which is then judged.

    Args:
        samples: the plots.
        groups: the group of each.
        facts: what is said of the model.

    Returns:
        A test of each group, in the order of names; none where too few plots are left without it.
    """
    tests = []
    for name in sorted(set(groups)):
        kept = [sample for sample, group in zip(samples, groups, strict=True) if group != name]
        judged = [sample for sample, group in zip(samples, groups, strict=True) if group == name]
        if len(kept) >= LEAST_PLOTS:
            tests.append(Test(group=name, samples=judged, calibration=calibrate(kept, facts)))
    return tests


def coverage_of(tests: Sequence[Test]) -> list[dict[str, Any]]:
    """Return coverage and width at each of TOLD_LEVELS, as JSON values.

    Each plot weighs the same, as in the calibration. A group whose calibration does not support a
    level has no part in it and is named.
    """
    return [coverage_at(level, tests) for level in TOLD_LEVELS]


def coverage_at(level: float, tests: Sequence[Test]) -> dict[str, Any]:
    """Return coverage and width of a level."""
    by_group: dict[str, Array] = {}
    predicted, true = np.zeros((CLASSES, len(SUMS))), np.zeros((CLASSES, len(SUMS)))
    unsupported = []
    for test in tests:
        try:
            interval = test.calibration.at(level)
        except SettingsError:
            unsupported.append(test.group)
            continue
        group = by_group.setdefault(test.group, np.zeros(len(SUMS)))
        for sample in test.samples:
            sums = sums_of(sample, interval)
            group += sums.sum(axis=0)
            predicted += by_class(sums, sample.heights)
            true += by_class(sums, sample.true)
    total = np.sum(list(by_group.values()), axis=0) if by_group else np.zeros(len(SUMS))
    return {
        "level": level,
        "plots_needed": plots_for(level),
        **told(total),
        "by_predicted_height": classes_told(predicted),
        "by_true_height": classes_told(true),
        "by_group": [{"group": name, **told(sums)} for name, sums in by_group.items()],
        "not_supported_without": unsupported,
    }


def sums_of(sample: PlotSample, interval: HeightInterval) -> Array:
    """Return what each pixel of a plot adds to the SUMS (n, 4); a plot weighs 1."""
    lower, upper = interval.ends(sample.heights, sample.scale)
    columns = (np.ones(len(lower)), sample.true < lower, sample.true > upper, upper - lower)
    return np.stack(columns, axis=1).astype(np.float64) / len(lower)


def by_class(sums: Array, heights: NDArray[np.float32]) -> Array:
    """Return SUMS (classes, 4) of pixels (n, 4) by class of some heights [m] (n,)."""
    found = np.digitize(heights, CLASS_EDGES_M[1:-1])
    return np.stack(
        [np.bincount(found, weights=column, minlength=CLASSES) for column in sums.T], axis=1
    )


def classes_told(sums: Array) -> list[dict[str, Any]]:
    """Return what is told of each class that has a pixel."""
    ends = [None if np.isinf(edge) else edge for edge in CLASS_EDGES_M[1:]]
    return [
        {"from_m": start, "to_m": end, **told(row)}
        for start, end, row in zip(CLASS_EDGES_M[:-1], ends, sums, strict=True)
        if row[0] > 0
    ]


def told(sums: Array) -> dict[str, float | None]:
    """Return what is told of SUMS (4,)."""
    values: Mapping[str, float] = dict(zip(SUMS, sums.tolist(), strict=True))
    weight = values["weight"]
    if not weight:
        return {"plots": 0.0, "coverage": None, "below": None, "above": None, "width_m": None}
    below, above = values["below"] / weight, values["above"] / weight
    return {
        "plots": round(weight, 2),
        "coverage": round(1 - below - above, 4),
        "below": round(below, 4),
        "above": round(above, 4),
        "width_m": round(values["width"] / weight, 3),
    }
