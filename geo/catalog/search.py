"""Asking a STAC API for imagery of an area: pages, limits, and what to relax where nothing is."""

from __future__ import annotations

import difflib
import json
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import shapely
from pystac.errors import STACError
from pystac_client import Client, ItemSearch
from pystac_client.conformance import ConformanceClasses
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError
from requests import RequestException
from shapely.geometry import shape

from geo.catalog.area import HALF_TURN, on_globe, unwrapped
from geo.catalog.errors import CatalogDownError, CatalogError, UntrustedHrefError
from geo.catalog.session import CatalogSession, Patience
from geo.catalog.vetting import vetted

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pystac
    from shapely.geometry.base import BaseGeometry

    from geo.catalog.apis import Api
    from geo.catalog.area import Area
    from geo.catalog.dates import TimeSpan

PAGE = 100
"""Items asked for at once."""

CLOUD = "eo:cloud_cover"
GONE = 404  # HTTP


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is looked for.

    Attributes:
        collection: id of the collection.
        area: where.
        span: when; None for any time.
        cloud: largest cloud cover [%]; items that do not tell theirs are left out. None for any.
    """

    collection: str
    area: Area
    span: TimeSpan | None = None
    cloud: float | None = None


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How it is looked for.

    Attributes:
        limit: largest number of items.
        allow_local: trust the API wherever it points.
        patience: how long it is waited for.
    """

    limit: int = 1000
    allow_local: bool = False
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What an API had.

    Attributes:
        api: the API.
        request: what was asked.
        items: STAC items as JSON values, as the API wrote them but for hrefs: these are whole,
            unsigned, and point nowhere that the API may not point.
        matched: how many match, if the API says.
        more: how many were left out by the limit: 0 for none, None if some but unknown how many.
        refused: hrefs that point where they may not, left out of `items`, by message.
    """

    api: Api
    request: Request
    items: list[dict[str, Any]]
    matched: int | None
    more: int | None
    refused: list[str]


class Catalog:
    """An opened STAC API."""

    def __init__(self, api: Api, settings: SearchSettings) -> None:
        """Open an API.

        Raises:
            CatalogDownError: it does not answer.
            CatalogError: what answers is no STAC API with a search.
        """
        self.api = api
        self.settings = settings
        session = CatalogSession(api.url, settings.patience, allow_local=settings.allow_local)
        with answering(api.url), warnings.catch_warnings(action="ignore"):
            self._client = Client.open(api.url, stac_io=session)
            links = self._client.get_links("search")
        if not links:
            msg = (
                f"{api.url} is a catalog without a search: expected the landing page of a STAC API"
            )
            raise CatalogError(msg)
        methods = {link.extra_fields.get("method", "POST") for link in links}
        self._method = "POST" if "POST" in methods else "GET"
        self._url = str((self._client.get_search_link() or links[0]).get_absolute_href())

    def collection(self, name: str) -> pystac.Collection:
        """Return a collection.

        Raises:
            CatalogDownError: the API does not answer.
            CatalogError: there is none; the message names those that are called alike.
        """
        with answering(self.api.url), warnings.catch_warnings(action="ignore"):
            found = self._client.get_collection(name)
            if found is not None:
                return found
            names = sorted(each.id for each in self._client.get_collections())
        close = _alike(name, names)
        listed = f"called alike: {', '.join(close)}" if close else f"it has {', '.join(names[:10])}"
        msg = f"--collection {name}: none of {len(names)} collections of {self.api.url}; {listed}"
        raise CatalogError(msg)

    def search(self, request: Request) -> Found:
        """Return the items that an API has for a request; perhaps none.

        Every item is looked at again here: an API may read an outline as its box.

        Raises:
            CatalogDownError: the API does not answer, or not in time.
            CatalogError: it does not take the request, or its answer is no list of items.
        """
        limit = self.settings.limit
        pages = Pages(request, min(PAGE, limit + 1))
        with answering(self.api.url), warnings.catch_warnings(action="ignore"):
            items = list(islice(pages.items(self._search(request, pages.size)), limit + 1))
        more: int | None = 0
        if len(items) > limit:
            more = pages.matched - limit if pages.exact and pages.matched else None
        refused: list[str] = []
        kept = [
            vetted(item, self.api.url, refused, allow_local=self.settings.allow_local)
            for item in items[:limit]
        ]
        return Found(
            api=self.api, request=request, items=kept, matched=pages.matched, more=more,
            refused=refused,
        )  # fmt: skip

    def count(self, request: Request) -> str:
        """Say how many items a request would find: "0", "12", "at least 100".

        Raises:
            CatalogDownError: the API does not answer.
            CatalogError: it does not take the request.
        """
        pages = Pages(request, PAGE)
        with answering(self.api.url), warnings.catch_warnings(action="ignore"):
            counted = sum(1 for _ in islice(pages.items(self._search(request, PAGE)), PAGE))
        if counted < PAGE:
            return str(counted)
        return str(pages.matched) if pages.matched and pages.exact else f"at least {counted}"

    def _search(self, request: Request, size: int) -> ItemSearch:
        """Return a search that asks nothing yet."""
        limits: dict[str, Any] = {}
        if request.cloud is not None and self._client.conforms_to(ConformanceClasses.QUERY):
            limits["query"] = {CLOUD: {"lte": request.cloud}}
        elif request.cloud is not None and self._client.conforms_to(ConformanceClasses.FILTER):
            limits["filter"] = _cloud_filter(request.cloud, self._method)
            limits["filter_lang"] = "cql2-json" if self._method == "POST" else "cql2-text"
        return ItemSearch(
            self._url,
            method=self._method,
            client=self._client,
            collections=[request.collection],
            intersects=request.area.outline,
            datetime=request.span.text if request.span else None,
            limit=size,
            **limits,
        )


@dataclass(kw_only=False)
class Pages:
    """Pages of answers, and what they say of the whole.

    Attributes:
        request: what was asked.
        size: items a page.
        matched: how many match, if the API says.
        exact: whether all that came so far is what was asked for.
    """

    request: Request
    size: int
    matched: int | None = None
    exact: bool = True

    def items(self, search: ItemSearch) -> Iterator[dict[str, Any]]:
        """Yield each item of a search that is what was asked for, once.

        Raises:
            CatalogError: the answer is no list of items, or its pages come again.
        """
        seen: set[str] = set()
        for page in search.pages_as_dicts():
            self.matched = self.matched if self.matched is not None else _matched(page)
            new = [item for item in page["features"] if str(item.get("id")) not in seen]
            if not new:
                msg = (
                    "the same items come on every page: its paging is broken, ask for less at once"
                )
                raise CatalogError(msg)
            for item in new:
                seen.add(str(item.get("id")))
                if meets(item, self.request):
                    yield item
                else:
                    self.exact = False


def meets(item: dict[str, Any], request: Request) -> bool:
    """Whether an item touches the area and is as clear as asked."""
    ground = footprint(item)
    if ground is None or not ground.intersects(request.area.geometry):
        return False
    cloud = item.get("properties", {}).get(CLOUD)
    return request.cloud is None or (
        isinstance(cloud, int | float) and float(cloud) <= request.cloud
    )


def footprint(item: dict[str, Any]) -> BaseGeometry | None:
    """Return the ground of an item in longitude and latitude within 180 degrees, if it has any.

    What is wider than half the globe is taken to cross the antimeridian: no scene is that wide.
    """
    try:
        ground = shapely.force_2d(shape(item["geometry"]))
        if ground.is_empty:
            return None
        west, _, east, _ = ground.bounds
        if ground.geom_type == "Polygon" and east - west > HALF_TURN:
            ground = unwrapped(ground)
        return on_globe(shapely.make_valid(ground))
    except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError):
        return None


def relaxed(request: Request) -> dict[str, Request]:
    """Return requests that ask for less, by the words for it: each limit left out, then all."""
    choices: dict[str, Request] = {}
    if request.cloud is not None:
        choices["without --cloud"] = replace(request, cloud=None)
    if request.span is not None:
        choices["without --datetime"] = replace(request, span=None)
    if len(choices) > 1:
        choices["without both"] = replace(request, cloud=None, span=None)
    return choices


@contextmanager
def answering(url: str) -> Iterator[None]:
    """Turn what goes wrong with an API into one line.

    Raises:
        CatalogDownError: it does not answer, or says that it cannot just now.
        CatalogError: it refuses, or is no STAC API.
    """
    try:
        yield
    except (APIError, RequestException) as error:
        raise _refusal(url, error) from error
    except json.JSONDecodeError as error:
        msg = f"{url} is no STAC API: expected JSON, found something else, such as a web page"
        raise CatalogError(msg) from error
    except (STACError, ClientTypeError, KeyError, TypeError, AttributeError, ValueError) as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        msg = f"{url} does not answer as a STAC API does ({detail[:120]}): is it a landing page?"
        raise CatalogError(msg) from error


def _refusal(url: str, error: Exception) -> CatalogError:
    """Return the error of an answer that is none."""
    if isinstance(error.__context__, UntrustedHrefError):  # pystac-client wraps all that goes wrong
        return error.__context__
    status = getattr(error, "status_code", None)
    said = " ".join(str(error).split())[:160]
    if status is None:
        trouble = _trouble(error)
        msg = f"{url} does not answer ({trouble}): check the URL and the line, or try again later"
        return CatalogDownError(msg)
    if status == GONE:
        return CatalogError(
            f"{url} has no such page (404): expected the landing page of a STAC API"
        )
    if status in {429, *range(500, 600)}:
        msg = f"{url} cannot answer just now ({status}): try again later"
        return CatalogDownError(msg)
    return CatalogError(f"{url} refuses the request ({status}: {said}): ask for something else")


def _trouble(error: Exception) -> str:
    """Return what is wrong with the line, without the names that libraries give to connections."""
    cause = error.__context__ or error
    reason = getattr(cause.args[0], "reason", None) if cause.args else None
    text = " ".join(str(reason or cause).split())
    return text.rpartition("): ")[2][:160]


def _cloud_filter(cloud: float, method: str) -> dict[str, Any] | str:
    """Return a limit of cloud in CQL2."""
    if method == "GET":
        return f'"{CLOUD}" <= {cloud:g}'
    return {"op": "<=", "args": [{"property": CLOUD}, cloud]}


def _alike(name: str, names: list[str]) -> list[str]:
    """Return up to five names that are like one: spelled nearly so, or holding it."""
    lower = {other.lower(): other for other in names}
    close = difflib.get_close_matches(name.lower(), lower, n=5)
    close += [other for other in lower if name.lower() in other and other not in close]
    return [lower[other] for other in close[:5]]


def _matched(page: dict[str, Any]) -> int | None:
    """Return how many items match in all, if a page says."""
    context = page.get("context") or {}
    matched = page.get("numberMatched", context.get("matched"))
    return matched if isinstance(matched, int) else None
