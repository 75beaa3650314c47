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
from cli.options import Debug, Quiet  # noqa: TC001 - Typer reads the annotations

if TYPE_CHECKING:
    from geo.gedi.granule_search import Granule, GranuleWish
    from geo.gedi.ingest import IngestReport

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


@gedi.command(name="ingest")
def ingest(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOOTPRINTS", help="The table, .parquet."),
    ],
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
    preset: Annotated[
        Preset,
        typer.Option(
            help="Filters: default keeps quality_flag 1 and degrade_flag 0; strict is the "
            "validation of CHMv2: also full power, night, leaves on, sensitivity 0.95, and ground "
            "near the elevation model."
        ),
    ] = Preset.default,
    rh: Annotated[
        str, typer.Option(metavar="P,P,...", help="Percentiles of relative height, 0 to 100.")
    ] = "50,75,95,98,100",
    search: Annotated[
        bool,
        typer.Option(
            "--search",
            help="Find granules over --area in NASA's catalogue and fetch them first. Needs a "
            "login of Earthdata: EARTHDATA_TOKEN, or ~/.netrc.",
        ),
    ] = False,
    datetime: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="With --search: 2020, 2020-05/2020-09 and alike."),
    ] = None,
    collection: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="With --search: GEDI02_A_002 by default; GEDI02_B_002 adds cover. Repeatable.",
        ),
    ] = None,
    api: Annotated[
        str | None,
        typer.Option(metavar="URL", help="With --search: another STAC API than NASA's."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="With --search: most granules a collection; 200 by default.",
        ),
    ] = None,
    downloads: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="With --search: where granules are kept; FOOTPRINTS.granules by default.",
        ),
    ] = None,
    list_only: Annotated[
        bool, typer.Option("--list", help="With --search: list the granules, fetch none.")
    ] = False,
    allow_local: Annotated[
        bool,
        typer.Option(
            "--allow-local",
            help="With --search: trust the API also where it points inside your network.",
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Granules read at once; one a processor by default."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an older table.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was done as JSON instead of the table.")
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read in cli.app, before parsing can fail
) -> None:
    """Make one table of footprints of GEDI granules.

    FOOTPRINTS is GeoParquet with points in EPSG:4326, heights in metres. A table tells how many
    shots each filter removed. A file that cannot be read is said and passed over, and the exit code
    is 1; so it is where a beam is missing.
    """
    show_notes(quiet=quiet)
    from geo.gedi.errors import refuse_missing_reader  # noqa: PLC0415 - help must not wait for it

    refuse_missing_reader()
    from geo.gedi.ingest import ingest_granules, refuse_table  # noqa: PLC0415
    from geo.gedi.settings import IngestSettings  # noqa: PLC0415

    settings = IngestSettings(
        area=area, preset=preset.value, ranks=parse_ranks(rh), workers=workers, overwrite=overwrite
    )
    paths = list(sources or [])
    asked = {
        "--datetime": datetime, "--collection": collection, "--api": api, "--limit": limit,
        "--downloads": downloads, "--list": list_only, "--allow-local": allow_local,
    }  # fmt: skip
    refuse_options(asked, paths, area=area, search=search)
    refuse_table(output, paths, settings)
    if search:
        folder = downloads or output.with_name(f"{output.stem}.granules")
        told = Told(quiet=quiet, as_json=as_json)
        paths = search_and_fetch(wish_of(area or "", asked), None if list_only else folder, told)
        if list_only:
            return
    with progress_bar("reading", quiet=quiet, unit="granules") as progress:
        report = ingest_granules(paths, output, settings, progress)
    if as_json:
        print_json(report_as_json(report))
    else:
        print_table(rows_of(report))
    speak(report, quiet=quiet)
    if report.faults:
        raise typer.Exit(1)


def parse_ranks(text: str) -> tuple[int, ...]:
    """Return the percentiles of a text such as ``50,95,98``.

    Raises:
        BadParameter: it has others than whole numbers.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        msg = f"--rh {text}: expected whole percentiles from 0 to 100, such as 50,95,98"
        raise typer.BadParameter(msg) from error


def refuse_options(
    asked: dict[str, Any], paths: list[Path], *, area: str | None, search: bool
) -> None:
    """Refuse options that would be passed over, and a request for nothing.

    Raises:
        BadParameter: as said.
    """
    given = [name for name, value in asked.items() if value]
    if given and not search:
        msg = f"{given[0]} goes with --search"
        raise typer.BadParameter(msg)
    if search and paths:
        msg = "--search finds the granules: give no files beside it"
        raise typer.BadParameter(msg)
    if search and area is None:
        msg = "--search needs --area"
        raise typer.BadParameter(msg)
    if not search and not paths:
        msg = "expected granules or folders of them, or --search with --area"
        raise typer.BadParameter(msg)


def wish_of(area: str, asked: dict[str, Any]) -> GranuleWish:
    """Return what is looked for."""
    from geo.gedi.granule_search import CMR_STAC, COLLECTIONS, GranuleWish  # noqa: PLC0415

    return GranuleWish(
        area=area,
        datetime=asked["--datetime"],
        collections=tuple(asked["--collection"] or COLLECTIONS),
        api=asked["--api"] or CMR_STAC,
        limit=asked["--limit"] or 200,
        allow_local=asked["--allow-local"],
    )


@dataclass(frozen=True, kw_only=True)
class Told:
    """How much a person, or a program, wants to be told."""

    quiet: bool
    as_json: bool


def search_and_fetch(wish: GranuleWish, folder: Path | None, told: Told) -> list[Path]:
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
