"""Which granules NASA has over an area: asked of CMR STAC, fetched from the archive."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shapely.geometry import box

from geo.catalog.apis import resolve_api
from geo.catalog.area import HALF_TURN, Area, read_area
from geo.catalog.dates import parse_time_span
from geo.catalog.errors import NothingFoundError
from geo.catalog.search import Catalog, Request, SearchSettings, footprint
from geo.gedi.errors import GediError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from geo.gedi.earthdata import Archive

    Named = Callable[[str, int, int], Callable[[int, int | None], None] | None]

CMR_STAC = "https://cmr.earthdata.nasa.gov/stac/LPCLOUD"
"""NASA's Common Metadata Repository as a STAC API, the part of the archive that holds GEDI."""

COLLECTIONS = ("GEDI02_A_002",)
"""L2A of version 2. GEDI02_B_002 has cover and plant area for the same shots."""

_FILE = re.compile(r"[\w.-]+\.h5")


@dataclass(frozen=True, kw_only=True)
class GranuleWish:
    """What is looked for.

    Attributes:
        area: `west,south,east,north` in degrees, or a vector file.
        datetime: a span such as 2020 or 2020-05/2020-09; None for any time.
        collections: ids of collections.
        api: URL of the STAC API.
        limit: largest number of granules of a collection.
        allow_local: trust the API wherever it points.
    """

    area: str
    datetime: str | None = None
    collections: tuple[str, ...] = COLLECTIONS
    api: str = CMR_STAC
    limit: int = 200
    allow_local: bool = False


@dataclass(frozen=True, kw_only=True)
class Granule:
    """A granule of the archive.

    Attributes:
        name: its id.
        day: when it was taken, YYYY-MM-DD.
        url: where its file lies.
        size: of the file [bytes], or None where the catalogue does not tell.
    """

    name: str
    day: str
    url: str
    size: int | None

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return urlsplit(self.url).path.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Granules:
    """What the catalogue has.

    Attributes:
        found: granules over the area, each once.
        more: whether the limit left some out.
    """

    found: list[Granule]
    more: bool


def search_granules(wish: GranuleWish) -> Granules:
    """Return the granules that the catalogue has over an area.

    Raises:
        CatalogError: the request makes no sense, or the API has no such collection.
        CatalogDownError: the API does not answer.
        NothingFoundError: it has none there.
    """
    area = read_area(wish.area)
    span = parse_time_span(wish.datetime) if wish.datetime else None
    settings = SearchSettings(limit=wish.limit, allow_local=wish.allow_local)
    catalog = Catalog(resolve_api(wish.api), settings)
    granules: dict[str, Granule] = {}
    more = False
    for collection in wish.collections:
        for part in boxes(area):
            request = Request(collection=collection, area=part, span=span)
            found = catalog.search(request)
            more = more or found.more != 0
            over = map(granule_of, within(found.items, area))
            granules |= {each.url: each for each in over if each}
    if not granules:
        for collection in wish.collections:
            catalog.collection(collection)  # says so where there is none
        hint = ": try without --datetime" if span else ", GEDI sees 51.6 degrees south to north"
        msg = f"{wish.api} has no granule over {area.name}{hint}"
        raise NothingFoundError(msg)
    return Granules(found=list(granules.values()), more=more)


def boxes(area: Area) -> list[Area]:
    """Return the boxes that are asked for: CMR takes no outline, and none over the antimeridian."""
    west, south, east, north = area.geometry.bounds
    halves = [(west, east)]
    if east - west > HALF_TURN:
        halves = [(west, 0.0), (0.0, east)]
    parts = [area.geometry.intersection(box(low, south, high, north)) for low, high in halves]
    return [replace(area, geometry=box(*part.bounds)) for part in parts if not part.is_empty]


def within(items: list[dict[str, Any]], area: Area) -> list[dict[str, Any]]:
    """Return the items whose ground meets an area itself, not its box alone."""
    grounds = [(item, footprint(item)) for item in items]
    return [item for item, ground in grounds if ground and ground.intersects(area.geometry)]


def granule_of(item: dict[str, Any]) -> Granule | None:
    """Return the granule of a STAC item; None where it has no file of HDF5."""
    files = [
        asset
        for asset in item["assets"].values()
        if asset["href"].startswith(("https://", "http://"))
        and _FILE.fullmatch(urlsplit(asset["href"]).path.rpartition("/")[2])
    ]
    if not files:
        return None
    properties = item.get("properties") or {}
    size = files[0].get("file:size")
    return Granule(
        name=str(item.get("id")),
        day=str(properties.get("datetime") or properties.get("start_datetime") or "-")[:10],
        url=files[0]["href"],
        size=size if isinstance(size, int) else None,
    )


def fetch_granules(
    granules: list[Granule], folder: Path, archive: Archive, showing: Named | None = None
) -> list[Path]:
    """Fetch granules into a folder; those that are there are not asked for again.

    Args:
        granules: what is fetched.
        folder: where to; it is made.
        archive: a session with the archive.
        showing: returns what is told how far a file is, from its name, its number and all.

    Raises:
        CredentialsError: the login is refused.
        DownloadError: one does not come; those before it stay.
        GediError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"--downloads {folder} cannot be made ({error.strerror}): choose another"
        raise GediError(msg) from error
    paths = []
    for number, granule in enumerate(granules, 1):
        show = showing(granule.name, number, len(granules)) if showing else None
        paths.append(archive.fetch(granule.url, folder / granule.file_name, show))
    return paths
