"""``canopy register``: how far lidar lies beside an image, and the heights set right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import print_json, print_lines, progress_bar, say, show_notes
from cli.option_groups import grouped
from cli.options import Overwrite, Speech, Stac  # noqa: TC001 - Typer reads the annotations

if TYPE_CHECKING:
    from canopy.registration import RegisteredPair, RegistrationOutput
    from geo.registration.local_shifts import LocalRegistration

SHIFTS = {"global": "one shift", "local": "local shifts"}


@dataclass(frozen=True, kw_only=True)
class MovedOptions:
    """Options about moved heights, as they were given."""

    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT.tif", help="Where moved heights will stand."),
    ] = None
    stac: Stac = True
    overwrite: Overwrite = False

    def place(self) -> RegistrationOutput | None:
        """Return where heights are written, or None.

        Raises:
            BadParameter: nothing is written, and yet something is said of it.
        """
        from canopy.registration import RegistrationOutput  # noqa: PLC0415 - help must not wait

        if self.output is None:
            if self.overwrite or not self.stac:
                msg = "--overwrite and --no-stac go with --output OUT.tif: nothing else is written"
                raise typer.BadParameter(msg)
            return None
        return RegistrationOutput(path=self.output, stac=self.stac, overwrite=self.overwrite)


@grouped
def register_heights(
    image: Annotated[Path, typer.Argument(help="Imagery with red, green and blue.")],
    chm: Annotated[Path, typer.Argument(help="Canopy heights from lidar [m], in any CRS.")],
    *,
    moved: MovedOptions,
    max_shift: Annotated[
        float, typer.Option(metavar="M", help="Farthest shift that is looked for.")
    ] = 6.0,
    local: Annotated[
        bool, typer.Option(help="On ground of 180 m and more, look for local shifts too.")
    ] = True,
    speech: Speech,
) -> None:
    """Estimate the shift between IMAGE and CHM, and how sure it is.

    One shift for all is estimated first; then, in windows of 60 m, local ones. With --output the
    CHM is written where a shift is sure and better than none, else nothing is written: with its
    georeference moved and pixels untouched by one shift for all, or resampled once by local shifts
    where these are surely better. Beside it stand a QGIS style (.qml) and a STAC item (.json).
    """
    show_notes(quiet=speech.quiet)
    from canopy.registration import register  # noqa: PLC0415 - help must not wait for these
    from geo.registration.single_shift import RegistrationSettings  # noqa: PLC0415

    settings, place = RegistrationSettings(max_shift_m=max_shift), moved.place()
    with progress_bar("local shifts", quiet=speech.quiet, unit="windows") as progress:
        pair = register(image, chm, place, settings=settings, local=local, progress=progress)
    if speech.as_json:
        print_json(pair_as_json(pair))
    else:
        print_lines(pair_in_words(pair))
    if place is not None and not speech.quiet:
        say(written_in_words(pair))


def pair_in_words(pair: RegisteredPair) -> dict[str, str]:
    """Return what was found, line by line."""
    found = pair.found
    lines = {
        "shift": f"{found.east_m:+.2f} m east, {found.north_m:+.2f} m north "
        f"({found.distance_m:.2f} m), to be added to the coordinates of the CHM",
        "explained": f"{found.score:.1%} of the image there, {found.score_unmoved:.1%} unmoved, "
        f"{found.score_elsewhere:.1%} at best elsewhere",
        "spread": f"{found.spread_m:.2f} m, within which nine of ten resamples agree "
        "(at least a third of a CHM pixel)",
        "verdict": f"{found.verdict}: {found.reason}",
    }
    return lines | (local_in_words(pair.local) if pair.local else {})


def local_in_words(local: LocalRegistration) -> dict[str, str]:
    """Return what was found window by window."""
    (west, east), (south, north) = local.east_m, local.north_m
    ranges = f"; {west:+.2f} to {east:+.2f} m east, {south:+.2f} to {north:+.2f} m north"
    return {
        "windows": f"{local.windows} of 60 m, {local.strong} with strong evidence, "
        f"{local.agreeing} agree with their neighbours{ranges if local.agreeing else ''}",
        "local": f"{'better' if local.better else 'no better than one shift'}: {local.reason}",
    }


def written_in_words(pair: RegisteredPair) -> str:
    """Say what was written, or why nothing was."""
    if pair.files is None:
        return f"nothing is written: {pair.found.reason}"
    beside = ", ".join(path.name for path in pair.files.all[:-1])
    return f"written  {pair.files.heights}, moved by {SHIFTS[pair.applied]}; beside it {beside}"


def pair_as_json(pair: RegisteredPair) -> dict[str, Any]:
    """Return what was found as JSON values; lengths in metres.

    ``applied`` is by what heights are moved, or would be with --output: local, global or none.
    """
    found = pair.found
    return {
        "image": str(pair.image),
        "chm": str(pair.heights),
        "output": str(pair.files.heights) if pair.files else None,
        "stac": str(pair.files.item) if pair.files and pair.files.item else None,
        "applied": pair.applied,
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
        "local": local_as_json(pair.local) if pair.local else None,
    }


def local_as_json(local: LocalRegistration) -> dict[str, Any]:
    """Return what was found window by window as JSON values; lengths in metres."""
    return {
        "windows": local.windows,
        "strong": local.strong,
        "agreeing": local.agreeing,
        "east_m": [round(end, 3) for end in local.east_m],
        "north_m": [round(end, 3) for end in local.north_m],
        "p90_from_global_m": round(local.largest_m, 3),
        "score_global": round(local.score_one, 4),
        "score_held_aside": round(local.score_local, 4),
        "wins": round(local.wins, 3),
        "better": local.better,
        "reason": local.reason,
    }
