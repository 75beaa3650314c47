"""What a correction found and did, as JSON and as Markdown."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from canopy.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from canopy.correction.applying import FactorField
    from canopy.correction.calibration import Calibrated, Judged
    from canopy.correction.footprint_pairs import Pairs
    from canopy.correction.footprints import Footprints
    from canopy.correction.settings import CorrectionSettings
    from canopy.height_errors import HeightErrors


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found of a map and its footprints.

    Attributes:
        source: the map.
        footprints: shots over it.
        uncovered: shots in whose footprint it has too little data.
        pairs: the others, with the map beneath them.
        calibrated: the field of all shots.
        judged: errors on folds; None where there are too few shots.
        field: what is applied; all 1 where nothing is.
        counts: shots that count at each of its cells (rows, columns).
        reason: why the map is changed, or why it is not.
        settings: how.
    """

    source: Path
    footprints: Footprints
    uncovered: int
    pairs: Pairs
    calibrated: Calibrated
    judged: Judged | None
    field: FactorField
    counts: Any
    reason: str
    settings: CorrectionSettings

    @property
    def applied(self) -> bool:
        """Whether the map is changed."""
        return not self.field.is_one


def as_json(findings: Findings) -> dict[str, Any]:
    """Return findings as JSON values; lengths in metres."""
    return {
        "map": findings.source.name,
        "footprints": findings.footprints.path.rsplit("/", 1)[-1],
        "applied": findings.applied,
        "reason": findings.reason,
        "percentile": findings.settings.percentile,
        "rh_column": findings.footprints.column,
        "shots": shots_as_json(findings),
        "tracks": tracks_as_json(findings),
        "field": field_as_json(findings),
        "kept_aside": judged_as_json(findings.judged, findings.pairs),
        "settings": asdict(findings.settings),
        "software": f"canopy-height {__version__}",
    }


def shots_as_json(findings: Findings) -> dict[str, Any]:
    """Return how many shots there were at each step."""
    left_out = dict(findings.footprints.left_out)
    if findings.uncovered:
        left_out["map covers too little of the footprint"] = findings.uncovered
    found = findings.calibrated
    low = len(findings.pairs) - int(found.tall.sum())
    if low:
        left_out[f"heights below {findings.settings.least_height_m:g} m"] = low
    if broken := int(found.broken.sum()):
        left_out["not supported by their neighbours"] = broken
    return {
        "read": findings.footprints.read,
        "filters": list(findings.footprints.filters),
        "left_out": left_out,
        "used": int(found.used.sum()),
    }


def tracks_as_json(findings: Findings) -> dict[str, Any]:
    """Return what was found of the places of tracks."""
    shifts = findings.calibrated.shifts
    believed = [shift for shift in shifts if shift.believed]
    lengths = [math.hypot(shift.right_m, shift.up_m) for shift in believed]
    return {
        "told_by": findings.footprints.track_from or None,
        "pieces": len(shifts),
        "believed": len(believed),
        "median_shift_m": rounded(float(np.median(lengths))) if lengths else None,
        "shots_moved": int((findings.calibrated.chosen != 0).sum()),
        "evidence": [
            {
                name: rounded(value) if isinstance(value, float) else value
                for name, value in asdict(shift).items()
            }
            | {"track": findings.footprints.track_names[shift.track]}
            for shift in shifts
        ],
    }


def field_as_json(findings: Findings) -> dict[str, Any]:
    """Return what the factor field is."""
    field, smooth = findings.field, findings.calibrated.field
    factors = field.factors
    return {
        "rows": field.grid.height,
        "columns": field.grid.width,
        "resolution_m": findings.settings.resolution_m,
        "bandwidth_m": smooth.bandwidth_m if smooth else None,
        "bandwidths_tried": {
            f"{width:g}": rounded(missed, 4)
            for width, missed in findings.calibrated.bandwidths.items()
        },
        "noise": rounded(smooth.noise, 4) if smooth else None,
        "signal": rounded(smooth.signal, 4) if smooth else None,
        "least": rounded(float(factors.min()), 4),
        "median": rounded(float(np.median(factors)), 4),
        "greatest": rounded(float(factors.max()), 4),
    }


def judged_as_json(judged: Judged | None, pairs: Pairs) -> dict[str, Any] | None:
    """Return the errors on shots kept aside."""
    if judged is None:
        return None
    gain, error = judged.gain
    reported = pairs.heights[:, 0].astype(np.float64)
    return {
        "folds": judged.folds,
        "block_m": rounded(judged.block_m, 1),
        "shots": int(judged.counted.sum()),
        "before": errors_as_json(judged.errors(judged.before, judged.counted)),
        "after": errors_as_json(judged.errors(judged.after, judged.counted)),
        "before_at_reported_places": errors_as_json(judged.errors(reported, judged.counted)),
        "with_broken_shots": {
            "shots": int(judged.tall.sum()),
            "before": errors_as_json(judged.errors(judged.before, judged.tall)),
            "after": errors_as_json(judged.errors(judged.after, judged.tall)),
        },
        "mae_gain_m": rounded(gain),
        "mae_gain_standard_error_m": rounded(error),
    }


