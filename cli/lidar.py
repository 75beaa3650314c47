"""``canopy lidar``: airborne lidar in, a canopy height model out."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import print_json, progress_bar, say, say_heights, show_notes
from cli.option_groups import grouped
from cli.options import Encoding, EncodingChoice, Speech, Stac, numbers_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geo.lidar.report import ChmReport
    from geo.lidar.settings import ChmSettings

INTERRUPTED = 130

lidar = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make canopy height models from airborne lidar.",
)


@lidar.callback()
def group() -> None:
    """Make canopy height models from airborne lidar."""


@dataclass(frozen=True, kw_only=True)
class ChmOptions:
    """Options about a canopy height model, as they were given."""

    resolution: Annotated[
        float | None,
        typer.Option(metavar="M", help="Side of a pixel [m]; 1 by default, edges on multiples."),
    ] = None
    bounds: Annotated[
        str | None,
        typer.Option(metavar="W,S,E,N", help="Ground wanted [m in the CRS of the result]."),
    ] = None
    like: Annotated[
        Path | None, typer.Option(metavar="RASTER", help="Take the pixels of this raster.")
    ] = None
    exclude: Annotated[
        str | None,
        typer.Option(
            metavar="CLASSES",
            help="ASPRS classes left out, such as 7,18, or none; by default buildings, noise, "
            "water, wires, towers and bridges: 6,7,9,13-19.",
        ),
    ] = None
    epsg: Annotated[
        int | None,
        typer.Option(
            metavar="CODE", help="CRS of points whose files state none, or their own one."
        ),
    ] = None
    height_unit: Annotated[
        str | None,
        typer.Option(
            metavar="metre|foot|us-survey-foot",
            help="Unit of the heights read, instead of the one that the input states.",
        ),
    ] = None
    normalised: Annotated[
        bool | None,
        typer.Option(
            "--normalised/--not-normalised",
            help="Heights are above ground already, or not; found out by default.",
        ),
    ] = None
    max_height: Annotated[
        float, typer.Option(metavar="M", help="What stands higher above ground is no plant [m].")
    ] = 120.0
    density: Annotated[
        bool, typer.Option("--density", help="Write points per square metre, OUT.density.tif.")
    ] = False
    encoding: Encoding = EncodingChoice.float32
    stac: Stac = True
    overwrite: Annotated[bool, typer.Option(help="Replace an existing model.")] = False

    def settings(self) -> ChmSettings:
        """Return what is chosen.

        Raises:
            BadParameter: an option is not written as expected.
            SettingsError: an option makes no sense.
        """
        from canopy.version import __version__  # noqa: PLC0415 - help must not wait for these
        from geo.lidar.settings import NEITHER_GROUND_NOR_PLANTS, ChmSettings  # noqa: PLC0415

        exclude = self.exclude
        return ChmSettings(
            resolution_m=self.resolution,
            bounds=parse_bounds(self.bounds),
            like=self.like,
            left_out=NEITHER_GROUND_NOR_PLANTS if exclude is None else parse_classes(exclude),
            epsg=self.epsg,
            height_unit=self.height_unit,
            normalised=self.normalised,
            max_height_m=self.max_height,
            density=self.density,
            encoding=self.encoding.value,
            stac=self.stac,
            overwrite=self.overwrite,
            software_version=__version__,
        )


@lidar.command(name="chm")
@grouped
def make_chm(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT.tif", help="Where the model will stand.")
    ],
    *,
    points: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[POINTS]...", help="LAS, LAZ or COPC files, or folders that hold them."
        ),
    ] = None,
    dsm: Annotated[
        Path | None,
        typer.Option(metavar="RASTER", help="Surface model, instead of points; needs --dtm."),
    ] = None,
    dtm: Annotated[
        Path | None, typer.Option(metavar="RASTER", help="Terrain model; needs --dsm.")
    ] = None,
    options: ChmOptions,
    speech: Speech,
) -> None:
    """Make a canopy height model of POINTS, or of a surface and a terrain model.

    It is a cloud-optimized GeoTIFF with the highest return above ground in each pixel, pits filled;
    beside it stand a QGIS style (.qml) and a STAC item (.json). Ground is class 2.
    """
    show_notes(quiet=speech.quiet)
    # It logs what it raises too, once for each decoder: of a file that breaks off, two lines more.
    logging.getLogger("laspy.lasreader").setLevel(logging.CRITICAL)
    settings = options.settings()
    refuse_both(points, dsm, dtm)
    report = run_or_leave(points or [], dsm, dtm, output, settings, quiet=speech.quiet)
    if not speech.quiet:
        summarise(report)
    if speech.as_json:
        print_json(report_as_json(report))


def parse_bounds(text: str | None) -> tuple[float, float, float, float] | None:
    """Return the bounds of a text such as ``321000,4096000,322000,4097000``.

    Raises:
        BadParameter: it is none.
    """
    if text is None:
        return None
    expected = "west,south,east,north in metres"
    west, south, east, north = numbers_in("--bounds", text, expected, kind=float, count=4)
    return west, south, east, north


def parse_classes(text: str) -> frozenset[int]:
    """Return the classes of a text such as ``6,7,13-16``, or ``none``.

    Raises:
        BadParameter: it is none.
    """
    if text == "none":
        return frozenset()
    classes: set[int] = set()
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            classes.update(range(int(first), int(last or first) + 1))
    except ValueError as error:
        msg = f"--exclude {text}: expected class numbers such as 6,7,13-16, or none"
        raise typer.BadParameter(msg) from error
    return frozenset(classes)


def refuse_both(points: list[Path] | None, dsm: Path | None, dtm: Path | None) -> None:
    """Refuse anything but points, or both rasters.

    Raises:
        UsageError: something else was given.
    """
    if (dsm is None) != (dtm is None):
        msg = "--dsm and --dtm belong together: give both"
        raise typer.BadParameter(msg)
    if bool(points) == (dsm is not None):
        msg = "POINTS: name point files or folders, or --dsm and --dtm, one of the two"
        raise typer.BadParameter(msg)


def run_or_leave(
    points: list[Path],
    dsm: Path | None,
    dtm: Path | None,
    output: Path,
    settings: ChmSettings,
    *,
    quiet: bool,
) -> ChmReport:
    """Make the model; an interruption ends the process, and leaves nothing behind."""
    from geo.lidar.chm import points_to_chm  # noqa: PLC0415 - help must not wait for these
    from geo.lidar.surface_models import surfaces_to_chm  # noqa: PLC0415

    try:
        with progress_bar("canopy height", quiet=quiet, unit="steps") as progress:
            if dsm is not None and dtm is not None:
                return surfaces_to_chm(dsm, dtm, output, settings, progress=progress)
            return points_to_chm(points, output, settings, progress=progress)
    except KeyboardInterrupt:
        # A map can be gone on with, and the command says so; here there is nothing to go on with.
        say("interrupted: nothing is left, run again to begin anew")
        sys.exit(INTERRUPTED)


def summarise(report: ChmReport) -> None:
    """Say what a model holds and where its companions are."""
    from geo.ground import crs_words  # noqa: PLC0415 - help must not wait for it

    heights, grid = report.heights, report.grid
    say(f"chm      {report.files.chm}: {grid.width} x {grid.height} px, {crs_words(grid.crs)}")
    share = f", on {heights.valid_percent:.0f} % of the pixels"
    say_heights(heights, none="no pixel has a return", more=share)
    say(f"beside   {', '.join(path.name for path in report.files.all[:-1])}")
    say(counted(report.origin.method.details))
    say(f"run      {report.seconds:.1f} s")


def counted(details: Mapping[str, Any]) -> str:
    """Return the line about points, or about pixels of a surface and a terrain."""
    above = f"above {details['max_height_m']:g} m"
    if "points_read" in details:
        return (
            f"points   {details['points_read']:,} read, {details['points_left_out']:,} left out, "
            f"{details['points_too_high']:,} {above}, {details['points_isolated']:,} isolated, "
            f"{details['ground_returns']:,} on the ground"
        )
    return (
        f"pixels   {details['pixels_with_both']:,} in both, {details['pixels_below_ground']:,} "
        f"more than 2 m below ground, {details['pixels_too_high']:,} {above}"
    )


def report_as_json(report: ChmReport) -> dict[str, Any]:
    """Return what came of a model as JSON values; lengths in metres, memory in MiB."""
    from canopy.mapping.report import grid_as_json, heights_as_json, peak_memory_mib  # noqa: PLC0415

    heights, files, acquired = report.heights, report.files, report.origin.acquired
    paths = {"chm": files.chm, "density": files.density, "stac": files.item, "style": files.style}
    return {
        "paths": {name: str(path) if path else None for name, path in paths.items()},
        "seconds": round(report.seconds, 3),
        "height": heights_as_json(heights),
        "valid_percent": round(heights.valid_percent, 2),
        "grid": grid_as_json(report.grid),
        "method": {"lineage": report.origin.method.lineage, **report.origin.method.details},
        "acquired": [acquired.start.isoformat(), acquired.end.isoformat()] if acquired else None,
        "sources": [str(path) for path in report.origin.sources],
        "peak_memory_mib": round(peak_memory_mib(), 1),
    }
