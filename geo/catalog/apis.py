"""Public STAC APIs by name, so that nobody has to remember a URL."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from urllib.parse import urlsplit

from geo.catalog.errors import CatalogError
from geo.catalog.trust import place_of


@dataclass(frozen=True, kw_only=True)
class Api:
    """A STAC API.

    Attributes:
        url: its landing page.
        name: by which it is asked for; None for one that was given by URL.
        note: what it has, and who may read it.
        signed: whether its files are read through URLs that the `planetary-computer` package signs.
    """

    url: str
    name: str | None = None
    note: str = ""
    signed: bool = False


KNOWN_APIS = (
    Api(
        name="planetary-computer",
        url="https://planetarycomputer.microsoft.com/api/stac/v1",
        note="Microsoft: NAIP (naip), Sentinel-2, Landsat; its files are read signed",
        signed=True,
    ),
    Api(
        name="earth-search",
        url="https://earth-search.aws.element84.com/v1",
        note="Element 84: Sentinel-2 open, NAIP (naip) on buckets where the reader pays",
    ),
    Api(
        name="openaerialmap",
        url="https://api.imagery.hotosm.org/stac",
        note="Humanitarian OpenStreetMap Team: drone and aerial imagery (openaerialmap), open",
    ),
    Api(
        name="swisstopo",
        url="https://data.geo.admin.ch/api/stac/v1",
        note="Switzerland: aerial imagery of 0.1 m (ch.swisstopo.swissimage-dop10), open",
    ),
    Api(
        name="usgs-landsat",
        url="https://landsatlook.usgs.gov/stac-server",
        note="USGS: Landsat, on buckets where the reader pays",
    ),
    Api(
        name="copernicus",
        url="https://stac.dataspace.copernicus.eu/v1",
        note="Copernicus Data Space: Sentinels; reading needs the S3 keys of an account",
    ),
    Api(
        name="digital-earth-africa",
        url="https://explorer.digitalearth.africa/stac",
        note="Africa: Sentinel-2 and Landsat, open",
    ),
    Api(
        name="digital-earth-australia",
        url="https://explorer.dea.ga.gov.au/stac",
        note="Australia: Sentinel-2 and Landsat, open",
    ),
    Api(
        name="brazil-data-cube",
        url="https://data.inpe.br/bdc/stac/v1/",
        note="INPE: CBERS, Sentinel-2, Landsat over Brazil",
    ),
)


def resolve_api(text: str) -> Api:
    """Return the API that a name or a URL stands for.

    Args:
        text: a name of `KNOWN_APIS`, or the http(s) URL of a landing page.

    Raises:
        CatalogError: it is neither.
    """
    for api in KNOWN_APIS:
        if text.lower() == api.name or text.rstrip("/") == api.url.rstrip("/"):
            return api
    if text.startswith(("http://", "https://")):
        place_of(text)  # refuses what is no plain URL
        return Api(url=text)
    names = [str(api.name) for api in KNOWN_APIS]
    close = difflib.get_close_matches(text.lower(), names, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    msg = f"--api {text}: expected the URL of a STAC API, or one of {', '.join(names)}{hint}"
    raise CatalogError(msg)


def api_of_host(href: str) -> Api | None:
    """Return the known API on whose server a document lies, or None."""
    host = urlsplit(href).hostname
    return next((api for api in KNOWN_APIS if urlsplit(api.url).hostname == host), None)
