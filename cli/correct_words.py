"""What ``canopy correct`` says of what was found, by footprints or by a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canopy.correction.correct import CorrectionReport
    from canopy.correction_network.correct import ByModelReport


def by_footprints_in_words(found: dict[str, Any]) -> dict[str, str]:
    """Return what footprints told, line by line."""
    shots, tracks, field, aside = (found[k] for k in ("shots", "tracks", "field", "kept_aside"))
    left_out = ", ".join(f"{count} {reason}" for reason, count in shots["left_out"].items())
    lines = {
        "footprints": f"{shots['used']} used of {shots['read']}"
        + (f"; left out: {left_out}" if left_out else "")
    }
    if tracks["pieces"]:
        length = tracks["median_shift_m"]
        lines["tracks"] = (
            f"{tracks['believed']} of {tracks['pieces']} pieces moved on clear evidence"
            + (f", by {length:.0f} m in the median" if length is not None else "")
        )
    if aside and aside["before"]:
        lines |= {name: errors_in_words(aside[name]) for name in ("before", "after")}
    if found["applied"]:
        lines["factors"] = (
            f"{field['least']:.2f} to {field['greatest']:.2f}, median {field['median']:.2f}, "
            f"bandwidth {field['bandwidth_m']:g} m"
        )
    return lines | {"verdict": ("corrected: " if found["applied"] else "left unchanged: ")
                    + found["reason"]}  # fmt: skip


def errors_in_words(errors: dict[str, float | None]) -> str:
    """Return errors on footprints kept aside."""
    r2 = errors["r2"]
    return (
        f"MAE {errors['mae_m']:.2f} m, bias {errors['bias_m']:+.2f} m, "
        f"R2 {'undefined' if r2 is None else f'{r2:.2f}'} on footprints kept aside"
    )


def by_network_in_words(found: dict[str, Any]) -> dict[str, str]:
    """Return what a network saw, line by line."""
    model, windows, field = found["model"], found["windows"], found["field"]
    lines = {"model": f"{model['name']} {model['version']}"}
    if model["notice"]:
        lines["notice"] = model["notice"]
    lines["windows"] = (
        f"{windows['predicted']} of {windows['side_m']:.0f} m; median RH{model['percentile']:g} "
        f"predicted {metres(windows['median_predicted_m'])}, "
        f"in the map {metres(windows['median_mapped_m'])}"
    )
    if share := windows["share_out_of_reach"]:
        lines["unseen"] = f"{share:.1%} of the map, too far from imagery: left as it is"
    if found["defaults"]:
        lines["defaults"] = (
            ", ".join(
                f"{name.replace('_', ' ')} {value:g}" for name, value in found["defaults"].items()
            )
            + ": not known of the image"
        )
    if found["applied"]:
        lines["factors"] = (
            f"{field['least']:.2f} to {field['greatest']:.2f}, median {field['median']:.2f}"
        )
    verdict = "corrected: " if found["applied"] else "left unchanged: "
    return lines | {"verdict": verdict + found["reason"]}


def metres(value: float | None) -> str:
    """Return a height in words."""
    return "unknown" if value is None else f"{value:.1f} m"


def written_in_words(report: CorrectionReport | ByModelReport) -> str:
    """Say what was written."""
    beside = ", ".join(path.name for path in report.files.all[:-1])
    same = "" if report.findings["applied"] else ", the heights unchanged"
    return f"written  {report.files.map}{same}; beside it {beside}"