def errors_as_json(errors: HeightErrors | None) -> dict[str, Any] | None:
    """Return errors with units in their names; NaN becomes None."""
    if errors is None:
        return None
    named = {"mae_m": errors.mae, "rmse_m": errors.rmse, "bias_m": errors.bias, "r2": errors.r2}
    return {name: rounded(value) for name, value in named.items()}


def rounded(value: float, digits: int = 3) -> float | None:
    """Return a number that JSON can hold."""
    return round(value, digits) if math.isfinite(value) else None


def as_markdown(report: dict[str, Any], pictures: list[str]) -> str:
    """Return the report for people."""
    shots, tracks, field = report["shots"], report["tracks"], report["field"]
    title = "corrected" if report["applied"] else "left unchanged"
    lines = [
        f"# {report['map']}: {title}",
        "",
        sentence(report["reason"]),
        "",
        *kept_aside_lines(report["kept_aside"]),
        "## Shots",
        "",
        f"{shots['read']} in {report['footprints']}, {shots['used']} used: {report['rh_column']} "
        f"against the map's {report['percentile']:g}th percentile within the footprint, weighted "
        "as the energy. Left out by filters: " + (", ".join(shots["filters"]) or "none") + ".",
        "",
        *table(("left out", "shots"), [(name, str(n)) for name, n in shots["left_out"].items()]),
        "## Places of tracks",
        "",
        *track_lines(tracks),
        "## Factor field",
        "",
        *field_lines(field),
        *[f"![{name}]({name})" for name in pictures],
    ]
    return "\n".join(lines).rstrip() + "\n"


def kept_aside_lines(judged: dict[str, Any] | None) -> list[str]:
    """Return the errors on shots kept aside."""
    if judged is None or judged["before"] is None:
        return []
    broken = judged["with_broken_shots"]
    rows = [
        ("before, at reported places", judged["shots"], judged["before_at_reported_places"]),
        ("before", judged["shots"], judged["before"]),
        ("after", judged["shots"], judged["after"]),
        ("before, broken shots too", broken["shots"], broken["before"]),
        ("after, broken shots too", broken["shots"], broken["after"]),
    ]
    return [
        f"## Errors on shots kept aside: {judged['folds']} folds",
        "",
        f"Map percentile minus footprint. Folds are blocks of ground of {judged['block_m']:.0f} m;",
        "each was judged by places, bandwidth and field that were found without it.",
        "",
        *table(
            ("", "shots", "MAE [m]", "RMSE [m]", "bias [m]", "R2"),
            [
                (name, str(count), *(number(errors[key]) for key in errors))
                for name, count, errors in rows
            ],
        ),
        f"MAE falls by {judged['mae_gain_m']:.2f} m,",
        f"standard error over pieces of ground {judged['mae_gain_standard_error_m']:.2f} m.",
        "",
    ]


def track_lines(tracks: dict[str, Any]) -> list[str]:
    """Return what was found of the places of tracks."""
    if not tracks["pieces"]:
        why = "no piece has shots enough" if tracks["told_by"] else "no column tells them"
        return [f"None was moved: not asked for, or {why}.", ""]
    rows = [
        (
            one["track"],
            str(one["shots"]),
            f"{one['right_m']:+.0f}, {one['up_m']:+.0f}" + (" (edge)" if one["at_edge"] else ""),
            f"{100 * one['gain']:.1f} %",
            f"{one['surety']:.1f}",
            "moved" if one["believed"] else "stays",
        )
        for one in tracks["evidence"]
    ]
    return [
        f"Tracks by {tracks['told_by']}. {tracks['believed']} of {tracks['pieces']} pieces are",
        "moved: a shift must fit shots that took no part in choosing it better than none does.",
        "",
        *table(("track", "shots", "shift right, up [m]", "gain", "rank test", ""), rows),
    ]


def field_lines(field: dict[str, Any]) -> list[str]:
    """Return what the factor field is."""
    size = f"{field['rows']} x {field['columns']} cells of {field['resolution_m']:g} m"
    if field["bandwidth_m"] is None:
        return [f"{size}, 1 everywhere.", ""]
    tried = ", ".join(f"{width} m {missed}" for width, missed in field["bandwidths_tried"].items())
    return [
        f"{size}, factors {field['least']:.2f} to {field['greatest']:.2f}, median "
        f"{field['median']:.2f}. Bandwidth {field['bandwidth_m']:g} m"
        + (f" (mean log error on inner folds: {tried})" if tried else "")
        + f". Noise of a log ratio {field['noise']:.3f}, signal {field['signal']:.3f}.",
        "",
    ]


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return a Markdown table, nothing where it has no rows."""
    if not rows:
        return []
    ruled = ["---", *["---:"] * (len(head) - 1)]
    return [*("| " + " | ".join(row) + " |" for row in [head, tuple(ruled), *rows]), ""]


def sentence(text: str) -> str:
    """Return a text as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."


def number(value: float | None) -> str:
    """Return a number with two decimals."""
    return "" if value is None else f"{value:.2f}"
