"""A calibration and its coverage in words and tables, and as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from canopy.evaluation.markdown import class_label, table
from canopy.intervals import LEVELS, write_calibration
from geo.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from canopy.intervals import CalibratedClass, Calibration

OWN = (
    "The lidar must not have been learned from: a model errs less on what it has seen, and the "
    "intervals would be too narrow everywhere else. Nothing in a calibration can tell."
)
OUT_OF_FOLD = (
    "Each plot was predicted by a model that never saw it, trained by the same recipe. The model "
    "that the intervals are for saw all plots; on new ground it errs about as the others did."
)
CAVEAT = (
    "Coverage is promised in the mean over ground like that of the plots, and over each class of "
    "predicted height; not for every stand, and not for the tallest trees by themselves. A forest "
    "unlike all of these plots may be covered less."
)


@dataclass(frozen=True, kw_only=True)
class CalibrationReport:
    """A calibration, and how well it held where it was not made.

    Attributes:
        calibration: what maps rest on.
        left_out: what was left out together, in words.
        groups: how many groups were left out in turn.
        coverage: at each level, see :func:`canopy.calibration.coverage.coverage_of`.
    """

    calibration: Calibration
    left_out: str
    groups: int
    coverage: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values; shares in [0, 1], lengths in metres."""
        made = self.calibration
        return {
            "model": made.model,
            "weights_sha256": made.weights_sha256,
            "data": made.data,
            "predictions": made.predictions,
            "radiometry": made.radiometry,
            "scale": made.scale,
            "plots": made.plots,
            "pixels": made.pixels,
            "highest_level": made.highest_level,
            "classes": [
                {
                    "from_m": entry.from_m,
                    "to_m": entry.to_m,
                    "plots": entry.plots,
                    "effective_plots": round(entry.effective_plots, 2),
                    "pixels": entry.pixels,
                }
                for entry in made.classes
            ],
            "left_out_in_turn": self.left_out,
            "groups": self.groups,
            "coverage": self.coverage,
            "software": made.software,
        }

    def as_markdown(self) -> str:
        """Return the report as Markdown."""
        made = self.calibration
        size = f"{made.plots} plots or blocks of ground, {made.pixels} pixels of {made.gsd_m:g} m"
        judged = (
            f"{self.groups} {self.left_out} were left out in turn; the others made the calibration "
            "that is judged on it. Each plot weighs the same."
        )
        lines = [
            f"# Intervals of {made.model}",
            "",
            f"- weights: `{made.weights_sha256 or 'without a digest'}`",
            f"- data: {made.data}",
            f"- {size}, radiometry {made.radiometry}",
            f"- highest level that they support: {level_words(made.highest_level)}",
            "",
            OUT_OF_FOLD if made.predictions == "out-of-fold" else OWN,
            "",
            CAVEAT,
            "",
            "## Coverage where the calibration was not made",
            "",
            *([judged, ""] if self.groups else []),
        ]
        lines += coverage_table(self.coverage) if self.groups else [few_words(self)]
        for key, title in (
            ("by_predicted_height", "By predicted height, which is promised"),
            ("by_true_height", "By true height, which is not"),
            ("by_group", f"By what was left out: {self.left_out}"),
        ):
            if self.groups:
                lines += ["", f"### {title}", "", *part_table(self.coverage, key)]
        lines += ["", "## What the calibration holds", "", *class_table(made), ""]
        lines += [f"{made.software}.", ""]
        return "\n".join(lines)


def write_report(
    report: CalibrationReport, files: tuple[Path, Path, Path], *, words: str | None = None
) -> None:
    """Write the calibration, its report as Markdown and as JSON; the calibration last.

    Args:
        report: what is written.
        files: where the three will stand.
        words: the Markdown, where it tells more than the report's own.

    Raises:
        MapFileError: one cannot be written.
    """
    path, markdown, numbers = files
    text = json.dumps(report.as_json(), indent=2, allow_nan=False) + "\n"
    for file, content in ((numbers, text), (markdown, words or report.as_markdown())):
        with whole_file(file) as part:
            part.write_text(content, encoding="utf-8")
    write_calibration(report.calibration, path)


def few_words(report: CalibrationReport) -> str:
    """Return why coverage cannot be told, and what it takes."""
    needed = ", ".join(
        f"{entry['plots_needed']} for {entry['level']:g}" for entry in report.coverage
    )
    return (
        f"Not told: with some of the {report.calibration.plots} plots left out, too few are left "
        f"to calibrate on. It takes, beside those left out, {needed}. Give more pairs, or smaller "
        "blocks of ground (`--block`)."
    )


def coverage_table(coverage: list[dict[str, Any]]) -> list[str]:
    """Return the table of coverage by level."""
    rows = [
        [
            f"{entry['level']:g}",
            share(entry["coverage"]),
            share(entry["below"]),
            share(entry["above"]),
            width(entry["width_m"]),
            ", ".join(entry["not_supported_without"]) or "-",
        ]
        for entry in coverage
    ]
    heads = ["level", "coverage", "true below", "true above", "mean width", "too few plots without"]
    return table(heads, rows)


def part_table(coverage: list[dict[str, Any]], key: str) -> list[str]:
    """Return the table of coverage and width of classes or groups, a column pair a level."""
    names: dict[str, dict[float, dict[str, Any]]] = {}
    for entry in coverage:
        for part in entry[key]:
            name = part["group"] if key == "by_group" else class_label(part)
            names.setdefault(name, {})[entry["level"]] = part
    levels = [entry["level"] for entry in coverage]
    rows = []
    for name, found in names.items():
        row = [name.replace("|", "/"), f"{max(part['plots'] for part in found.values()):.1f}"]
        for level in levels:
            part = found.get(level)
            row.append(f"{share(part['coverage'])}, {width(part['width_m'])}" if part else "-")
        rows.append(row)
    heads = ["", "plots' worth", *(f"{level:g}" for level in levels)]
    return table(heads, rows)


def class_table(calibration: Calibration) -> list[str]:
    """Return the table of the factors of each class at 0.9, or at the highest level below."""
    highest = calibration.highest_level
    level = 0.9 if highest and highest >= 0.9 else highest  # noqa: PLR2004 - the usual level
    rows = [
        [
            class_label({"from_m": entry.from_m, "to_m": entry.to_m}),
            str(entry.plots),
            f"{entry.effective_plots:.1f}",
            str(entry.pixels),
            *factor_words(entry, level),
        ]
        for entry in calibration.classes
    ]
    words = f"at {level:g}" if level else "at no level"
    heads = ["predicted", "plots with it", "worth", "pixels", f"scales below {words}", "above"]
    return table(heads, rows)


def factor_words(entry: CalibratedClass, level: float | None) -> list[str]:
    """Return the factors of a class at a level."""
    if level is None:
        return ["-", "-"]
    index = LEVELS.index(level)
    return [
        "-" if value is None else f"{value:.2f}"
        for value in (entry.below[index], entry.above[index])
    ]


def level_words(level: float | None) -> str:
    """Return a level, or that there is none."""
    return "none" if level is None else f"{level:g}"


def share(value: float | None) -> str:
    """Return a share in percent."""
    return "-" if value is None else f"{100 * value:.1f} %"


def width(value: float | None) -> str:
    """Return a width in metres."""
    return "-" if value is None else f"{value:.1f} m"
