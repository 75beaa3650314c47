"""A search against a real server: pages, limits, faults, and an API that is not to be trusted."""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import replace

import pytest
from shapely.geometry import box
from small_stac_api import CONFORMS, FILTER, stac_api, stac_item

from geo.catalog.apis import KNOWN_APIS, Api, resolve_api
from geo.catalog.area import Area, read_area
from geo.catalog.dates import parse_time_span
from geo.catalog.errors import CatalogDownError, CatalogError, UntrustedHrefError
from geo.catalog.search import Catalog, Request, SearchSettings, footprint
from geo.catalog.session import Patience

HASTE = Patience(limit_s=20, request_s=5, backoff_s=0.01)
ASKED = Request(collection="aerial", area=read_area("10,50,11,51"))


def grid(count):
    """Return items side by side from 10 degrees east."""
    return [
        stac_item(f"scene-{n}", (10 + n / count, 50, 10 + (n + 1) / count, 51))
        for n in range(count)
    ]


def opened(api, **choices):
    return Catalog(Api(url=api.url), SearchSettings(**{"patience": HASTE, **choices}))


def names(found):
    return [item["id"] for item in found.items]


@pytest.mark.parametrize("get_only", [False, True])
def test_all_pages_are_read(get_only):
    with stac_api(grid(250), get_only=get_only) as api:
        found = opened(api).search(ASKED)
        assert names(found) == [f"scene-{n}" for n in range(250)]
        assert (found.matched, found.more, found.refused) == (250, 0, [])
        methods = {method for method, path, _ in api.asked if path == "/search"}
        assert methods == {"GET" if get_only else "POST"}
        assert len(api.searches()) == 3


@pytest.mark.parametrize(
    ("counts", "more"), [("numberMatched", 235), ("context", 235), (None, None)]
)
def test_a_limit_says_how_many_are_left(counts, more):
    with stac_api(grid(250), counts=counts) as api:
        found = opened(api, limit=15).search(ASKED)
        assert (len(found.items), found.more) == (15, more)
        assert len(api.searches()) == 1
        assert opened(api, limit=250).search(ASKED).more == 0


def test_only_what_was_asked_for_comes_back():
    clear = {"eo:cloud_cover": 5}
    items = [
        stac_item("wanted", (10, 50, 10.5, 50.5), **clear),
        stac_item("elsewhere", (12, 50, 13, 51), **clear),
        stac_item("early", (10, 50, 11, 51), datetime="2019-01-01T00:00:00Z", **clear),
        stac_item("cloudy", (10, 50, 11, 51), **{"eo:cloud_cover": 60}),
        stac_item("untold", (10, 50, 11, 51)),
        stac_item("other", (10, 50, 11, 51), collection="other", **clear),
    ]
    request = replace(ASKED, span=parse_time_span("2021"), cloud=20)
    with stac_api(items) as api:
        for conforms in ([*CONFORMS, "https://api.stacspec.org/v1.0.0/item-search#query"],
                         [*CONFORMS, *FILTER], CONFORMS):  # fmt: skip
            api.conforms = conforms
            assert names(opened(api).search(request)) == ["wanted"]
        api.careless = True
        assert names(opened(api).search(request)) == ["wanted"]
        asked = api.searches()
    assert asked[0]["query"] == {"eo:cloud_cover": {"lte": 20}}
    assert asked[1]["filter"]["args"] == [{"property": "eo:cloud_cover"}, 20]
    assert not {"query", "filter"} & set(asked[2])


def test_an_outline_of_many_points_is_asked_shorter_and_looked_at_whole():
    star = box(10, 50, 11, 51).difference(box(10.2, 50.2, 10.8, 51)).segmentize(0.001)
    request = replace(ASKED, area=Area(geometry=star, name="u"))
    items = [stac_item("in", (10, 50, 10.1, 50.1)), stac_item("gap", (10.4, 50.6, 10.6, 50.8))]
    with stac_api(items, get_only=True) as api:
        found = opened(api).search(request)
        sent = json.loads(api.searches()[0]["intersects"])
    assert names(found) == ["in"]
    assert len(json.dumps(sent)) < 6000


@pytest.mark.parametrize("fault", [500, 502, 503, 504, 429])
def test_passing_faults_are_waited_out(fault):
    with stac_api(grid(3)) as api:
        catalog = opened(api)
        api.faults = [fault, (fault, {"Retry-After": "0"}, "busy")]
        assert len(catalog.search(ASKED).items) == 3
        assert len(api.searches()) == 3


