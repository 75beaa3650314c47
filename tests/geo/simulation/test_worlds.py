"""Worlds as files: valid, complete, and whole or not there at all."""

from __future__ import annotations

import json
from dataclasses import replace

import geopandas
import laspy
import numpy as np
import pystac
import pytest
import rasterio
from pystac.validation import validate_dict

from geo.errors import MapFileError
from geo.height_maps.cog import check_cog
from geo.simulation import worlds
from geo.simulation.settings import SimulationError
from geo.simulation.world import simulate
from geo.simulation.worlds import WorldsRequest, make_worlds, plan_worlds

SMALL = {"seed": 7, "size_m": 48.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    output = tmp_path_factory.mktemp("simulated") / "worlds.v1"
    request = WorldsRequest(output=output, worlds=2, presets=("mixed", "urban-edge"), **SMALL)
    make_worlds(request)
    return output


@pytest.fixture(scope="module")
def world(folder):
    del folder
    _, settings, seed = plan_worlds(WorldsRequest(output=None, **SMALL))[0]
    return simulate(settings, seed)


def test_a_folder_holds_a_collection_and_a_folder_a_world(folder):
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["collection.json", "mixed-0000", "urban-edge-0001"]
    assert sorted(path.name for path in (folder / "mixed-0000").iterdir()) == [
        "chm.tif", "dsm.tif", "dtm.tif", "footprints.parquet", "imagery.tif", "mixed-0000.json",
        "points.laz", "settings.json", "trees.parquet",
    ]  # fmt: skip
    assert [path.name for path in folder.parent.iterdir()] == ["worlds.v1"]


@pytest.mark.parametrize("name", ["imagery", "chm", "dtm", "dsm"])
def test_rasters_are_valid_cogs_and_hold_the_world(folder, world, name):
    path = folder / "mixed-0000" / f"{name}.tif"
    check_cog(path)
    with rasterio.open(path) as dataset:
        stored = dataset.read()
        assert dataset.crs.to_epsg() == 32617
        assert tuple(dataset.transform)[:6] == pytest.approx(tuple(world.grid.transform)[:6])
        assert dataset.units[0] == (None if name == "imagery" else "m")
        assert dataset.profile["dtype"] == ("uint8" if name == "imagery" else "float32")
    np.testing.assert_array_equal(stored.squeeze(), getattr(world, name))


def test_points_are_readable_with_their_crs(folder, world):
    cloud = laspy.read(folder / "mixed-0000" / "points.laz")
    assert cloud.header.parse_crs().to_epsg() == 32617
    assert len(cloud.points) == len(world.points)
    np.testing.assert_allclose(cloud.x, world.points.x + world.settings.west_m, atol=6e-4)
    np.testing.assert_allclose(cloud.z, world.points.z, atol=6e-4)
    np.testing.assert_array_equal(cloud.classification, world.points.kind)
    np.testing.assert_array_equal(cloud.return_number, world.points.number)


def test_tables_hold_trees_and_footprints(folder, world):
    trees = geopandas.read_parquet(folder / "mixed-0000" / "trees.parquet")
    assert trees.crs.to_epsg() == 32617
    assert len(trees) == len(world.trees)
    west, south, east, north = world.grid.bounds
    inside = trees[trees["inside"]]
    assert inside.geometry.x.between(west, east).all()
    assert inside.geometry.y.between(south, north).all()
    assert (trees["height_m"] > 0).all()
    shots = geopandas.read_parquet(folder / "mixed-0000" / "footprints.parquet")
    assert len(shots) == len(world.footprints)
    assert {f"rh{rank}" for rank in range(101)} <= set(shots.columns)
    globe = shots.to_crs("EPSG:4326").geometry
    np.testing.assert_allclose(globe.x, shots["lon_lowestmode"], atol=1e-9)
    assert shots["true_x"].between(west, east).all()


def test_items_and_collection_are_valid_and_find_their_files(folder):
    collection = pystac.Collection.from_file(folder / "collection.json")
    assert collection.to_dict()["type"] == "Collection"
    items = list(collection.get_items())
    assert [item.id for item in items] == ["mixed-0000", "urban-edge-0001"]
    for item in items:
        validate_dict(core_only(item.to_dict(include_self_link=False)))
        assert item.properties["canopy:simulated"] is True
        assert item.properties["proj:code"] == "EPSG:32617"
        assert -81 - 3.1 < item.bbox[0] < item.bbox[2] < -81 + 3.1
        hrefs = [asset.get_absolute_href() for asset in item.assets.values()]
        assert all((folder / item.id / href.split("/")[-1]).is_file() for href in hrefs)
    text = (folder / "mixed-0000" / "mixed-0000.json").read_text()
    assert str(folder) not in text
    assert "worlds" not in json.dumps([link["href"] for link in json.loads(text)["links"]])


def core_only(record):
    """An item without its extensions, whose schemas are on the web."""
    return record | {"stac_extensions": []}


def test_settings_are_saved_with_all_that_was_drawn(folder, world):
    saved = json.loads((folder / "mixed-0000" / "settings.json").read_text())
    assert saved["seed"] == world.seed
    assert saved["sun"]["azimuth_deg"] == world.settings.sun.azimuth_deg
    assert saved["stands"]["layers"][0]["mix"] == world.settings.stands.layers[0].mix


def test_an_occupied_folder_is_refused_unless_its_worlds_may_be_replaced(tmp_path):
    request = WorldsRequest(output=tmp_path / "w", seed=1, presets=("treeless",), size_m=20)
    made = make_worlds(request)
    with pytest.raises(MapFileError, match=r"w exists: choose another --output"):
        make_worlds(request)
    again = replace(request, seed=2, overwrite=True)
    assert make_worlds(again)[0].seed != made[0].seed
    (tmp_path / "w" / "notes.txt").write_text("mine")
    with pytest.raises(MapFileError, match=r"holds notes\.txt, no simulated world"):
        make_worlds(again)
    assert (tmp_path / "w" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "w" / "collection.json").is_file()


def test_a_run_that_fails_leaves_nothing_and_spoils_nothing(tmp_path, monkeypatch):
    request = WorldsRequest(output=tmp_path / "w", seed=1, presets=("treeless",), size_m=20)
    make_worlds(request)
    before = (tmp_path / "w" / "treeless-0000" / "chm.tif").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(worlds, "write_collection", full)
    with pytest.raises(MapFileError, match=r"w \(No space left on device\)"):
        make_worlds(replace(request, seed=3, overwrite=True))
    assert (tmp_path / "w" / "treeless-0000" / "chm.tif").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_all_stands_for_every_preset_in_turn():
    plans = plan_worlds(WorldsRequest(output=None, seed=1, worlds=8, presets=("all",)))
    presets = [settings.name for _, settings, _ in plans]
    assert len(set(presets)) == 7
    assert presets[7] == presets[0]
    assert len({seed for _, _, seed in plans}) == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"worlds": 0}, "0 worlds: expected at least 1"),
        ({"seed": -1}, "seed -1: expected a whole number from 0 on"),
        ({"presets": ("jungle",)}, "preset jungle: expected one of conifer, broadleaf"),
        ({"sun_elevation_deg": 3.0}, "sun's elevation of 3 degrees: expected 15 to 85"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(tmp_path, change, message):
    request = replace(WorldsRequest(output=tmp_path / "w", seed=1), **change)
    with pytest.raises(SimulationError, match=message):
        make_worlds(request)
    assert not (tmp_path / "w").exists()
