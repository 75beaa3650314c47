"""Options about areas, catalogs and clusters, some of which ``canopy search`` has too."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from geo.imagery.ranking import Preference

API_HELP = (
    "STAC API: a URL, or planetary-computer, earth-search, openaerialmap, swisstopo, "
    "usgs-landsat, copernicus, digital-earth-africa, digital-earth-australia, brazil-data-cube."
)
AREA_HELP = (
    "west,south,east,north in degrees, or a vector file (GeoJSON, GPKG, ...) in any CRS, whose "
    "polygons are united. West > east crosses the antimeridian."
)
API = typer.Option(metavar="URL|NAME", help=API_HELP)
AREA = typer.Option(metavar="AREA", help=AREA_HELP)
COLLECTION = typer.Option(metavar="ID", help="Collection of the API: naip.")

Datetime = Annotated[
    str | None,
    typer.Option(metavar="SPAN", help="2022, 2022-06, 2021-05-01/2022-09-30, 2020/.. and alike."),
]
Cloud = Annotated[
    float | None,
    typer.Option(
        metavar="PERCENT", help="Most cloud; images that do not tell theirs are left out."
    ),
]
AllowLocal = Annotated[
    bool,
    typer.Option(
        "--allow-local",
        help="Trust the catalog also where it points at files of this machine or at addresses "
        "inside your network.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class RegionOptions:
    """Options of ``canopy map`` about areas, catalogs and clusters, as they were given.

    None, or False, is an option that was not given.
    """

    area: Annotated[str | None, AREA] = None
    api: Annotated[str | None, API] = None
    collection: Annotated[str | None, COLLECTION] = None
    datetime: Datetime = None
    cloud: Cloud = None
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Most items of the API; 1000 by default.")
    ] = None
    asset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME,NAME]",
            help="Asset with red, green and blue, or the three of them; found by default.",
        ),
    ] = None
    prefer: Annotated[
        str | None,
        typer.Option(
            metavar="newest|cloud|nearest:DATE",
            help="Image that wins where several show the same ground; newest by default.",
        ),
    ] = None
    allow_local: AllowLocal = False
    cell: Annotated[
        int | None,
        typer.Option(metavar="PX", help="Side of a cell, a power of two; 4096 by default."),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Processes of a Dask cluster on this machine."),
    ] = None
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="tcp://HOST:PORT", help="A Dask cluster that runs already."),
    ] = None
    retries: Annotated[
        int | None,
        typer.Option(metavar="N", help="Further tries of a cell that fails; 3 by default."),
    ] = None


def parse_prefer(text: str) -> Preference:
    """Return what is liked in an image: ``newest``, ``cloud`` or ``nearest:2021-06-15``.

    Raises:
        BadParameter: it is none.
    """
    from geo.imagery.ranking import Preference  # noqa: PLC0415 - help must not wait for it

    by, colon, date = text.partition(":")
    try:
        moment = dt.datetime.fromisoformat(date) if colon else None
    except ValueError as error:
        msg = f"--prefer {text}: expected a date such as nearest:2021-06-15"
        raise typer.BadParameter(msg) from error
    return Preference(by=by, date=moment)