def test_a_server_may_ask_for_a_pause_but_not_for_a_long_one():
    with stac_api(grid(1)) as api:
        catalog = opened(api)
        api.faults = [(429, {"Retry-After": "86400"}, "later")]
        start = time.monotonic()
        assert len(catalog.search(ASKED).items) == 1
        assert 0.9 < time.monotonic() - start < 4


@pytest.mark.parametrize("fault", [503, 429])
def test_lasting_faults_are_told(fault):
    with stac_api(grid(1)) as api:
        catalog = opened(api)
        api.faults = [fault] * 9
        with pytest.raises(CatalogDownError, match=f"{fault}.*try again later"):
            catalog.search(ASKED)
        assert len(api.searches()) == 5


def test_a_page_that_fails_in_the_middle_is_read_again():
    with stac_api(grid(250)) as api:
        catalog = opened(api)
        api.faults = [None, 503, None, 500]
        assert len(set(names(catalog.search(ASKED)))) == 250


def test_silence_ends():
    with stac_api(grid(1)) as api:
        catalog = opened(api, patience=replace(HASTE, request_s=0.2, retries=1))
        api.faults = [("stall", 2, "")] * 3
        start = time.monotonic()
        with pytest.raises(CatalogDownError, match="does not answer"):
            catalog.search(ASKED)
        assert time.monotonic() - start < 1.5


def test_the_time_limit_holds_for_all_requests_together():
    with stac_api(grid(1)) as api:
        catalog = opened(api, patience=replace(HASTE, limit_s=0.3))
        catalog.search(ASKED)
        time.sleep(0.35)
        with pytest.raises(CatalogDownError, match=r"within 0\.3 s"):
            catalog.search(ASKED)


def test_bytes_that_trickle_are_given_up():
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"

    def trickle():
        line, _ = listening.accept()
        line.recv(65536)
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        try:
            while True:
                line.sendall(b" ")
                time.sleep(0.05)
        except OSError:
            line.close()

    threading.Thread(target=trickle, daemon=True).start()
    start = time.monotonic()
    with pytest.raises(CatalogDownError, match=r"within 0\.5 s"):
        Catalog(Api(url=url), SearchSettings(patience=Patience(limit_s=0.5, retries=0)))
    assert time.monotonic() - start < 3
    listening.close()


def test_an_endless_answer_is_given_up():
    with stac_api(grid(50)) as api:
        catalog = opened(api, patience=replace(HASTE, page_bytes=9000))
        with pytest.raises(CatalogDownError, match="more than 9000 bytes"):
            catalog.search(ASKED)


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(CatalogDownError, match=r"answer .*Connection refused") as refusal:
        Catalog(Api(url=url), SearchSettings(patience=HASTE))
    assert "HTTPConnection" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, {}, "<html>Log in</html>"), "no STAC API"),
        ((200, {}, '{"type": "FeatureCollection", "features": []}'), "STAC API"),
        ((200, {}, "[]"), "STAC API"),
        ((200, {}, '{"hello": 1}'), "STAC API"),
        ((404, {}, "no"), "404"),
        ((401, {}, "a key please"), "401: a key please"),
    ],
)
def test_what_is_no_stac_api(answer, reason):
    with stac_api([], faults=[answer]) as api:
        with pytest.raises(CatalogError, match=reason) as refusal:
            opened(api)
        assert "\n" not in str(refusal.value)


def test_a_catalog_without_a_search():
    with stac_api([], landing={"links": []}) as api, pytest.raises(CatalogError, match="search"):
        opened(api)


def test_answers_that_are_no_items():
    with stac_api(grid(1)) as api:
        catalog = opened(api)
        for page in ('{"features": [3]}', '{"features": {"a": 1}}', "[1]", "nothing"):
            api.faults = [(200, {}, page)]
            with pytest.raises(CatalogError, match="STAC API"):
                catalog.search(ASKED)


def test_items_that_cannot_be_placed_are_left_out():
    items = [*grid(2), *(stac_item(f"odd-{n}", (10, 50, 11, 51), geometry=geometry)
             for n, geometry in enumerate(
                 [None, {"type": "Polygon", "coordinates": []}, {"type": "Nothing"}]))]  # fmt: skip
    with stac_api(items, careless=True) as api:
        assert names(opened(api).search(ASKED)) == ["scene-0", "scene-1"]


def test_pages_that_go_in_circles_end():
    with stac_api(grid(300), circles=True) as api, pytest.raises(CatalogError, match="every page"):
        opened(api).search(ASKED)


def test_a_collection_that_is_not_there_is_told_with_its_like():
    with stac_api([], collections=("naip", "sentinel-2-l2a", "landsat")) as api:
        assert opened(api).collection("naip").id == "naip"
        with pytest.raises(CatalogError, match=r"3 collections.* called alike: naip$"):
            opened(api).collection("NAIP-2")
        with pytest.raises(CatalogError, match="it has landsat, naip, sentinel"):
            opened(api).collection("zzz")


