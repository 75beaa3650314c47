"""``canopy search``: from a question to a file of items, a table and a map."""

from __future__ import annotations

import json
import sys

import geopandas as gpd
import numpy as np
import pystac
import pytest
from PIL import Image
from shapely.geometry import box
from small_stac_api import stac_api, stac_item

from geo.catalog.errors import CatalogError
from geo.catalog.signing import needs_signing, signed_href

AREA = "10,50,11,51"


def scenes():
    """Return two years over most of the area: a half each, and a strip of it is never seen."""
    clear, cloudy = {"eo:cloud_cover": 2}, {"eo:cloud_cover": 80}
    west, east = (9.9, 49.9, 10.5, 51.1), (10.4, 49.9, 10.9, 51.1)
    return [
        stac_item("west-21", west, datetime="2021-06-01T10:00:00Z", **clear),
        stac_item("east-21", east, datetime="2021-06-01T10:01:00Z", gsd=0.3, **clear),
        stac_item("west-22", west, datetime="2022-07-01T10:00:00Z", platform="drone", **cloudy),
    ]


@pytest.fixture
def api():
    with stac_api(scenes()) as served:
        yield served


@pytest.fixture
def search(canopy_command, api, tmp_path):
    """A function that searches the API: exit code, standard output and error, the output."""

    def run(*arguments, output="items.json", area=AREA, collection="aerial", url=None):
        path = tmp_path / output
        code, out, err = canopy_command(
            "search", "--api", url or api.url, "--collection", collection, "--area", area,
            "--output", path, *arguments,
        )  # fmt: skip
        return code, out, err, path

    return run


def test_what_is_found_is_written_and_told(search):
    code, out, err, path = search()
    assert code == 0, err
    items = pystac.ItemCollection.from_file(str(path))
    assert {item.id for item in items} == {"west-21", "east-21", "west-22"}
    for item in items:
        item.validate()
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][:2] == ["date", "platform"]
    assert lines[1] == ["2021-06-01", "plane", "0.3", "to", "0.6", "m", "2", "%", "2", "90.0", "%"]
    assert lines[2] == ["2022-07-01", "drone", "0.6", "m", "80", "%", "1", "50.0", "%"]
    assert "3 items, covering 90.0 %" in err
    assert {each.name for each in path.parent.iterdir()} == {"items.json", "items.preview.png"}


def test_programs_are_told_in_json(search):
    code, out, err, path = search("--json", "--datetime", "2021", "--cloud", "10")
    assert code == 0, err
    told = json.loads(out)
    assert (told["items"], told["matched"], told["limit_reached"], told["more"]) == (2, 2, False, 0)
    assert told["covered_percent"] == pytest.approx(90, abs=1e-3)
    assert told["datetime"] == "2021-01-01T00:00:00Z/2021-12-31T23:59:59Z"
    assert told["output"] == [str(path), str(path.with_suffix(".preview.png"))]
    assert told["groups"][0]["gsd_m"] == [0.3, 0.6]


def test_the_map_shows_what_is_covered_and_what_is_not(search):
    _, _, _, path = search()
    picture = np.asarray(Image.open(path.with_suffix(".preview.png")).convert("RGB")).astype(int)
    assert picture.shape == (800, 800, 3)
    red, green, blue = np.moveaxis(picture, 2, 0)
    bluish, reddish = blue > red + 10, red > green + 20
    columns = np.nonzero(bluish[150:600])[1]
    strip = np.nonzero(reddish[150:600].mean(axis=0) > 0.2)[0]
    assert columns.min() < strip.min()  # the strip that nobody saw lies in the east
    assert 10 < np.ptp(strip) < 100


def test_an_area_from_a_file_in_metres(search, tmp_path):
    place = tmp_path / "area.gpkg"
    frame = gpd.GeoDataFrame(geometry=[box(10.0, 50.2, 10.2, 50.4)], crs="EPSG:4326")
    frame.to_crs(32632).to_file(place)
    code, out, err, _ = search(area=str(place))
    assert code == 0, err
    assert "100 %" in out
    assert "east-21" not in out


def test_nothing_found_says_what_to_relax(search, tmp_path):
    code, _, err, _ = search("--cloud", "1", "--datetime", "2020")
    assert code == 2
    assert "without --cloud" not in err
    assert "without both there would be 3" in err
    code, _, err, _ = search("--cloud", "1", "--datetime", "2021")
    assert "without --cloud there would be 2, without both there would be 3" in err
    code, _, err, _ = search(area="0,0,1,1")
    assert code == 2
    assert "within 10,50,12,52 from 2018-01-01 to now" in err
    assert err.splitlines()[-1].startswith("error: nothing of aerial was found over the area")
    assert list(tmp_path.iterdir()) == []


def test_a_limit_is_told(search):
    code, _, err, path = search("--limit", "2", "--no-preview")
    assert code == 0
    assert "limit of 2 items is reached, and there are 1 more" in err
    assert len(json.loads(path.read_text())["features"]) == 2
    assert not path.with_suffix(".preview.png").exists()


