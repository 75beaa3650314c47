"""``canopy register``: how far lidar lies beside an image, and the heights set right."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import print_json, print_lines, say, show_notes
from cli.options import Debug  # noqa: TC001 - Typer reads the annotations

if TYPE_CHECKING:
    from canopy.registration import RegisteredPair


def register_heights(
    image: Annotated[Path, typer.Argument(help="Imagery with red, green and blue.")],
    chm: Annotated[Path, typer.Argument(help="Canopy heights from lidar [m], in any CRS.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT.tif", help="Where moved heights will stand."),
    ] = None,
    max_shift: Annotated[
        float, typer.Option(metavar="M", help="Farthest shift that is looked for.")
    ] = 6.0,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the estimate as JSON instead.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes.")] = False,
    debug: Debug = False,  # noqa: ARG001 - read in cli.app, before parsing can fail
) -> None:
    """Estimate the shift between IMAGE and CHM, and how sure it is.

    With --output the CHM is written with its georeference moved, pixels untouched, where the shift
    is sure and better than none; else nothing is written.
    """
    show_notes(quiet=quiet)
    from canopy.registration import register  # noqa: PLC0415 - help must not wait for these
    from geo.registration import RegistrationSettings  # noqa: PLC0415

    settings = RegistrationSettings(max_shift_m=max_shift)
    pair = register(image, chm, output, settings=settings, overwrite=overwrite)
    if as_json:
        print_json(pair_as_json(pair))
    else:
        print_lines(pair_in_words(pair))
    if output is not None and not quiet:
        say(f"written  {output}" if pair.output else f"nothing is written: {pair.found.reason}")


def pair_in_words(pair: RegisteredPair) -> dict[str, str]:
    """Return what was found, line by line."""
    found = pair.found
    return {
        "shift": f"{found.east_m:+.2f} m east, {found.north_m:+.2f} m north "
        f"({found.distance_m:.2f} m), to be added to the coordinates of the CHM",
        "explained": f"{found.score:.1%} of the image there, {found.score_unmoved:.1%} unmoved, "
        f"{found.score_elsewhere:.1%} at best elsewhere",
        "spread": f"{found.spread_m:.2f} m, within which nine of ten resamples agree",
        "verdict": f"{found.verdict}: {found.reason}",
    }


def pair_as_json(pair: RegisteredPair) -> dict[str, Any]:
    """Return what was found as JSON values; lengths in metres."""
    found = pair.found
    return {
        "image": str(pair.image),
        "chm": str(pair.heights),
        "output": str(pair.output) if pair.output else None,
        "east_m": round(found.east_m, 3),
        "north_m": round(found.north_m, 3),
        "crs": pair.grid.crs.to_string() if pair.grid.crs else None,
        "score": round(found.score, 4),
        "score_unmoved": round(found.score_unmoved, 4),
        "score_elsewhere": round(found.score_elsewhere, 4),
        "spread_m": round(found.spread_m, 3),
        "sun_deg": {"azimuth": found.sun_azimuth_deg, "elevation": found.sun_elevation_deg},
        "confident": found.confident,
        "verdict": found.verdict,
        "reason": found.reason,
    }
