"""Images from every kind of catalog, from here and from servers, and no further than is trusted."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime

import pytest
from shapely.geometry import box
from small_scenes import noise, write_scene
from small_stac_api import stac_api, stac_item

from geo.catalog.errors import CatalogDownError, CatalogError
from geo.catalog.item_files import write_items
from geo.errors import SceneError
from geo.imagery.errors import NoImagesError
from geo.imagery.from_catalog import images_of, open_images

BOX = (10.0, 50.0, 11.0, 51.0)
RGB = [{"name": name, "common_name": name} for name in ("blue", "green", "red")]


def put(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def local_item(name="one", href="../images/one.tif", **choices):
    assets = {"image": {"href": href, "type": "image/tiff"}}
    return stac_item(name, BOX, assets=choices.pop("assets", assets), **choices)


def static_catalog(folder):
    """A catalog with a child, a circle, and three items, one of which two catalogs name."""
    put(folder / "catalog.json", {
        "type": "Catalog", "stac_version": "1.0.0", "id": "root", "description": "",
        "links": [
            {"rel": "self", "href": "https://catalog.example.com/catalog.json"},
            {"rel": "child", "href": "./2021/collection.json"},
            {"rel": "item", "href": "./items/one.json"},
            {"rel": "license", "href": "./nowhere.html"},
        ],
    })  # fmt: skip
    put(folder / "2021/collection.json", {
        "type": "Collection", "stac_version": "1.0.0", "id": "2021", "description": "",
        "license": "CC0-1.0", "extent": {},
        "links": [
            {"rel": "parent", "href": "../catalog.json"},
            {"rel": "child", "href": "../catalog.json"},
            {"rel": "child", "href": "../2021/../2021/collection.json"},
            {"rel": "item", "href": "two.json"},
            {"rel": "item", "href": "../items/one.json"},
        ],
    })  # fmt: skip
    put(folder / "items/one.json", local_item())
    put(folder / "2021/two.json", local_item("two", "two.tif"))
    write_scene_at(folder / "images/one.tif")
    write_scene_at(folder / "2021/two.tif")
    return folder / "catalog.json"


def write_scene_at(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_scene(path, noise(20, 30))


def hrefs(images):
    return {image.id: image.sources[0].href for image in images}


def test_a_static_catalog_is_followed_through_its_links_and_circles(tmp_path):
    images = open_images(static_catalog(tmp_path))
    assert hrefs(images) == {
        "one": str(tmp_path / "images/one.tif"), "two": str(tmp_path / "2021/two.tif"),
    }  # fmt: skip
    assert images[0].footprint.equals(box(*BOX))
    assert [image.link for image in images] == [
        str(tmp_path / "items/one.json"), str(tmp_path / "2021/two.json"),
    ]  # fmt: skip
    assert pickle.loads(pickle.dumps(images)) == images  # noqa: S301 - made here


def test_an_item_and_items_are_read(tmp_path):
    static_catalog(tmp_path)
    alone = open_images(tmp_path / "items/one.json")
    assert hrefs(alone) == {"one": str(tmp_path / "images/one.tif")}
    many = put(tmp_path / "items/all.json", {
        "type": "FeatureCollection",
        "features": [local_item(), local_item("far", "https://imagery.example.com/far.tif")],
    })  # fmt: skip
    assert hrefs(open_images(many)) == {
        "one": str(tmp_path / "images/one.tif"), "far": "https://imagery.example.com/far.tif",
    }  # fmt: skip


def test_a_relative_source_names_files_in_full(tmp_path, monkeypatch):
    static_catalog(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert hrefs(open_images("catalog.json"))["two"] == str(tmp_path / "2021/two.tif")


def test_a_table_of_items_says_what_they_say(tmp_path):
    item = stac_item("one", BOX, **{"eo:cloud_cover": 4, "view:off_nadir": 12.5})
    other = stac_item("two", BOX, gsd=0.3)
    write_items([item, other], tmp_path / "items.parquet", ".parquet")
    put(tmp_path / "items.json", {"type": "FeatureCollection", "features": [item, other]})
    table = open_images(tmp_path / "items.parquet")
    listed = open_images(tmp_path / "items.json")
    assert [image.id for image in table] == ["one", "two"]
    for mine, theirs in zip(table, listed, strict=True):
        assert mine.sources == theirs.sources
        assert mine.acquired == theirs.acquired
        assert (mine.cloud, mine.gsd_m, mine.off_nadir) == (
            theirs.cloud, theirs.gsd_m, theirs.off_nadir,
        )  # fmt: skip
        assert mine.footprint.equals(theirs.footprint)
    assert (table[0].cloud, table[0].off_nadir, table[1].gsd_m) == (4, 12.5, 0.3)


@pytest.mark.parametrize("name", ["catalog.json", "items/one.json"])
def test_a_server_is_read_as_a_folder_is(tmp_path, served, name):
    static_catalog(tmp_path)
    found = hrefs(open_images(f"{served}/{name}"))
    assert found["one"] == f"{served}/images/one.tif"


def test_a_table_on_a_server_is_read(tmp_path, served):
    write_items([local_item("one", f"{served}/a.tif")], tmp_path / "t.parquet", ".parquet")
    assert hrefs(open_images(f"{served}/t.parquet")) == {"one": f"{served}/a.tif"}


def test_the_pages_of_a_collection_of_an_api_are_followed():
    with stac_api([stac_item(f"image {number}", BOX) for number in range(25)]) as api:
        page = open_images(f"{api.url}/search?limit=10")
    assert len(page) == 25


def test_a_server_that_is_down_is_said(tmp_path):
    with stac_api([]) as api:
        url = f"{api.url}/catalog.json"
    with pytest.raises(CatalogDownError, match="does not answer"):
        open_images(url)
    with pytest.raises(CatalogError, match="does not exist"):
        open_images(tmp_path / "nothing.json")
    with pytest.raises(CatalogError, match="is a folder: name a file in it"):
        open_images(tmp_path)


@pytest.mark.parametrize(
    "href", ["file:///etc/passwd", "/etc/passwd.tif", "../../../x.tif\\", "http://127.0.0.1/a.tif"]
)
def test_a_catalog_from_elsewhere_may_not_point_here(href):
    skipped = []
    items = [local_item("bad", href), local_item("good", "https://imagery.example.com/good.tif")]
    images = images_of(items, catalog="https://catalog.example.com", skipped=skipped)
    assert [image.id for image in images] == ["good"]
    assert skipped[0].startswith("bad ")
    assert "left out" in skipped[0]
    with pytest.raises(NoImagesError, match="bad has no red, green and blue"):
        images_of(items[:1], catalog="https://catalog.example.com")


def test_a_link_that_leads_where_it_may_not_is_said_and_not_followed(tmp_path, served):
    put(tmp_path / "catalog.json", {
        "type": "Catalog", "id": "c", "stac_version": "1.0.0", "description": "",
        "links": [
            {"rel": "item", "href": "items/one.json"},
            {"rel": "item", "href": "file:///etc/hosts"},
        ],
    })  # fmt: skip
    put(tmp_path / "items/one.json", local_item())
    skipped = []
    assert len(open_images(f"{served}/catalog.json", skipped=skipped)) == 1
    assert len(skipped) == 1
    assert "file:///etc/hosts" in skipped[0]


def test_items_without_an_image_are_refused_in_one_line_that_lists_them():
    items = [
        stac_item("grey", BOX, assets={"pan": {"href": "https://a.example.com/p.tif"}}),
        stac_item("nowhere", BOX, geometry=None),
        stac_item("a point", BOX, geometry={"type": "Point", "coordinates": [10, 50]}),
    ]
    with pytest.raises(NoImagesError) as error:
        images_of(items, catalog="https://catalog.example.com")
    line = str(error.value)
    assert "\n" not in line
    assert "among 3 items" in line
    assert all(each in line for each in ("grey has no red", "nowhere has no geometry", "a point"))


def test_colours_in_one_file_and_in_three():
    one = stac_item("one", BOX, assets={
        "image": {"href": "https://a.example.com/o.tif", "eo:bands": RGB},
    })  # fmt: skip
    three = stac_item("three", BOX, assets={
        name: {"href": f"https://a.example.com/{name}.tif"} for name in ("blue", "red", "green")
    })  # fmt: skip
    first, second = images_of([one, three], catalog="https://a.example.com")
    assert first.sources == tuple(("https://a.example.com/o.tif", band) for band in (3, 2, 1))
    assert second.sources == tuple(
        (f"https://a.example.com/{name}.tif", 1) for name in ("red", "green", "blue")
    )
    named = images_of([one], catalog="https://a.example.com", asset="image")
    assert named[0].sources == first.sources
    with pytest.raises(NoImagesError, match="--asset: one has no asset other"):
        images_of([one], catalog="https://a.example.com", asset="other")


def test_items_of_old_versions_say_the_same_in_other_words():
    old = stac_item(
        "old", BOX,
        assets={"analytic": {"href": "https://a.example.com/o.tif", "eo:bands": [2, 1, 0]}},
        **{"eo:bands": [*reversed(RGB)], "eo:gsd": 0.5, "eo:sun_elevation": 40, "gsd": None,
           "eo:off_nadir": 3, "eo:cloud_cover": 7},
    ) | {"stac_version": "0.8.1"}  # fmt: skip
    new = stac_item(
        "new", BOX, gsd=0.5, **{"view:sun_elevation": 40, "view:off_nadir": 3, "eo:cloud_cover": 7},
        assets={"a": {
            "href": "https://a.example.com/o.tif",
            "bands": [{"eo:common_name": band["name"]} for band in RGB],
        }},
    ) | {"stac_version": "1.1.0"}  # fmt: skip
    flat = {key: value for key, value in new.items() if key != "properties"} | new["properties"]
    for image in images_of([old, new, flat | {"id": "flat"}], catalog="https://a.example.com"):
        assert [source.band for source in image.sources] == [3, 2, 1]
        assert image.gsd_m == 0.5
        assert (image.sun_elevation, image.off_nadir, image.cloud) == (40, 3, 7)


def test_dates():
    span = {"datetime": None, "start_datetime": "2020-01-01T00:00:00Z"}
    items = [
        stac_item("moment", BOX, datetime="2021-06-01T12:00:00+02:00"),
        stac_item("middle", BOX, **span, end_datetime="2020-01-03T00:00:00Z"),
        stac_item("start", BOX, **span),
        stac_item("none", BOX, datetime=None),
        stac_item("nonsense", BOX, datetime="last summer"),
    ]
    images = images_of(items, catalog="https://a.example.com")
    assert [image.acquired for image in images] == [
        datetime(2021, 6, 1, 10, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC),
        datetime(2020, 1, 1, tzinfo=UTC), None, None,
    ]  # fmt: skip


def test_keys_in_hrefs_are_not_kept_and_the_planetary_computer_is_signed_later():
    root = {"rel": "root", "href": "https://planetarycomputer.microsoft.com/api/stac/v1"}
    href = "https://naipeuwest.blob.core.windows.net/naip/a.tif?sig=secret&se=2030"
    item = local_item("one", href, links=[root])
    image = images_of([item], catalog=root["href"])[0]
    assert image.signed
    assert image.sources[0].href == "https://naipeuwest.blob.core.windows.net/naip/a.tif"
    assert "secret" not in repr(image)


def test_a_raster_is_one_image_over_its_grid(tmp_path):
    path = write_scene(tmp_path / "scene.tif", noise(20, 30))
    (image,) = open_images(path)
    assert (image.id, image.gsd_m) == ("scene", pytest.approx(0.6, 1e-3))
    assert image.sources == ((str(path), None),)
    west, south, east, north = image.footprint.bounds
    assert (east - west) / (30 * 0.6 / 111_320) == pytest.approx(1.52, 0.05)
    assert (north - south) / (20 * 0.6 / 111_320) == pytest.approx(1, 0.02)
    write_scene(tmp_path / "nowhere.tif", noise(20, 30), crs=None)
    with pytest.raises(SceneError, match="has no CRS"):
        open_images(tmp_path / "nowhere.tif")


def test_the_identity_changes_with_the_file_and_with_the_item(tmp_path):
    static_catalog(tmp_path)
    before = open_images(tmp_path / "items/one.json")[0].identity
    assert before == open_images(tmp_path / "items/one.json")[0].identity
    assert json.loads(json.dumps(before)) == before
    write_scene(tmp_path / "images/one.tif", noise(25, 30))
    changed = open_images(tmp_path / "items/one.json")[0].identity
    assert changed != before
    put(tmp_path / "items/one.json", local_item(updated="2024-01-01T00:00:00Z"))
    assert open_images(tmp_path / "items/one.json")[0].identity != changed


def test_what_is_no_catalog_is_refused(tmp_path):
    put(tmp_path / "other.json", {"hello": "world"})
    with pytest.raises(CatalogError, match="is no part of a STAC catalog"):
        open_images(tmp_path / "other.json")
    (tmp_path / "broken.json").write_text('{"type": ')
    with pytest.raises(CatalogError, match="cannot be read as JSON"):
        open_images(tmp_path / "broken.json")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(CatalogError, match="is no table of STAC items"):
        open_images(tmp_path / "broken.parquet")
    put(tmp_path / "empty.json", {"type": "FeatureCollection", "features": []})
    with pytest.raises(NoImagesError, match="among 0 items: expected STAC items with imagery"):
        open_images(tmp_path / "empty.json")


def test_an_endless_catalog_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("geo.imagery.documents.MOST_DOCUMENTS", 5)
    for number in range(10):
        links = [{"rel": "child", "href": f"{number + 1}.json"}]
        put(tmp_path / f"{number}.json", {"type": "Catalog", "id": "c", "links": links})
    with pytest.raises(CatalogError, match="more than 5 documents"):
        open_images(tmp_path / "0.json")