# --- what is not to be trusted ----------------------------------------------------


def test_hrefs_that_point_inward_are_left_out_and_said():
    hrefs = {
        "good": "https://imagery.example.com/a.tif",
        "same": "http://127.0.0.1:1/a.tif",  # the API itself is there
        "near": "./b.tif",
        "file": "file:///etc/passwd",
        "path": "/etc/passwd",
        "inner": "http://169.254.169.254/latest",
        "home": "http://192.168.0.1/a.tif",
    }
    assets = {name: {"href": href, "type": "image/tiff"} for name, href in hrefs.items()}
    links = [{"rel": "self", "href": "https://items.example.com/v1/a"},
             {"rel": "parent", "href": "/etc/passwd"}]  # fmt: skip
    items = [stac_item("mixed", (10, 50, 11, 51), assets=assets, links=links)]
    with stac_api(items) as api:
        found = opened(api).search(ASKED)
        trusted = opened(api, allow_local=True).search(ASKED)
    kept = found.items[0]
    assert set(kept["assets"]) == {"good", "same", "near"}
    assert kept["assets"]["near"]["href"] == "https://items.example.com/v1/b.tif"
    assert [link["rel"] for link in kept["links"]] == ["self", "root", "collection"]
    assert len(found.refused) == 4
    assert all(line.startswith("mixed: ") and "--allow-local" in line for line in found.refused)
    assert set(trusted.items[0]["assets"]) == set(hrefs)
    assert trusted.refused == []


def test_keys_in_urls_are_not_kept():
    assets = {
        "azure": {"href": "https://a.blob.core.windows.net/b.tif?se=2030&sig=SECRET"},
        "user": {"href": "https://me:SECRET@a.example/b.tif"},
        "plain": {"href": "https://a.example/b.tif?size=3"},
    }
    with stac_api([stac_item("keys", (10, 50, 11, 51), assets=assets)]) as api:
        kept = opened(api).search(ASKED).items[0]["assets"]
    assert "SECRET" not in json.dumps(kept)
    assert kept["plain"]["href"] == "https://a.example/b.tif?size=3"


@pytest.mark.parametrize(
    "place", ["http://169.254.169.254/search", "http://10.0.0.1/search", "file:///etc/passwd",
              "/etc/passwd", "/vsicurl/x"],
)  # fmt: skip
def test_an_api_that_leads_inward_is_not_followed(place):
    search = {"rel": "search", "href": place, "type": "application/geo+json", "method": "GET"}
    with stac_api(grid(1)) as api:
        api.landing = {"links": [{"rel": "self", "href": api.url}, search]}
        with pytest.raises(CatalogError):
            opened(api).search(ASKED)


def test_a_redirect_that_leads_inward_is_not_followed():
    with stac_api(grid(1)) as api:
        catalog = opened(api)
        api.faults = [(302, {"Location": "http://169.254.169.254/latest"}, "")]
        with pytest.raises(UntrustedHrefError, match="link-local"):
            catalog.search(ASKED)


def test_a_next_page_that_leads_inward_is_not_followed():
    links = [{"rel": "next", "href": "http://192.168.0.1/search", "method": "GET"}]
    page = {"type": "FeatureCollection", "features": grid(1), "links": links}
    with stac_api(grid(1)) as api:
        catalog = opened(api)
        api.faults = [(200, {}, json.dumps(page))]
        with pytest.raises(UntrustedHrefError, match="private network"):
            catalog.search(ASKED)


# --- names, footprints --------------------------------------------------------------


def test_apis_are_known_by_name():
    assert resolve_api("Planetary-Computer").signed
    assert resolve_api("https://earth-search.aws.element84.com/v1/").name == "earth-search"
    assert resolve_api("https://other.example.com/stac").name is None
    assert len({api.url for api in KNOWN_APIS}) == len({api.name for api in KNOWN_APIS}) == 9
    with pytest.raises(CatalogError, match="did you mean earth-search"):
        resolve_api("earthsearch")
    for text in ("ftp://a.example", "", "stac", "http://"):
        with pytest.raises(CatalogError):
            resolve_api(text)


def test_a_footprint_that_jumps_over_the_antimeridian_is_a_small_one():
    jumping = stac_item("a", (179, -1, -179, 1))
    assert footprint(jumping).equals(box(179, -1, 180, 1).union(box(-180, -1, -179, 1)))
    assert footprint(stac_item("b", (10, 50, 11, 51))).equals(box(10, 50, 11, 51))
