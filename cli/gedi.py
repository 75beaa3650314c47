"""``canopy gedi``: footprints of the laser on the Space Station, from granules to one table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import (
    download_bar,
    in_bytes,
    print_json,
    print_table,
    progress_bar,
    say,
    show_notes,
)
from cli.option_groups import given_of, grouped
from cli.options import Speech, numbers_in

if TYPE_CHECKING:
    from geo.gedi.granule_search import Granule, GranuleWish
    from geo.gedi.ingest import IngestReport
    from geo.gedi.settings import IngestSettings

RANKS = "whole percentiles from 0 to 100, such as 50,95,98"
SHOWN = 5
"""Messages of one kind that are said before the rest is counted."""

gedi = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Footprints of GEDI, the laser on the Space Station.",
)


@gedi.callback()
def group() -> None:
    """Footprints of GEDI, the laser on the Space Station."""


class Preset(StrEnum):
    """Names of sets of filters."""

    strict = "strict"
    default = "default"
    none = "none"


@dataclass(frozen=True, kw_only=True)
class IngestOptions:
    """Options about the table of footprints, as they were given."""

    preset: Annotated[
        Preset,
        typer.Option(
            help="Filters: default keeps quality_flag 1 and degrade_flag 0; strict is the "
            "validation of CHMv2: also full power, night, leaves on, sensitivity 0.95, and ground "
            "near the elevation model."
        ),
    ] = Preset.default
    rh: Annotated[
        str, typer.Option(metavar="P,P,...", help="Percentiles of relative height, 0 to 100.")
    ] = "50,75,95,98,100"
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Granules read at once; one a processor by default."),
    ] = None
    overwrite: Annotated[bool, typer.Option(help="Replace an older table.")] = False

    def settings(self, area: str | None) -> IngestSettings:
        """Return what is chosen.

        Raises:
            BadParameter: an option is not written as expected.
            GeoError: an option makes no sense.
        """
        from geo.gedi.settings import IngestSettings  # noqa: PLC0415 - help must not wait for it

        return IngestSettings(
            area=area,
            preset=self.preset.value,
            ranks=numbers_in("--rh", self.rh, RANKS, kind=int),
            workers=self.workers,
            overwrite=self.overwrite,
        )


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Options about granules that are searched for, as they were given."""

    search: Annotated[
        bool,
        typer.Option(
            "--search",
            help="Find granules over --area in NASA's catalogue and fetch them first. Needs a "
            "login of Earthdata: EARTHDATA_TOKEN, or ~/.netrc.",
        ),
    ] = False
    datetime: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="With --search: 2020, 2020-05/2020-09 and alike."),
    ] = None
    collection: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="With --search: GEDI02_A_002 by default; GEDI02_B_002 adds cover. Repeatable.",
        ),
    ] = None
    api: Annotated[
        str | None,
        typer.Option(metavar="URL", help="With --search: another STAC API than NASA's."),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="With --search: most granules a collection; 200 by default.",
        ),
    ] = None
    downloads: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="With --search: where granules are kept; FOOTPRINTS.granules by default.",
        ),
    ] = None
    list_only: Annotated[
        bool, typer.Option("--list", help="With --search: list the granules, fetch none.")
    ] = False
    allow_local: Annotated[
        bool,
        typer.Option(
            "--allow-local",
            help="With --search: trust the API also where it points inside your network.",
        ),
    ] = False

    def wish(self, area: str) -> GranuleWish:
        """Return what is looked for."""
        from geo.gedi.granule_search import CMR_STAC, COLLECTIONS, GranuleWish  # noqa: PLC0415

        return GranuleWish(
            area=area,
            datetime=self.datetime,
            collections=tuple(self.collection or COLLECTIONS),
            api=self.api or CMR_STAC,
            limit=self.limit or 200,
            allow_local=self.allow_local,
        )

    def folder(self, output: Path) -> Path | None:
        """Return where granules are kept beside a table; None where they are only listed."""
        beside = self.downloads or output.with_name(f"{output.stem}.granules")
        return None if self.list_only else beside


@gedi.command(name="ingest")
@grouped
def ingest(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOOTPRINTS", help="The table, .parquet."),
    ],
    *,
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[GRANULES]...",
            help="L2A and L2B granules of version 1 or 2 (.h5, or .zip of them), or folders.",
        ),
    ] = None,
    area: Annotated[
        str | None,
        typer.Option(
            metavar="AREA",
            help="west,south,east,north in degrees, or a vector file in any CRS: keep shots in it.",
        ),
    ] = None,
    options: IngestOptions,
    search_options: SearchOptions,
    speech: Speech,
) -> None:
    """Make one table of footprints of GEDI granules.

    FOOTPRINTS is GeoParquet with points in EPSG:4326, heights in metres. A table tells how many
    shots each filter removed. A file that cannot be read is said and passed over, and the exit code
    is 1; so it is where a beam is missing.
    """
    show_notes(quiet=speech.quiet)
    from geo.gedi.errors import refuse_missing_reader  # noqa: PLC0415 - help must not wait for it

    refuse_missing_reader()
    from geo.gedi.ingest import ingest_granules, refuse_table  # noqa: PLC0415

    settings, paths = options.settings(area), list(sources or [])
    refuse_options(search_options, paths, area)
    refuse_table(output, paths, settings)
    if search_options.search:
        folder = search_options.folder(output)
        paths = search_and_fetch(search_options.wish(area or ""), folder, speech)
        if folder is None:
            return
    with progress_bar("reading", quiet=speech.quiet, unit="granules") as progress:
        report = ingest_granules(paths, output, settings, progress)
    if speech.as_json:
        print_json(report_as_json(report))
    else:
        print_table(rows_of(report))
    speak(report, quiet=speech.quiet)
    if report.faults:
        raise typer.Exit(1)


