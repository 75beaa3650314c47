"""``canopy correct --model``: a height map corrected by what a network sees in its imagery."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - fields of a dataclass
from typing import TYPE_CHECKING, Any

from cli.console import print_json, print_lines, progress_bar, say

if TYPE_CHECKING:
    from canopy.correction_network.place_facts import ViewFacts
    from canopy.correction_network.settings import ByModelSettings


@dataclass(frozen=True, kw_only=True)
class ByModelRequest:
    """What was given on the command line, under the names of the options."""

    heights: Path
    model: str
    image: str
    output: Path
    item: Path | None
    sun_elevation: float | None
    off_nadir: float | None
    slope: str | None
    bandwidth: float | None
    limits: tuple[float, float]
    keep_below: float
    least_height: float
    stac: bool
    preview: bool
    overwrite: bool


def correct_with(request: ByModelRequest, *, quiet: bool, as_json: bool) -> None:
    """Correct a map by a network, and say what came of it."""
    from canopy.correction_network.correct import (  # noqa: PLC0415 - help must not wait for torch
        correct_by_model,
    )

    settings = settings_of(request)
    with progress_bar("correcting", quiet=quiet, unit="steps") as progress:
        report = correct_by_model(
            request.heights, request.model, request.image, request.output, settings, progress
        )
    found = report.findings
    if as_json:
        print_json(found | {"paths": [str(path) for path in report.files.all]})
    else:
        print_lines(in_words(found))
    if not quiet:
        beside = ", ".join(path.name for path in report.files.all[:-1])
        same = "" if found["applied"] else ", the heights unchanged"
        say(f"written  {report.files.map}{same}; beside it {beside}")


def settings_of(request: ByModelRequest) -> ByModelSettings:
    """Return the settings that options stand for."""
    from canopy.correction_network.settings import (  # noqa: PLC0415 - slow
        ByModelSettings,
        FieldSettings,
    )

    chosen: dict[str, Any] = {
        "limits": request.limits,
        "keep_below_m": request.keep_below,
        "least_height_m": request.least_height,
    }
    if request.bandwidth is not None:
        chosen["bandwidth_m"] = request.bandwidth
    return ByModelSettings(
        factors=FieldSettings(**chosen),
        view=view_of(request),
        stac=request.stac,
        preview=request.preview,
        overwrite=request.overwrite,
    )


def view_of(request: ByModelRequest) -> ViewFacts:
    """Return how the imagery was taken: as options say, else as its item does."""
    from canopy.correction_network.place_facts import (  # noqa: PLC0415 - slow
        ViewFacts,
        facts_of_item,
        slope_or_terrain,
    )

    said = ViewFacts(sun_elevation=request.sun_elevation, off_nadir=request.off_nadir)
    if request.slope is not None:
        said = said.over(slope_or_terrain(request.slope))
    return said if request.item is None else said.over(facts_of_item(request.item))


def in_words(found: dict[str, Any]) -> dict[str, str]:
    """Return what was found, line by line."""
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
