"""``canopy search``: imagery of an area, from a STAC API into a file of items."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import print_json, print_table, say, show_notes
from cli.option_groups import grouped
from cli.options import Overwrite, Speech  # noqa: TC001 - Typer reads the annotations
from cli.region_options import (
    API,
    AREA,
    COLLECTION,
    AllowLocal,
    Cloud,
    Datetime,
)

if TYPE_CHECKING:
    from geo.catalog.findings import Group
    from geo.catalog.imagery_search import SearchReport, Wish
    from geo.catalog.search import SearchSettings

SHOWN = 3
"""Messages of one kind that are said before the rest is counted."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Options about a search, as they were given."""

    api: Annotated[str, API]
    collection: Annotated[str, COLLECTION]
    area: Annotated[str, AREA]
    datetime: Datetime = None
    cloud: Cloud = None
    limit: Annotated[int, typer.Option(metavar="N", help="Most items.")] = 1000
    time_limit: Annotated[
        float, typer.Option(metavar="S", help="Seconds after which the API is given up.")
    ] = 300.0
    allow_local: AllowLocal = False

    def wish(self) -> Wish:
        """Return what is looked for."""
        from geo.catalog.imagery_search import Wish  # noqa: PLC0415 - help must not wait for it

        return Wish(
            api=self.api,
            collection=self.collection,
            area=self.area,
            datetime=self.datetime,
            cloud=self.cloud,
        )

    def settings(self) -> SearchSettings:
        """Return how it is looked for."""
        from geo.catalog.search import SearchSettings  # noqa: PLC0415 - help must not wait for these
        from geo.catalog.session import Patience  # noqa: PLC0415

        patience = Patience(limit_s=self.time_limit)
        return SearchSettings(limit=self.limit, allow_local=self.allow_local, patience=patience)


@grouped
def search_imagery(
    options: SearchOptions,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="ITEMS", help="items.json or items.parquet."),
    ],
    *,
    preview: Annotated[bool, typer.Option(help="Draw a map into ITEMS.preview.png.")] = True,
    overwrite: Overwrite = False,
    speech: Speech,
) -> None:
    """Find imagery of AREA in a STAC API and write its items.

    A table tells dates, platforms, pixel sizes, cloud and how much of the area they cover. Beside
    the items stands a map of footprints and of what none of them covers (.preview.png).
    Exit code 2 where nothing is found, with what to relax.
    """
    show_notes(quiet=speech.quiet)
    from geo.catalog.imagery_search import (  # noqa: PLC0415 - help must not wait for these
        SearchOutput,
        find_imagery,
    )

    place = SearchOutput(items=output, preview=preview, overwrite=overwrite)
    report = find_imagery(options.wish(), place, options.settings())
    if speech.as_json:
        print_json(report_as_json(report))
    else:
        print_table([row(group) for group in report.groups])
    for line in warnings_of(report):
        say(f"warning: {line}")
    if not speech.quiet:
        for line in in_words(report):
            say(line)


def row(group: Group) -> dict[str, str]:
    """Return a line of the table."""
    return {
        "date": group.when,
        "platform": group.platform,
        "GSD": in_range(group.gsd_m, "m"),
        "cloud": in_range(group.cloud_percent, "%"),
        "items": str(group.count),
        "of the area": group.covers_in_words,
    }


def in_range(ends: tuple[float, float] | None, unit: str) -> str:
    """Return a range in words: 0.6 m, 3 to 12 %, or a dash."""
    if ends is None:
        return "-"
    low, high = (f"{end:.3g}" for end in ends)
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def in_words(report: SearchReport) -> list[str]:
    """Say what was found as a whole, and where it stands."""
    found, area = report.found, report.found.request.area
    count = len(found.items)
    covered = f"{report.coverage.in_words} of {area.km2:,.4g} km2"
    lines = [
        f"found    {count} item{'s' if count > 1 else ''}, covering {covered}",
        f"written  {', '.join(str(path) for path in report.files)}",
    ]
    if found.api.signed:
        lines.append("note     its files are signed when they are read: the items hold no keys")
    return lines


def warnings_of(report: SearchReport) -> list[str]:
    """Say what a user would be wrong not to know."""
    found = report.found
    said = list(found.refused[:SHOWN])
    if len(found.refused) > SHOWN:
        said.append(f"{len(found.refused) - SHOWN} more hrefs were left out for like reasons")
    if found.more is None or found.more:
        many = "more" if found.more is None else f"{found.more} more"
        said.append(
            f"the limit of {len(found.items)} items is reached, and there are {many}: --limit"
        )
    if found.api.signed:
        said += missing_signer()
    return said


def missing_signer() -> list[str]:
    """Say what to install before files that are signed can be read, if anything."""
    from geo.catalog.errors import CatalogError  # noqa: PLC0415 - help must not wait for it
    from geo.catalog.signing import refuse_missing_signer  # noqa: PLC0415

    try:
        refuse_missing_signer()
    except CatalogError as error:
        return [str(error)]
    return []


def report_as_json(report: SearchReport) -> dict[str, Any]:
    """Return what was found as JSON values."""
    found = report.found
    return {
        "api": found.api.url,
        "collection": found.request.collection,
        "datetime": found.request.span.text if found.request.span else None,
        "cloud": found.request.cloud,
        "area_km2": round(found.request.area.km2, 6),
        "items": len(found.items),
        "matched": found.matched,
        "limit_reached": found.more != 0,
        "more": found.more,
        "refused": found.refused,
        "covered_percent": round(report.coverage.percent, 4),
        "groups": [group_as_json(group) for group in report.groups],
        "output": [str(path) for path in report.files],
    }


def group_as_json(group: Group) -> dict[str, Any]:
    """Return one line of the table as JSON values."""
    return {
        "when": group.when,
        "platform": group.platform,
        "gsd_m": group.gsd_m,
        "cloud_percent": group.cloud_percent,
        "items": group.count,
        "covers_percent": round(group.covers_percent, 4),
    }