def refuse_options(options: SearchOptions, paths: list[Path], area: str | None) -> None:
    """Refuse options that would be passed over, and a request for nothing.

    Raises:
        BadParameter: as said.
    """
    given = given_of(options)
    if given and not options.search:
        msg = f"{', '.join(given)}: of no effect without --search"
        raise typer.BadParameter(msg)
    if options.search and paths:
        msg = "--search finds the granules: give no files beside it"
        raise typer.BadParameter(msg)
    if options.search and area is None:
        msg = "--search needs --area"
        raise typer.BadParameter(msg)
    if not options.search and not paths:
        msg = "expected granules or folders of them, or --search with --area"
        raise typer.BadParameter(msg)


def search_and_fetch(wish: GranuleWish, folder: Path | None, told: Speech) -> list[Path]:
    """Find granules, list them, and fetch them into a folder; without one, only list them."""
    from geo.gedi.granule_search import search_granules  # noqa: PLC0415

    granules = search_granules(wish)
    if told.as_json and folder is None:
        print_json({"granules": [granule_as_json(each) for each in granules.found]})
    elif not (told.quiet or told.as_json):
        print_table([granule_row(each) for each in granules.found])
    if granules.more:
        say(f"warning: the limit of {wish.limit} granules is reached, and there are more: --limit")
    return fetch(granules.found, folder, quiet=told.quiet) if folder else []


def granule_row(granule: Granule) -> dict[str, str]:
    """Return a line of the table of granules."""
    size = in_bytes(granule.size) if granule.size else "-"
    return {"date": granule.day, "size": size, "granule": granule.name}


def granule_as_json(granule: Granule) -> dict[str, Any]:
    """Return a granule as JSON values."""
    return {"id": granule.name, "date": granule.day, "bytes": granule.size, "url": granule.url}


def fetch(granules: list[Granule], folder: Path, *, quiet: bool) -> list[Path]:
    """Fetch granules, with a bar."""
    from geo.gedi.earthdata import Archive, find_login  # noqa: PLC0415
    from geo.gedi.granule_search import fetch_granules  # noqa: PLC0415

    archive = Archive(find_login())
    with download_bar("fetching", quiet=quiet) as show:
        return fetch_granules(granules, folder, archive, lambda *_: show)


def rows_of(report: IngestReport) -> list[dict[str, str]]:
    """Return the table of what was removed."""
    rows: list[tuple[str, int, int | None, str]] = [
        ("read", report.read, None, counted(report.granules))
    ]
    if report.no_place:
        rows.append(("no place", -report.no_place, None, "shots without coordinates"))
    if report.outside:
        rows.append(("area", -report.outside, None, "shots outside of it"))
    if report.broken:
        rows.append(("broken", -report.broken, None, "shots that could not be read, see below"))
    if report.twice:
        rows.append(("twice", -report.twice, None, "shots that another granule has too"))
    rows += [
        (each.name, -each.in_turn, each.alone, f"keeps: {each.keeps}")
        for each in report.removed
        if each.name not in report.skipped or report.skipped[each.name][1] < report.granules
    ]
    rows.append(("kept", report.kept, None, beams_in_words(report)))
    return [
        {
            "filter": name,
            "shots": f"{shots:,}",
            "by itself": "" if alone is None else f"{-alone:,}",
            "": words,
        }
        for name, shots, alone, words in rows
    ]


def beams_in_words(report: IngestReport) -> str:
    """Say of which beams the shots are."""
    others = report.kept - report.full_power
    return f"{report.full_power:,} of full power, {others:,} of coverage beams"


def speak(report: IngestReport, *, quiet: bool) -> None:
    """Say what was found on the way, and what is wrong."""
    for name, (columns, granules) in report.skipped.items():
        say(f"warning: filter {name} skipped in {counted(granules)}: no {columns} there")
    if not quiet:
        for note, count in list(report.notes.items())[: 2 * SHOWN]:
            say(f"note     {note}{f' ({count})' if count > 1 else ''}")
    for fault in report.faults[:SHOWN]:
        say(f"error: {fault}")
    if len(report.faults) > SHOWN:
        say(f"error: {len(report.faults) - SHOWN} more like these")
    if not quiet:
        say(f"written  {report.output}, {report.kept:,} footprints")


def counted(granules: int) -> str:
    """Say how many granules."""
    return f"{granules} granule{'s' * (granules > 1)}"


def report_as_json(report: IngestReport) -> dict[str, Any]:
    """Return what was done as JSON values."""
    return {
        "output": str(report.output),
        "granules": report.granules,
        "read": report.read,
        "no_place": report.no_place,
        "outside": report.outside,
        "broken": report.broken,
        "twice": report.twice,
        "filters": [
            {"name": each.name, "keeps": each.keeps, "removed": each.in_turn, "alone": each.alone}
            for each in report.removed
        ],
        "skipped": {name: columns for name, (columns, _) in report.skipped.items()},
        "kept": report.kept,
        "full_power": report.full_power,
        "beams": dict(sorted(report.by_beam.items())),
        "columns": report.columns,
        "notes": list(report.notes),
        "faults": report.faults,
    }
