"""The archive: granules come whole, resume, and no server but its own is told the login."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest
from small_granules import V2_A, write_granule
from small_stac_api import stac_api, stac_item

from geo.catalog.errors import CatalogError, NothingFoundError
from geo.gedi.earthdata import DATA_HOSTS, PATIENCE, Archive, Hosts, Login, find_login
from geo.gedi.errors import CredentialsError, DownloadError
from geo.gedi.granule_search import (
    CMR_STAC,
    Granule,
    GranuleWish,
    fetch_granules,
    search_granules,
)

TOKEN = Login(token="secret-token")  # noqa: S106 - of nobody
NAMED = Login(name="ada", password="pass")  # noqa: S106
LEFT = [".a.h5.lock", "netrc"]
"""Where nothing came: a lock that another run may wait for."""

FILE = b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 40


@dataclass
class Server:
    """A server of one file.

    Attributes:
        redirect: where it sends instead, once for each.
        wants: header of authorization without which it refuses.
        breaks: bytes after which the line breaks, once for each.
        busy: the server answers once it is set.
        statuses: answered instead, once for each.
        heard: authorization and range of each request.
    """

    redirect: list = field(default_factory=list)
    wants: str | None = None
    breaks: list = field(default_factory=list)
    statuses: list = field(default_factory=list)
    busy: threading.Event | None = None
    body: bytes = FILE
    etag: str = '"1"'
    heard: list = field(default_factory=list)
    port: int = 0

    def url(self, host="127.0.0.1"):
        return f"http://{host}:{self.port}/{V2_A}.h5"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        served = self.server.served
        served.heard.append((self.headers.get("Authorization"), self.headers.get("Range")))
        if served.busy:
            served.busy.wait(30)
        if served.redirect:
            self.answer(302, b"", Location=served.redirect.pop(0))
        elif served.wants and self.headers.get("Authorization") != served.wants:
            self.answer(401, b"")
        elif served.statuses:
            self.answer(served.statuses.pop(0), b"")
        else:
            self.give()

    def give(self):
        served, start = self.server.served, 0
        asked = self.headers.get("Range")
        told = {"ETag": served.etag}
        if asked and self.headers.get("If-Range") == served.etag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            told["Content-Range"] = f"bytes {start}-{len(served.body) - 1}/{len(served.body)}"
        body = served.body[start:]
        end = served.breaks.pop(0) if served.breaks else len(body)
        self.answer(206 if start else 200, body[:end], length=len(body), **told)

    def answer(self, status, body, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(**choices):
    served = Server(**choices)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.served, server.daemon_threads, server.block_on_close = served, True, False
        served.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield served
        server.shutdown()
        thread.join()


def archive(who=TOKEN, login="127.0.0.1"):
    return Archive(who, Hosts(data=("127.0.0.1",), login=login), replace(PATIENCE, pause_s=0.01))


@pytest.fixture(autouse=True)
def no_login(monkeypatch, tmp_path):
    monkeypatch.delenv("EARTHDATA_TOKEN", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    # What requests would read by itself.
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login leak password leak\n")
    (tmp_path / "netrc").chmod(0o600)


def test_a_granule_comes_whole_with_the_token(tmp_path):
    told = []
    with serving(wants="Bearer secret-token") as server:
        path = archive().fetch(server.url(), tmp_path / "a.h5", lambda *now: told.append(now))
        assert path.read_bytes() == FILE
        archive().fetch(server.url(), path)
        assert len(server.heard) == 1  # it is here already
    assert told[-1] == (len(FILE), len(FILE))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.h5", "netrc"]


def test_of_two_runs_that_want_a_granule_the_second_waits(tmp_path):
    path, found = tmp_path / "a.h5", []
    with serving(busy=threading.Event()) as server:
        runs = [
            threading.Thread(target=lambda: found.append(archive().fetch(server.url(), path)))
            for _ in range(2)
        ]
        for run in runs:
            run.start()
            runs[0].join(0.2)  # the first has begun
        server.busy.set()
        for run in runs:
            run.join(30)
        assert len(server.heard) == 1
    assert found == [path, path]
    assert path.read_bytes() == FILE
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.h5", "netrc"]


def test_no_other_server_is_told_the_token(tmp_path):
    with serving() as bucket, serving(redirect=[bucket.url("localhost")]) as data:
        assert archive().fetch(data.url(), tmp_path / "a.h5").read_bytes() == FILE
        assert data.heard == [("Bearer secret-token", None)]
        assert bucket.heard == [(None, None)]


def test_an_address_that_reads_in_two_ways_gets_no_token(tmp_path):
    # urlsplit takes 127.0.0.1 for the host, requests asks localhost.
    with serving() as other, serving() as data:
        data.redirect.append(f"http://localhost:{other.port}\\@127.0.0.1:{other.port}/a.h5")
        archive().fetch(data.url(), tmp_path / "a.h5")
        assert data.heard == [("Bearer secret-token", None)]
        assert other.heard == [(None, None)]


def test_name_and_password_go_to_the_login_alone(tmp_path):
    basic = "Basic " + base64.b64encode(b"ada:pass").decode()
    with serving() as data, serving(wants=basic) as login:
        data.redirect.append(login.url("localhost"))
        login.redirect.append(data.url())
        archive(NAMED, login="localhost").fetch(data.url(), tmp_path / "a.h5")
        assert [heard for heard, _ in data.heard] == [None, None]
        assert [heard for heard, _ in login.heard] == [basic]


@pytest.mark.parametrize(
    ("url", "token", "password"),
    [
        ("https://data.lpdaac.earthdatacloud.nasa.gov/a.h5", True, False),
        ("https://urs.earthdata.nasa.gov/oauth", True, True),
        ("http://data.lpdaac.earthdatacloud.nasa.gov/a.h5", False, False),
        ("https://d1nk.cloudfront.net/a.h5?X-Amz-Signature=1", False, False),
        ("https://earthdatacloud.nasa.gov.example.com/a.h5", False, False),
        ("https://evilearthdata.nasa.gov/a.h5", False, False),
        ("https://nasa.gov/a.h5", False, False),
        ("https://urs.earthdata.nasa.gov@example.com/a.h5", False, False),
    ],
)
def test_hosts_of_earthdata_are_told_apart_from_others(url, token, password):
    hosts = Hosts()
    assert hosts.data == DATA_HOSTS
    assert (hosts.may_know_token(url), hosts.may_know_password(url)) == (token, password)


def test_what_broke_off_is_gone_on_with(tmp_path):
    with serving(breaks=[3000, 2000], statuses=[503]) as server:
        path = archive().fetch(server.url(), tmp_path / "a.h5")
        assert path.read_bytes() == FILE
        assert [asked for _, asked in server.heard][-2:] == ["bytes=3000-", "bytes=5000-"]


def test_a_granule_of_many_that_does_not_begin_is_asked_for_again(tmp_path):
    with serving(breaks=[0, 0, 0]) as server:
        assert archive().fetch(server.url(), tmp_path / "a.h5").read_bytes() == FILE
        assert len(server.heard) == 4


@pytest.mark.parametrize("older", [False, True])
def test_what_an_earlier_run_left_is_gone_on_with_or_begun_anew(tmp_path, older):
    with serving() as server:
        record = {"version": server.etag} | ({} if older else {"url": server.url()})
        (tmp_path / "a.h5.part").write_bytes(FILE[:300])
        (tmp_path / "a.h5.part.json").write_text(json.dumps(record))
        assert archive().fetch(server.url(), tmp_path / "a.h5").read_bytes() == FILE
        # Records of earlier versions lack the address.
        assert [asked for _, asked in server.heard] == [None if older else "bytes=300-"]


def test_a_file_that_changed_is_begun_anew(tmp_path):
    with serving() as server:
        record = {"url": server.url(), "version": '"0"'}
        (tmp_path / "a.h5.part").write_bytes(b"old" * 100)
        (tmp_path / "a.h5.part.json").write_text(json.dumps(record))
        assert archive().fetch(server.url(), tmp_path / "a.h5").read_bytes() == FILE
        assert server.heard[0][1] == "bytes=300-"


@pytest.mark.parametrize(
    ("breaks", "kept"), [([600, 0, 0, 0], FILE[:600]), ([10] * 4, b""), ([0] * 4, b"")]
)
def test_what_does_not_come_is_said_and_kept(tmp_path, breaks, kept):
    part = tmp_path / "a.h5.part"
    with (
        serving(breaks=breaks) as server,
        pytest.raises(DownloadError, match=r"a\.h5 does not come .*broke off.*try again later"),
    ):
        archive().fetch(server.url(), tmp_path / "a.h5")
    assert not (tmp_path / "a.h5").exists()
    assert (part.read_bytes() if part.exists() else b"") == kept
    assert len(server.heard) == 4


def test_a_granule_that_does_not_fit_says_so_before_it_comes(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    said = rf"a\.h5 does not fit \(.* 0\.00 GB are free\): make room in {tmp_path}"
    with serving() as server, pytest.raises(DownloadError, match=said):
        archive().fetch(server.url(), tmp_path / "a.h5")
    assert sorted(each.name for each in tmp_path.iterdir()) == LEFT


def test_a_refused_login_says_what_to_set(tmp_path):
    with (
        serving(wants="Bearer other") as server,
        pytest.raises(
            CredentialsError, match=r"refuses the login \(HTTP 401\).*set EARTHDATA_TOKEN"
        ) as caught,
    ):
        archive().fetch(server.url(), tmp_path / "a.h5")
    assert "secret-token" not in str(caught.value) + repr(TOKEN)
    for page in (b"<html>log in</html>", b"log in"):
        with (
            serving(body=page) as server,
            pytest.raises(CredentialsError, match=r"a page came instead of a\.h5.*set EARTHDATA"),
        ):
            archive().fetch(server.url(), tmp_path / "a.h5")
        assert sorted(each.name for each in tmp_path.iterdir()) == LEFT
    with (
        serving(redirect=["http://example.com/a.h5"]) as server,
        pytest.raises(DownloadError, match="expected https all the way"),
    ):
        archive().fetch(server.url(), tmp_path / "a.h5")
    with serving(statuses=[404]) as server, pytest.raises(DownloadError, match="HTTP 404"):
        archive().fetch(server.url(), tmp_path / "a.h5")


def test_the_login_is_the_token_or_that_of_netrc(monkeypatch, tmp_path):
    with pytest.raises(CredentialsError, match=r"set EARTHDATA_TOKEN .* or add 'machine urs"):
        find_login()
    (tmp_path / "netrc").write_text("machine urs.earthdata.nasa.gov login ada password pass\n")
    assert find_login() == NAMED
    monkeypatch.setenv("EARTHDATA_TOKEN", " secret-token ")
    assert find_login() == TOKEN
    monkeypatch.delenv("EARTHDATA_TOKEN")
    (tmp_path / "netrc").write_text("machine machine machine")
    with pytest.raises(CredentialsError, match="cannot be read"):
        find_login()


def items(url="https://data.lpdaac.earthdatacloud.nasa.gov"):
    def item(name, bbox, **more):
        asset = {"href": f"{url}/{name}.h5", "type": "application/x-hdf5"}
        return stac_item(
            name, bbox, collection="GEDI02_A_002", assets={"data": asset | more},
            datetime="2020-05-25T18:03:35Z",
        )  # fmt: skip

    return [
        item(V2_A, (10, 50, 11, 51), **{"file:size": 1_500_000_000}),
        item(V2_A.replace("O08222", "O08223"), (11.5, 50, 12, 51)),
        item(V2_A.replace("O08222", "O08224"), (-30, -10, -29, -9)),
    ]


def wish(api, **choices):
    return GranuleWish(**{"area": "10,50,10.5,50.5", "api": api} | choices)


def test_granules_over_an_area_are_found(tmp_path):
    import geopandas as gpd  # noqa: PLC0415
    from shapely.geometry import box  # noqa: PLC0415

    with stac_api(items(), collections=("GEDI02_A_002",)) as api:
        found = search_granules(wish(api.url))
        assert found.found == [
            Granule(
                name=V2_A, day="2020-05-25", size=1_500_000_000,
                url=f"https://data.lpdaac.earthdatacloud.nasa.gov/{V2_A}.h5",
            )
        ]  # fmt: skip
        assert not found.more
        asked = api.searches()[0]["intersects"]
        assert asked["type"] == "Polygon"  # a box: the catalogue takes no other
        # Two plots whose box holds all, of which one granule is between.
        plots = gpd.GeoDataFrame(
            geometry=[box(10, 50, 10.1, 50.1), box(12.5, 50, 13, 51)], crs=4326
        )
        plots.to_file(tmp_path / "plots.gpkg")
        found = search_granules(wish(api.url, area=str(tmp_path / "plots.gpkg")))
        assert [each.name for each in found.found] == [V2_A]
        with pytest.raises(NothingFoundError, match=r"has no granule over 10,50,10\.5,50\.5: try"):
            search_granules(wish(api.url, datetime="2019"))
        with pytest.raises(CatalogError, match=r"--collection GEDI02_A_003: none of 1"):
            search_granules(wish(api.url, collections=("GEDI02_A_003",)))
        with pytest.raises(CatalogError, match=r"--area 1,2,3: expected west"):
            search_granules(wish(api.url, area="1,2,3"))
    assert CMR_STAC.startswith("https://cmr.earthdata.nasa.gov/")


def test_an_area_over_the_antimeridian_is_asked_for_in_two_boxes():
    with stac_api(items(), collections=("GEDI02_A_002",)) as api:
        with pytest.raises(NothingFoundError):
            search_granules(wish(api.url, area="179,-20,-179,-10"))
        widths = []
        for asked in api.searches():
            x = [place[0] for place in asked["intersects"]["coordinates"][0]]
            widths.append(max(x) - min(x))
        assert widths == [1, 1]


def test_found_granules_are_fetched_and_those_here_are_not_asked_for(tmp_path):
    path = write_granule(tmp_path / "made.h5")
    with (
        serving(body=path.read_bytes()) as server,
        stac_api(items(f"http://127.0.0.1:{server.port}"), collections=("GEDI02_A_002",)) as api,
    ):
        found = search_granules(wish(api.url, area="10,50,12,51"))
        assert len(found.found) == 2
        paths = fetch_granules(found.found, tmp_path / "kept", archive())
        assert [each.read_bytes() for each in paths] == [path.read_bytes()] * 2
        assert [each.name for each in paths] == [each.file_name for each in found.found]
        fetch_granules(found.found, tmp_path / "kept", archive())
        assert len(server.heard) == 2
