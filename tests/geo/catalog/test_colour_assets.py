"""Red, green and blue are found in items as the large catalogs write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pystac
import pytest

from geo.catalog.colour_assets import Band, find_colours
from geo.catalog.errors import CatalogError

COG = "image/tiff; application=geotiff; profile=cloud-optimized"


def item_of(assets, **properties):
    item = pystac.Item("scene", None, None, datetime(2022, 1, 1, tzinfo=UTC), properties)
    for name, fields in assets.items():
        item.add_asset(name, pystac.Asset.from_dict({"href": f"https://a.example/{name}"} | fields))
    return item


def eo(*names):
    return [{"name": name.title(), "common_name": name} for name in names]


NAIP = {
    "image": {"type": COG, "roles": ["data"], "eo:bands": eo("red", "green", "blue", "nir")},
    "metadata": {"type": "text/plain", "roles": ["metadata"]},
    "thumbnail": {"type": "image/jpeg", "roles": ["thumbnail"]},
    "tilejson": {"type": "application/json", "roles": ["tiles"]},
    "rendered_preview": {"type": "image/png", "roles": ["overview"]},
}
SENTINEL = {
    "aot": {"type": COG, "roles": ["data"]},
    "blue": {"type": COG, "roles": ["data"], "eo:bands": eo("blue")},
    "green": {"type": COG, "roles": ["data"], "eo:bands": eo("green")},
    "red": {"type": COG, "roles": ["data"], "eo:bands": eo("red")},
    "nir": {"type": COG, "roles": ["data"], "eo:bands": eo("nir")},
    "nir08": {"type": COG, "roles": ["data"], "eo:bands": eo("nir08")},
    "visual": {"type": COG, "roles": ["visual"], "eo:bands": eo("red", "green", "blue")},
    "visual-jp2": {
        "type": "image/jp2",
        "roles": ["visual"],
        "eo:bands": eo("red", "green", "blue"),
    },
    "thumbnail": {"type": "image/jpeg", "roles": ["thumbnail"]},
}
MAXAR = {
    "visual": {"type": COG, "roles": ["visual"]},
    "ms_analytic": {
        "type": COG,
        "roles": ["data"],
        "gsd": 1.7,
        "eo:bands": eo("coastal", "blue", "green", "yellow", "red", "rededge", "nir08", "nir09"),
    },
    "pan_analytic": {"type": COG, "roles": ["data"], "gsd": 0.4, "eo:bands": eo("pan")},
    "data-mask": {"type": "application/geopackage+sqlite3", "roles": ["data-mask"]},
}


def places(found):
    return [(band.asset, band.number) for band in (found.red, found.green, found.blue)]


def in_one(name):
    return [(name, 1), (name, 2), (name, 3)]


def test_naip_of_the_planetary_computer():
    found = find_colours(item_of(NAIP, gsd=0.6))
    assert places(found) == in_one("image")
    assert found.nir == Band("image", 4)
    assert found.assets == ("image",)


def test_sentinel_2_of_earth_search():
    assert places(find_colours(item_of(SENTINEL))) == in_one("visual")


def test_three_files_where_there_is_no_one():
    apart = {name: fields for name, fields in SENTINEL.items() if "visual" not in name}
    found = find_colours(item_of(apart))
    assert places(found) == [("red", 1), ("green", 1), ("blue", 1)]
    assert found.nir == Band("nir", 1)
    assert found.assets == ("red", "green", "blue", "nir")


def test_maxar_open_data_shows_its_sharpest_colours():
    with_bands = MAXAR | {"visual": MAXAR["visual"] | {"eo:bands": eo("red", "green", "blue")}}
    assert places(find_colours(item_of(with_bands, gsd=0.4))) == in_one("visual")


def test_maxar_open_data_whose_visual_tells_no_bands():
    assert places(find_colours(item_of(MAXAR, gsd=0.4))) == in_one("visual")
    bare = {"visual": MAXAR["visual"], "pan_analytic": MAXAR["pan_analytic"]}
    assert places(find_colours(item_of(bare, gsd=0.4))) == in_one("visual")
    found = find_colours(item_of(MAXAR, gsd=0.4), asset="ms_analytic")
    assert places(found) == [("ms_analytic", 5), ("ms_analytic", 3), ("ms_analytic", 2)]
    assert found.nir == Band("ms_analytic", 7)


def test_the_finest_of_two_files_comes_first():
    both = {
        "coarse": {"type": COG, "gsd": 10, "eo:bands": eo("red", "green", "blue")},
        "fine": {"type": COG, "gsd": 0.3, "eo:bands": eo("blue", "green", "red")},
    }
    assert places(find_colours(item_of(both))) == [("fine", 3), ("fine", 2), ("fine", 1)]


def test_items_of_stac_1_1():
    bands = [{"name": "B1", "eo:common_name": name} for name in ("nir", "blue", "green", "red")]
    found = find_colours(item_of({"analytic": {"type": COG, "bands": bands}}))
    assert places(found) == [("analytic", 4), ("analytic", 3), ("analytic", 2)]
    assert found.nir == Band("analytic", 1)
    assert places(find_colours(item_of({
        "all": {"type": COG, "bands": [{"name": "red"}, {"name": "green"}, {"name": "blue"}]}
    }))) == in_one("all")  # fmt: skip


def test_items_of_stac_0_9_as_pystac_reads_them():
    old = {
        "type": "Feature", "stac_version": "0.9.0", "id": "old", "geometry": None,
        "stac_extensions": ["eo"], "links": [], "properties": {"datetime": "2019-01-01T00:00:00Z"},
        "assets": {
            "B4": {"href": "https://a/b4", "type": COG, "eo:bands": eo("red")},
            "B3": {"href": "https://a/b3", "type": COG, "eo:bands": eo("green")},
            "B2": {"href": "https://a/b2", "type": COG, "eo:bands": eo("blue")},
            "overview": {"href": "https://a/o", "type": COG, "roles": ["overview"],
                         "eo:bands": eo("red", "green", "blue")},
        },
    }  # fmt: skip
    for migrate in (False, True):
        found = find_colours(pystac.Item.from_dict(old, migrate=migrate))
        assert places(found) == [("B4", 1), ("B3", 1), ("B2", 1)]
        assert found.nir is None


def test_bands_by_number_as_old_items_have_them():
    item = item_of({"all": {"eo:bands": [2, 1, 0]}}, **{"eo:bands": eo("blue", "green", "red")})
    assert places(find_colours(item)) == in_one("all")


def test_names_of_files_will_do():
    files = {name: {"type": COG} for name in ("red", "green", "blue")}
    assert places(find_colours(item_of(files))) == [("red", 1), ("green", 1), ("blue", 1)]


@pytest.mark.parametrize(
    "assets",
    [
        {},
        {"pan": {"type": COG, "eo:bands": eo("pan")}},
        {"visual": {"type": COG, "eo:bands": eo("pan")}},
        {"visual": {"type": "image/png"}},
        {"thumbnail": {"type": COG, "eo:bands": eo("red", "green", "blue")}},
        {"red": {"type": COG}, "green": {"type": COG}},
        {"twice": {"type": COG, "eo:bands": eo("red", "red", "green", "blue")}},
        {"odd": {"type": COG, "eo:bands": "red"}, "bands": {"bands": [None, 3, {"name": 5}]}},
    ],
)
def test_an_item_without_colours_is_refused_with_its_assets(assets):
    with pytest.raises(CatalogError, match="--asset") as refusal:
        find_colours(item_of(assets))
    assert all(name in str(refusal.value) for name in assets)


def test_a_user_names_the_file():
    assert places(find_colours(item_of(NAIP), asset="rendered_preview")) == in_one(
        "rendered_preview"
    )
    found = find_colours(item_of(SENTINEL), asset=("red", "visual", "aot"))
    assert places(found) == [("red", 1), ("visual", 2), ("aot", 1)]


@pytest.mark.parametrize("asset", ["no", ("red", "green"), ("red", "green", "no"), "nir"])
def test_a_name_that_cannot_be_is_refused(asset):
    with pytest.raises(CatalogError, match="--asset") as refusal:
        find_colours(item_of(SENTINEL), asset=asset)
    assert "\n" not in str(refusal.value)