def test_hrefs_that_are_left_out_are_told(search, api):
    api.items[0]["assets"]["secret"] = {"href": "file:///etc/passwd"}
    _, _, err, path = search("--quiet")
    assert "west-21" in err
    assert "passwd" in err
    assert "passwd" not in path.read_text()
    code, _, err, path = search("--quiet", "--allow-local", "--overwrite")
    assert (code, err) == (0, "")
    assert "passwd" in path.read_text()


def test_files_are_replaced_only_when_asked(search, api):
    _, _, _, path = search()
    before = path.read_text()
    api.items.pop()
    code, _, err, _ = search()
    assert code == 2
    assert "--overwrite" in err
    assert path.read_text() == before
    assert search("--overwrite")[0] == 0
    assert path.read_text() != before


@pytest.mark.parametrize(
    ("arguments", "options", "reason"),
    [
        (["--datetime", "soon"], {}, "--datetime soon"),
        (["--cloud", "101"], {}, "--cloud 101"),
        (["--cloud", "nan"], {}, "--cloud nan"),
        (["--limit", "0"], {}, "--limit 0"),
        ([], {"area": "1,2,3"}, "--area 1,2,3"),
        ([], {"output": "items.csv"}, ".json (ItemCollection) or .parquet"),
        ([], {"output": "no/items.json"}, "does not exist"),
        ([], {"collection": "aerials"}, "called alike: aerial"),
        ([], {"url": "earth-serch"}, "did you mean earth-search"),
    ],
)
def test_what_makes_no_sense_is_refused(search, tmp_path, arguments, options, reason):
    code, out, err, _ = search("--quiet", *arguments, **options)
    assert (code, out) == (2, "")
    assert reason in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_json_lacks_leave_no_file(search, api, tmp_path):
    api.items[0]["properties"]["view:off_nadir"] = float("nan")
    code, _, err, _ = search("--quiet")
    assert code == 2
    assert "expected JSON" in err or "numbers that JSON lacks" in err  # orjson reads none of them
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_api_that_is_down_is_a_failed_run(search, api):
    api.faults = [(501, {}, "no")] * 9
    code, _, err, _ = search("--quiet")
    assert code == 1
    assert "cannot answer just now (501" in err
    assert len(err.splitlines()) == 1


def test_items_become_a_table(search):
    pytest.importorskip("stac_geoparquet", reason="stac-geoparquet is not installed")
    from stac_geoparquet.arrow import stac_table_to_items  # noqa: PLC0415

    code, _, err, path = search(output="items.parquet")
    assert code == 0, err
    frame = gpd.read_parquet(path)
    assert list(frame.id) == ["west-21", "east-21", "west-22"]
    assert frame.crs.to_epsg() == 4326 or frame.crs.to_string() == "OGC:CRS84"
    import pyarrow.parquet as pq  # noqa: PLC0415

    back = list(stac_table_to_items(pq.read_table(path)))
    assert back[0]["assets"]["image"]["href"] == "https://imagery.example.com/west-21.tif"
    assert path.with_suffix(".preview.png").exists()


def test_a_table_without_its_package_says_what_to_install(search, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "stac_geoparquet", None)
    code, _, err, _ = search("--quiet", output="items.parquet")
    assert code == 2
    assert "pip install stac-geoparquet" in err
    assert list(tmp_path.iterdir()) == []


# --- signing --------------------------------------------------------------------------


def test_an_item_tells_whether_its_files_are_signed():
    signed = {
        "links": [{"rel": "root", "href": "https://planetarycomputer.microsoft.com/api/stac/v1/"}]
    }
    assert needs_signing(signed)
    assert not needs_signing({"links": [{"rel": "root", "href": "https://stac.example.com/"}]})
    assert not needs_signing({})


def test_hrefs_are_signed_when_they_are_read(monkeypatch):
    computer = pytest.importorskip(
        "planetary_computer", reason="planetary-computer is not installed"
    )
    token = {"msft:expiry": "2099-01-01T00:00:00Z", "token": "st=1&sig=KEY"}
    with stac_api([], faults=[(200, {}, json.dumps(token))]) as server:
        monkeypatch.setattr(computer.settings.Settings.get(), "sas_url", server.url)
        url = "https://naipeuwest.blob.core.windows.net/naip/a.tif"
        assert signed_href(url) == f"{url}?st=1&sig=KEY"
        assert signed_href("https://a.example/b.tif") == "https://a.example/b.tif"
        assert [path for _, path, _ in server.asked] == ["/naipeuwest/naip"]


def test_signing_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "planetary_computer", None)
    with pytest.raises(CatalogError, match=r"pip install 'canopy-height\[planetary-computer\]'"):
        signed_href("https://naipeuwest.blob.core.windows.net/naip/a.tif")
