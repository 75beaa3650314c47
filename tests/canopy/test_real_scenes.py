"""The two scenes of the demo and the model that ships: real imagery, end to end."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from conftest import read_map
from PIL import Image
from rio_cogeo.cogeo import cog_validate

from canopy.mapping.map_heights import map_heights
from canopy.mapping.settings import MapSettings
from canopy.weights import load_height_model, shipped_folder, shipped_models
from geo.scene import open_scene

FIELD_DATA = os.environ.get("CANOPY_FIELD_DATA")

needs_field_data = pytest.mark.skipif(
    not FIELD_DATA, reason="needs real imagery: set CANOPY_FIELD_DATA to its folder"
)

OSBS = "pairs/NEON_OSBS/OSBS_029/rgb.tif"
YELLOWSTONE = "unlabelled/neon_yell/2019_YELL_2_528000_4978000_image_crop2.png"

MEADOW = (slice(60, 230), slice(5, 90))
"""Rows and columns of the Yellowstone map that are meadow, with no tree in them."""

FOREST = (slice(20, 110), slice(320, 380))
"""Rows and columns that are mostly conifers."""


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """Reports of the maps of both scenes, made once."""
    folder = tmp_path_factory.mktemp("maps")
    scenes = {"osbs": (OSBS, None), "yellowstone": (YELLOWSTONE, 0.1)}
    return {
        name: map_heights(
            Path(FIELD_DATA) / path,
            folder / f"{name}.tif",
            settings=MapSettings(pixel_size_m=pixel),
            device="cpu",
        )
        for name, (path, pixel) in scenes.items()
    }


@needs_field_data
@pytest.mark.parametrize("name", ["osbs", "yellowstone"])
def test_a_real_scene_is_mapped_edge_to_edge_into_a_valid_cog(maps, name):
    report = maps[name]
    assert cog_validate(report.map, strict=True, quiet=True) == (True, [], [])
    heights, grid = read_map(report.map)
    assert np.isfinite(heights).all()
    assert 0 <= heights.min() < heights.max() < 63
    assert grid.pixel_size == pytest.approx((0.6, 0.6))
    edges = np.concatenate([heights[0], heights[-1], heights[:, 0], heights[:, -1]])
    assert edges.max() > 0


@needs_field_data
def test_a_georeferenced_scene_keeps_its_crs_and_corner(maps):
    scene = open_scene(Path(FIELD_DATA) / OSBS)
    _, grid = read_map(maps["osbs"].map)
    assert grid.crs == scene.grid.crs
    assert grid.bounds[0] == pytest.approx(scene.grid.bounds[0])
    assert grid.bounds[3] == pytest.approx(scene.grid.bounds[3])


@needs_field_data
@pytest.mark.parametrize("name", ["osbs", "yellowstone"])
def test_companions_of_a_real_map_are_whole(maps, name):
    report = maps[name]
    item = pystac.Item.from_file(str(report.item))
    assert {"canopy_height", "preview", "style"} <= set(item.assets)
    assert all(Path(asset.get_absolute_href()).exists() for asset in item.assets.values())
    assert json.loads(report.item.read_text())["properties"]["canopy:model_name"] == "canopy-tiny"
    with Image.open(report.preview) as picture:
        assert min(picture.size) > 400
        assert len(set(picture.convert("RGB").resize((200, 100)).get_flattened_data())) > 500
    assert report.style.read_text().startswith("<")
    assert not report.map.with_name(report.map.name + ".partial").exists()


@needs_field_data
def test_meadow_is_low_and_forest_stands_out(maps):
    heights, _ = read_map(maps["yellowstone"].map)
    assert heights[MEADOW].mean() < 3
    assert heights[FOREST].mean() > heights[MEADOW].mean() + 2


def test_the_shipped_model_is_small_and_says_what_it_is_not_for():
    assert "canopy-tiny" in shipped_models()
    folder = shipped_folder() / "canopy-tiny"
    assert (folder / "model.safetensors").stat().st_size <= 30e6
    card = load_height_model("canopy-tiny", device="cpu").card
    assert card.name == "canopy-tiny"
    assert "trying" in card.notice
    assert "CHMv1" in card.notice


@needs_field_data
def test_the_shipped_model_is_near_the_lidar_on_a_plot_it_learned_from(maps):
    with rasterio.open(Path(FIELD_DATA) / OSBS.replace("rgb", "chm")) as dataset:
        lidar = dataset.read(1, masked=True)
    assert abs(maps["osbs"].heights.mean_m - lidar.mean()) < 4
