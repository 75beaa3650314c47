"""A real STAC API, stac-fastapi over pgstac: searched, paged and mapped like any other catalog."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from shapely.geometry import Polygon, mapping, shape
from small_pgstac import lacking, pgstac
from small_products import files_in, refuse_other_pixels, timeless
from small_stac_api import stac_item

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(lacking() is not None, reason=str(lacking())),
]

MANY = 230
"""Items of the collection that takes several pages."""


def many_items():
    """Return items in a row from west to east, of a day more each; every other one tells clouds."""
    return [
        stac_item(
            f"m{number:03}",
            (20 + number / 100, 50, 20 + (number + 0.9) / 100, 50.01),
            collection="many",
            datetime=f"2022-{1 + number // 28:02}-{1 + number % 28:02}T10:00:00Z",
            **({"eo:cloud_cover": number / 4} if number % 2 else {}),
        )
        for number in range(MANY)
    ]


def collection(name):
    extent = {
        "spatial": {"bbox": [[-180, -90, 180, 90]]},
        "temporal": {"interval": [["2018-01-01T00:00:00Z", None]]},
    }
    return {
        "type": "Collection", "stac_version": "1.0.0", "id": name, "description": name,
        "license": "CC0-1.0", "extent": extent, "links": [],
    }  # fmt: skip


@pytest.fixture(scope="module")
def database(undisturbed, tmp_path_factory):
    """A catalog of the images of the place, and of many items without any."""
    folder = tmp_path_factory.mktemp("pgstac")
    with pgstac() as made:
        made.load(folder, "collections", [collection("aerial"), collection("many")])
        items = json.loads(undisturbed.items.read_text())["features"]
        made.load(folder, "items", items + many_items())
        yield made


@pytest.fixture(scope="module", params=["query,pagination", "filter,pagination"])
def api(request, database):
    """Its URL: an API that limits clouds by `query`, and one that does by `filter`."""
    with database.api(ENABLED_EXTENSIONS=request.param) as url:
        yield url


@pytest.fixture
def search(api, canopy_command, tmp_path):
    """A function that searches the collection of many items: their ids, and what is said."""

    def run(*arguments):
        table = tmp_path / "items.parquet"
        code, _, said = canopy_command(
            "search", "--api", api, "--collection", "many", "--output", table, "--no-preview",
            *arguments,
        )  # fmt: skip
        assert code == 0, said
        return pq.read_table(table).column("id").to_pylist(), said

    return run


def test_every_item_of_many_pages_is_found_once(search):
    found, _ = search("--area", "19,49,24,51")
    assert sorted(found) == [item["id"] for item in many_items()]


def test_a_polygon_dates_and_clouds_are_asked_for_together(search, tmp_path):
    area = Polygon([(20.4, 49.9), (21.9, 49.9), (21.9, 50.2)])
    (tmp_path / "area.geojson").write_text(json.dumps(mapping(area)))
    expected = {
        item["id"]
        for item in many_items()
        if shape(item["geometry"]).intersects(area)
        and "2022-03" <= item["properties"]["datetime"] < "2022-07"
        and item["properties"].get("eo:cloud_cover", 101) <= 30
    }
    assert len(expected) > 10
    found, _ = search(
        "--area", tmp_path / "area.geojson", "--datetime", "2022-03/2022-06", "--cloud", "30"
    )
    assert set(found) == expected


def test_more_than_the_limit_is_said(search):
    found, said = search("--area", "19,49,24,51", "--limit", "120")
    assert len(set(found)) == 120
    assert "--limit" in said


def test_a_region_is_mapped_as_from_a_file_of_items(api, place, output, here):
    limits = ("--datetime", "2020/2024", "--cloud", "50", "--limit", "1000")
    asked = place.arguments(output, "--api", api, "--collection", "aerial", *limits)
    code, said = here(*asked)
    assert code == 0, said
    assert files_in(output) == files_in(place.expected)
    for path in output.glob("cells/*/*.tif"):
        refuse_other_pixels(path, place.expected / path.relative_to(output))
    for path in output.glob("cells/*/item.json"):
        item = json.loads(path.read_text())
        expected = json.loads((place.expected / path.relative_to(output)).read_text())
        # Made from the same, to the fingerprint; an item of the API is found at the API.
        assert timeless(item["properties"]) == timeless(expected["properties"])
        sources = [link["href"] for link in item["links"] if link["rel"] == "derived_from"]
        assert sources
        assert all(href.startswith(f"{api}/collections/aerial/items/") for href in sources)
