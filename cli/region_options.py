"""Options about areas and catalogs, which ``canopy search`` and ``canopy map`` share."""

from __future__ import annotations

import datetime as dt
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
