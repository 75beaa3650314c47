"""A STAC API on this machine: searches for real, pages by POST and GET, and fails when told to."""

from __future__ import annotations

import http.server
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import parse_qs, urlencode, urlsplit

from shapely.geometry import shape

CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "https://api.stacspec.org/v1.0.0/collections",
]
QUERY = "https://api.stacspec.org/v1.0.0/item-search#query"
FILTER = [
    "https://api.stacspec.org/v1.0.0/item-search#filter",
    "http://www.opengis.net/spec/cql2/1.0/conf/cql2-json",
]


@dataclass
class SmallApi:
    """What the server holds, how it behaves, and what it was asked.

    Attributes:
        items: STAC items.
        collections: ids.
        conforms: conformance classes.
        get_only: the landing page offers no POST.
        counts: how it tells how many match: numberMatched, context or None.
        careless: it ignores the area and the cloud, as a broken one does.
        circles: every page is the first.
        faults: answers to the next requests, instead of the true ones: a status, or (status,
            headers, body), or a number of seconds of silence as ("stall", s).
        landing: changes of the landing page.
        asked: (method, path, parameters) of every request.
    """

    items: list[dict]
    collections: tuple[str, ...] = ("aerial",)
    conforms: list[str] = field(default_factory=lambda: [*CONFORMS, QUERY])
    get_only: bool = False
    counts: str | None = "numberMatched"
    careless: bool = False
    circles: bool = False
    faults: list = field(default_factory=list)
    landing: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    url: str = ""

    def searches(self):
        """Return the parameters of all searches."""
        return [asked for _, path, asked in self.asked if path == "/search"]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers for the API of the server."""

    def log_message(self, *_):
        """Say nothing."""

    def do_GET(self):
        parts = urlsplit(self.path)
        self.route("GET", parts.path, {k: v[0] for k, v in parse_qs(parts.query).items()})

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.route("POST", urlsplit(self.path).path, json.loads(self.rfile.read(length)))

    def route(self, method, path, asked):
        api = self.server.api
        api.asked.append((method, path, asked))
        if api.faults and (fault := api.faults.pop(0)):
            self.fail(*(fault if isinstance(fault, tuple) else (fault, {}, "no")))
        elif path == "/":
            self.reply(self.landing_page())
        elif path == "/collections":
            self.reply({"collections": [self.collection(name) for name in api.collections]})
        elif path.startswith("/collections/") and path.split("/")[2] in api.collections:
            self.reply(self.collection(path.split("/")[2]))
        elif path == "/search":
            self.reply(self.page(method, asked))
        else:
            self.fail(404, {}, json.dumps({"code": "NotFound"}))

    def landing_page(self):
        api = self.server.api
        links = [
            {"rel": "self", "href": api.url},
            {"rel": "root", "href": api.url},
            {"rel": "data", "href": f"{api.url}/collections", "type": "application/json"},
        ]
        for method in ("GET",) if api.get_only else ("POST", "GET"):
            href = f"{api.url}/search"
            search = {"rel": "search", "href": href, "type": "application/geo+json"}
            links.append(search | {"method": method})
        page = {"type": "Catalog", "stac_version": "1.0.0", "id": "small", "description": "small"}
        return page | {"conformsTo": api.conforms, "links": links} | api.landing

    def collection(self, name):
        extent = {
            "spatial": {"bbox": [[10, 50, 12, 52]]},
            "temporal": {"interval": [["2018-01-01T00:00:00Z", None]]},
        }
        return {
            "type": "Collection", "stac_version": "1.0.0", "id": name, "description": name,
            "license": "CC0-1.0", "extent": extent, "links": [],
        }  # fmt: skip

    def page(self, method, asked):
        api = self.server.api
        found = [item for item in api.items if self.matches(item, asked)]
        size, start = int(asked.get("limit", 10)), int(asked.get("token", 0))
        start = 0 if api.circles else start
        part = [self.linked(item) for item in found[start : start + size]]
        page = {"type": "FeatureCollection", "features": part, "links": []}
        if api.circles or start + size < len(found):
            page["links"].append(self.next_link(method, asked, start + size))
        if api.counts == "numberMatched":
            page["numberMatched"] = len(found)
        elif api.counts == "context":
            page["context"] = {"matched": len(found)}
        return page

    def linked(self, item):
        url = self.server.api.url
        home = f"{url}/collections/{item['collection']}"
        links = [{"rel": "root", "href": url}, {"rel": "collection", "href": home}]
        return item | {"links": [*item["links"], *links]}

    def next_link(self, method, asked, token):
        url = f"{self.server.api.url}/search"
        if method == "POST":
            body = asked | {"token": token}
            return {"rel": "next", "href": url, "method": "POST", "body": body}
        query = {key: value for key, value in asked.items() if key != "token"} | {"token": token}
        return {"rel": "next", "href": f"{url}?{urlencode(query)}", "method": "GET"}

    def matches(self, item, asked):
        names = asked.get("collections", item["collection"])
        names = names.split(",") if isinstance(names, str) else names
        return (
            item["collection"] in names
            and self.in_time(item, asked.get("datetime"))
            and (
                self.server.api.careless
                or (self.in_place(item, asked) and self.is_clear(item, asked))
            )
        )

    @staticmethod
    def in_place(item, asked):
        area = asked.get("intersects")
        area = json.loads(area) if isinstance(area, str) else area
        return area is None or shape(item["geometry"]).intersects(shape(area))

    @staticmethod
    def in_time(item, span):
        if not span:
            return True
        start, end = span.split("/")
        moment = datetime.fromisoformat(item["properties"]["datetime"])
        after = start == ".." or moment >= datetime.fromisoformat(start)
        return after and (end == ".." or moment <= datetime.fromisoformat(end))

    @staticmethod
    def is_clear(item, asked):
        query = asked.get("query")
        query = json.loads(query) if isinstance(query, str) else query or {}
        most = query.get("eo:cloud_cover", {}).get("lte")
        if most is None and isinstance(asked.get("filter"), dict):
            most = asked["filter"]["args"][1]
        cloud = item["properties"].get("eo:cloud_cover")
        return most is None or (cloud is not None and cloud <= most)

    def fail(self, status, headers, body):
        if status == "stall":
            time.sleep(headers)
            return
        self.reply(body, status, headers)

    def reply(self, body, status=200, headers=None):
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        told = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        for name, value in {**told, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def stac_api(items, **choices):
    """Lend a STAC API, which can be changed while it is served."""
    api = SmallApi(items, **choices)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.api, server.daemon_threads, server.block_on_close = api, True, False
        api.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield api
        server.shutdown()
        thread.join()


def stac_item(name, bbox, **properties):
    """Return a STAC item over a box in degrees, with one image."""
    west, south, east, north = bbox
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    assets = properties.pop("assets", None) or {
        "image": {"href": f"https://imagery.example.com/{name}.tif", "type": "image/tiff"}
    }
    geometry = properties.pop("geometry", {"type": "Polygon", "coordinates": [ring]})
    links = properties.pop("links", [])
    base = {"datetime": "2021-06-01T10:00:00Z", "platform": "plane", "gsd": 0.6}
    return {
        "type": "Feature", "stac_version": "1.0.0", "stac_extensions": [], "id": name,
        "collection": properties.pop("collection", "aerial"), "geometry": geometry,
        "bbox": list(bbox), "properties": base | properties, "assets": assets,
        "links": links,
    }  # fmt: skip
