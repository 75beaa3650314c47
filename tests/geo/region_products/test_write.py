"""What joins the cells reads, in the tools of others, as the cells themselves do."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import pystac
import pytest
import rasterio
import stac_geoparquet.arrow as stac_arrow
from matplotlib.image import imread
from pyarrow import parquet
from pystac.validation import validate_dict
from shapely.geometry import box
from small_cells import PIXEL_M, SIDE_PX, cell_at, put_cell, stored_heights

from geo.errors import MapFileError
from geo.region_products.collection import RegionFacts, joined_bbox
from geo.region_products.picture import COLOURS
from geo.region_products.report import RegionReport
from geo.region_products.write import items_of, write_joint_products, write_report
from geo.stores.store import store_of

FACTS = RegionFacts(
    id="region", title="Heights of a region", description="Made for a test.", licence="Apache-2.0",
    summaries={"canopy:model_name": ["small"], "canopy:model_version": ["1.0.0"]},
)  # fmt: skip
CELLS = [cell_at(1580, 12832), cell_at(1581, 12832), cell_at(1580, 12830)]


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    """A store of three cells, the first two side by side, with all that joins them."""
    store = store_of(tmp_path_factory.mktemp("region"))
    for day, cell in enumerate(CELLS, start=1):
        put_cell(store, cell, encoding="int16-cm", bands=3, day=day)
    written = write_joint_products(store, items_of(store, [cell.id for cell in CELLS]), FACTS)
    assert written == ["collection.json", "items.parquet", "mosaic.vrt"]
    return store


def collection_of(store):
    return json.loads(store.read_bytes("collection.json"))


def window_of(dataset, cell):
    west, _, _, north = cell.grid.bounds
    row, column = dataset.index(west + PIXEL_M / 2, north - PIXEL_M / 2)
    return rasterio.windows.Window(column, row, SIDE_PX, SIDE_PX)


def test_the_mosaic_shows_the_pixels_of_every_cell(region):
    with rasterio.open(region.gdal_name("mosaic.vrt")) as mosaic:
        for cell in CELLS:
            stored = mosaic.read(window=window_of(mosaic, cell))
            assert np.array_equal(stored, stored_heights(cell, "int16-cm", 3))
        assert mosaic.shape == (3 * SIDE_PX, 2 * SIDE_PX)
        assert np.all(mosaic.read(window=rasterio.windows.Window(0, 600, 900, 300)) == -32768)


def test_neighbouring_cells_join_without_gap_in_the_mosaic(region):
    left, right = (stored_heights(cell, "int16-cm", 3) for cell in CELLS[:2])
    with rasterio.open(region.gdal_name("mosaic.vrt")) as mosaic:
        border = mosaic.read(window=rasterio.windows.Window(SIDE_PX - 5, 100, 10, 50))
    expected = np.concatenate([left[:, 100:150, -5:], right[:, 100:150, :5]], axis=2)
    assert np.array_equal(border, expected)


def test_the_mosaic_tells_of_its_bands_what_the_cells_tell(region):
    with (
        rasterio.open(region.gdal_name("mosaic.vrt")) as mosaic,
        rasterio.open(region.gdal_name(f"cells/{CELLS[0].id}/height.tif")) as cell,
    ):
        assert mosaic.crs == cell.crs
        assert mosaic.dtypes == cell.dtypes
        assert mosaic.nodatavals == cell.nodatavals
        assert (mosaic.scales, mosaic.offsets) == (cell.scales, cell.offsets)
        assert mosaic.units == cell.units == ("m", "m", "m")
        assert mosaic.descriptions[0] == "Canopy height above ground"
        assert "90 %" in mosaic.descriptions[1]


def test_overviews_of_the_mosaic_are_those_of_the_cells(region):
    with (
        rasterio.open(region.gdal_name("mosaic.vrt")) as mosaic,
        rasterio.open(region.gdal_name(f"cells/{CELLS[1].id}/height.tif")) as cell,
    ):
        small = mosaic.read(1, window=window_of(mosaic, CELLS[1]), out_shape=(128, 128))
        assert np.array_equal(small, cell.read(1, out_shape=(128, 128)))
        assert not np.array_equal(small, cell.read(1)[::4, ::4])  # averages, not every fourth


def test_no_cell_is_opened_before_its_pixels_are_asked_for(region, tmp_path, capfd):
    shutil.copy(region.gdal_name("mosaic.vrt"), tmp_path)  # and none of the cells
    with rasterio.open(tmp_path / "mosaic.vrt") as mosaic:
        between = mosaic.read(1, window=rasterio.windows.Window(0, 600, 900, 300))
    assert (between == -32768).all()
    assert capfd.readouterr() == ("", "")


def test_a_region_may_be_moved(region, tmp_path):
    shutil.copytree(region.root, tmp_path / "moved")
    with rasterio.open(tmp_path / "moved" / "mosaic.vrt") as mosaic:
        stored = mosaic.read(1, window=window_of(mosaic, CELLS[2]))
    assert np.array_equal(stored, stored_heights(CELLS[2], "int16-cm", 3)[0])
    collection = pystac.Collection.from_file(str(tmp_path / "moved" / "collection.json"))
    for item in collection.get_items():
        assert Path(item.assets["acquired"].get_absolute_href()).is_file()


def test_float_cells_keep_nan_between_and_within_them(tmp_path):
    store = store_of(tmp_path)
    cells = [cell_at(0, 0), cell_at(2, 1)]
    items = [put_cell(store, cell) for cell in cells]
    write_joint_products(store, items, FACTS)
    with rasterio.open(tmp_path / "mosaic.vrt") as mosaic:
        assert np.isnan(mosaic.nodata)
        stored = mosaic.read(1, window=window_of(mosaic, cells[0]))
        assert np.isnan(mosaic.read(1)[:SIDE_PX, : 2 * SIDE_PX]).all()
    assert np.array_equal(stored, stored_heights(cells[0])[0], equal_nan=True)


def test_each_zone_has_its_mosaic_and_old_ones_go(tmp_path):
    store = store_of(tmp_path)
    here, there = cell_at(2500, 12832), cell_at(700, 12832, epsg=32618)
    items = [put_cell(store, cell) for cell in (here, there)]
    both = write_joint_products(store, items, FACTS)
    assert both[2:] == ["mosaic_32617.vrt", "mosaic_32618.vrt"]
    with rasterio.open(tmp_path / "mosaic_32618.vrt") as mosaic:
        assert np.array_equal(mosaic.read(1), stored_heights(there)[0], equal_nan=True)
    write_joint_products(store, items[1:], FACTS)
    assert sorted(path.name for path in tmp_path.glob("*.vrt")) == ["mosaic.vrt"]


def test_a_region_without_cells_has_no_collection(tmp_path):
    store = store_of(tmp_path)
    write_joint_products(store, [put_cell(store, cell_at(0, 0))], FACTS)
    assert write_joint_products(store, [], FACTS) == []
    assert store.names(deep=False) == []


def test_the_collection_is_valid_stac_and_leads_to_all_items(region):
    record = collection_of(region)
    core = record | {"stac_extensions": []}  # their schemas here are of items alone
    validate_dict(core, pystac.STACObjectType.COLLECTION)
    collection = pystac.Collection.from_file(region.uri("collection.json"))
    used = {url.split("/")[-3] for url in record["stac_extensions"]}
    assert used == {"processing", "projection", "raster"}
    items = {item.id: item for item in collection.get_items()}
    assert set(items) == {cell.id for cell in CELLS}
    assert all(item.collection_id == collection.id for item in items.values())
    assert record["item_assets"].keys() == {"canopy_height", "acquired"}
    assert "href" not in str(record["item_assets"])
    assert record["summaries"]["proj:code"] == ["EPSG:32617"]
    assert record["summaries"]["canopy:model_name"] == ["small"]
    for name in ("items", "mosaic"):
        assert Path(collection.assets[name].get_absolute_href()).is_file()


def test_the_extent_holds_all_cells_and_their_dates(region):
    extent = collection_of(region)["extent"]
    west, south, east, north = extent["spatial"]["bbox"][0]
    for cell in CELLS:
        assert box(west, south, east, north).buffer(1e-6).covers(cell.footprint)
    assert extent["temporal"]["interval"] == [["2022-01-01T00:00:00Z", "2022-02-03T12:00:00Z"]]


@pytest.mark.parametrize(
    ("boxes", "joined"),
    [
        ([(1, 2, 3, 4)], (1, 2, 3, 4)),
        ([(1, 2, 3, 4), (-5, 0, -4, 3)], (-5, 0, 3, 4)),
        ([(170, 0, 179, 1), (-179, 0, -170, 1)], (170, 0, -170, 1)),
        ([(179, 0, -179, 1), (100, 0, 101, 1)], (100, 0, -179, 1)),
        ([(-180, 0, -90, 1), (-90, 0, 0, 1), (0, 0, 90, 1), (90, 0, 180, 1)], (-180, 0, 180, 1)),
        ([(179, 0, -179, 1)], (179, 0, -179, 1)),
    ],
)
def test_boxes_are_joined_around_the_globe(boxes, joined):
    assert joined_bbox(boxes) == joined


def test_the_table_holds_every_item_as_geopandas_reads_it(region):
    table = gpd.read_parquet(region.uri("items.parquet"))
    assert list(table["id"]) == [cell.id for cell in CELLS]
    assert table.crs == "EPSG:4326"
    for shape, cell in zip(table.geometry, CELLS, strict=True):
        assert shape.equals_exact(cell.footprint, 1e-6)


def test_hrefs_of_the_table_lead_to_files_beside_it(region):
    table = stac_arrow.stac_table_to_items(parquet.read_table(region.uri("items.parquet")))
    for item in table:
        for asset in item["assets"].values():
            assert (region.root / asset["href"]).is_file()
        links = {link["rel"]: link["href"] for link in item["links"]}
        assert links["collection"] == "./collection.json"
        assert links["derived_from"] == "https://example.com/image.tif"


def test_cells_that_do_not_fit_together_are_refused_in_a_line(tmp_path):
    store = store_of(tmp_path)
    items = [
        put_cell(store, cell_at(0, 0)),
        put_cell(store, cell_at(1, 0), encoding="int16-cm"),
    ]
    with pytest.raises(MapFileError, match="differ in their pixels or bands") as caught:
        write_joint_products(store, items, FACTS)
    assert "\n" not in str(caught.value)
    assert "mosaic.vrt" not in store.names()


def test_what_is_no_item_of_a_cell_is_refused_in_a_line(tmp_path):
    store = store_of(tmp_path)
    item = put_cell(store, cell_at(0, 0))
    del item["properties"]["proj:transform"]
    with pytest.raises(MapFileError, match=r"item.json is not that of a cell"):
        write_joint_products(store, [item], FACTS)


def report_of(states, failed=None, **changes):
    facts = {
        "title": "Canopy height of Oxapampa", "states": states, "failed": failed or {},
        "pixels": 50_000_000, "seconds": 100.0, "settings": {"cell_px": 512},
        "software": {"canopy-height": "0.1.0"}, "finished": datetime(2026, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    return RegionReport(**facts | changes)


def test_the_report_counts_cells_and_gives_reasons(tmp_path):
    names = [cell_at(column, 0).id for column in range(5)]
    states = dict(zip(names, ["done", "done", "kept", "empty", "failed"], strict=True))
    report = report_of(states, {names[4]: "no memory"})
    store = store_of(tmp_path)
    assert write_report(store, report, None) == ["report.json", "report.png"]
    told = json.loads(store.read_bytes("report.json"))
    assert told["cells"] == {"all": 5, "done": 2, "kept": 1, "empty": 1, "failed": 1}
    assert told["failed"] == {names[4]: "no memory"}
    assert told["empty"] == [names[3]]
    assert told["megapixels_per_second"] == 0.5
    assert told["settings"] == {"cell_px": 512}
    assert report.sentence == "5 cells: 2 done, 1 kept, 1 empty, 1 failed; 2 min, 0.50 Mpx/s"


def pixels_of(path):
    return np.round(imread(path)[:, :, :3] * 255).astype(int)


def has_colour(pixels, colour):
    wanted = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return int((np.abs(pixels - wanted).max(axis=2) <= 2).sum())


@pytest.mark.parametrize("side", [1, 3, 70])
def test_the_map_shows_each_state_where_its_cells_lie(tmp_path, side):
    cells = [
        cell_at(column, row)
        for row in range(12000, 12000 + side)
        for column in range(1500, 1500 + side)
    ]
    states = {cell.id: "done" for cell in cells}
    failed = cells[0].id
    states[failed] = "failed"
    store = store_of(tmp_path)
    write_report(store, report_of(states, {failed: "no memory"}), None)
    pixels = pixels_of(tmp_path / "report.png")
    assert pixels.shape[:2] == (800, 800)
    map_part = pixels[80:688, 40:760]
    red, green = (has_colour(map_part, COLOURS[state]) for state in ("failed", "done"))
    assert red >= 9
    if side > 1:
        assert green / max(red, 1) == pytest.approx(side**2 - 1, rel=0.3)
        rows, _ = np.nonzero(np.abs(map_part - map_part[300, 360]).max(axis=2) <= 2)
        where = np.argwhere(np.abs(map_part - [0xD1, 0x49, 0x5B]).max(axis=2) <= 2).mean(axis=0)
        assert where[0] > np.mean(rows)  # the first cell is the south-western one
        assert where[1] < 360
