"""A plan decides everything before a pixel is read, and refuses what cannot become a map."""

from __future__ import annotations

import os

import numpy as np
import pytest
from affine import Affine
from small_models import Constant, model_of
from small_scenes import EAST, NORTH, PLACES, UPRIGHT, metric, noise, write_scene

from canopy.errors import SettingsError
from canopy.mapping.plan import plan_map
from canopy.mapping.settings import MapSettings
from canopy.radiometry import Stretch
from geo.errors import SceneError
from geo.scene import open_scene
from geo.tiles import plan_tiles


def plan(path, *, model=None, **choices):
    settings = MapSettings(**choices)
    scene = open_scene(path, bands=settings.bands, pixel_size_m=settings.pixel_size_m)
    return plan_map(scene, model or model_of(Constant()), settings)


@pytest.fixture
def scene_path(tmp_path):
    return UPRIGHT.write(tmp_path / "scene.tif")


def test_tiles_are_the_models_own_unless_the_user_says_otherwise(scene_path):
    expected = plan_tiles(130, 170, tile=64, overlap=16, multiple=32)
    assert plan(scene_path).tiles == expected
    expected = plan_tiles(130, 170, tile=64, overlap=8, multiple=32)
    assert plan(scene_path, overlap_px=8).tiles == expected


@pytest.mark.parametrize("batch", [1, 7])
def test_the_batch_decides_about_speed_alone(scene_path, batch):
    first, second = plan(scene_path), plan(scene_path, batch=batch)
    assert (first.tiles, first.identity) == (second.tiles, second.identity)


def test_a_scene_of_three_times_the_models_pixels_is_taken_and_a_coarser_one_refused(tmp_path):
    pixels = noise(9, 9)
    assert plan(write_scene(tmp_path / "edge.tif", pixels, pixel=1.8)).grid.pixel_size == (0.6, 0.6)
    with pytest.raises(SceneError, match=r"pixels of 1\.90 m: small sees trees at 0\.6 m.*1\.8 m"):
        plan(write_scene(tmp_path / "coarse.tif", pixels, pixel=1.9))


def test_coarseness_is_measured_on_the_ground(tmp_path):
    """3 m of Web Mercator are 1.5 m in Finland, and 2.9 m in Kenya."""
    finland = Affine(3, 0, 2_738_500, 0, -3, 8_490_000)
    kenya = Affine(3, 0, 4_100_000, 0, -3, -140_000)
    pixels = noise(20, 20)
    plan(write_scene(tmp_path / "fine.tif", pixels, crs="EPSG:3857", transform=finland))
    with pytest.raises(SceneError, match=r"pixels of 2\.98 m|pixels of 3\.00 m"):
        plan(write_scene(tmp_path / "coarse.tif", pixels, crs="EPSG:3857", transform=kenya))


def test_the_map_has_the_models_grid_or_the_scenes_or_another_resolution(tmp_path):
    path = metric("", 0.3).write(tmp_path / "scene.tif")
    scene = open_scene(path)
    on_model = plan(path)
    assert on_model.out_grid is on_model.grid
    assert on_model.grid.pixel_size == (0.6, 0.6)
    assert not on_model.regrids
    on_scene = plan(path, grid="scene")
    assert on_scene.out_grid == scene.grid
    assert on_scene.regrids
    coarse = plan(path, resolution_m=2.0)
    assert coarse.out_grid.pixel_size == (2.0, 2.0)
    assert coarse.grid == on_model.grid


def test_a_scene_on_the_models_grid_is_not_resampled_for_its_own_grid(scene_path):
    assert not plan(scene_path, grid="scene").regrids


@pytest.mark.parametrize("place", [place for place in PLACES if place.gcps], ids=lambda p: p.name)
def test_ground_control_points_are_no_grid_to_give_back(tmp_path, place):
    with pytest.raises(SettingsError, match="ground control points and no grid of its own"):
        plan(place.write(tmp_path / "scene.tif"), grid="scene")


def test_the_stretch_is_taken_from_the_whole_scene(tmp_path):
    pixels = noise(130, 170, dtype="uint16")
    pixels[:, :20] += 20_000
    found = plan(write_scene(tmp_path / "scene.tif", pixels)).stretch
    low, high = np.percentile(pixels.reshape(3, -1), [2, 98], axis=1)
    assert found == Stretch(low=tuple(low), high=tuple(high))


def changed(before, after):
    return {name for name in before.identity if before.identity[name] != after.identity[name]}


@pytest.mark.parametrize(
    ("choices", "name"),
    [
        ({"bands": (3, 2, 1)}, "bands"),
        ({"stretch": (0.0, 200.0)}, "stretch"),
        ({"grid": "scene"}, "grid"),
        ({"resolution_m": 1.0}, "resolution"),
        ({"overlap_px": 8}, "overlap"),
        ({"encoding": "uint8-m"}, "encoding"),
        ({"model": model_of(Constant(), version="2")}, "model"),
        ({"model": model_of(Constant(), name="other")}, "model"),
    ],
)
def test_every_choice_that_changes_a_pixel_has_a_name_in_the_identity(scene_path, choices, name):
    assert changed(plan(scene_path), plan(scene_path, **choices)) == {name}


@pytest.mark.parametrize("choices", [{"preview": False}, {"stac": False}, {"overwrite": True}])
def test_choices_that_change_no_pixel_are_not_in_it(scene_path, choices):
    assert changed(plan(scene_path), plan(scene_path, **choices)) == set()


def test_a_changed_input_is_another_one(scene_path):
    before = plan(scene_path)
    os.utime(scene_path, ns=(0, 1))
    assert changed(before, plan(scene_path)) == {"input changed at"}
    UPRIGHT.write(scene_path, noise(130, 170), compress="deflate")
    assert "input size" in changed(before, plan(scene_path))


def test_a_moved_input_is_another_one(tmp_path, scene_path):
    other = Affine(0.6, 0, EAST + 6, 0, -0.6, NORTH)
    moved = write_scene(tmp_path / "other.tif", UPRIGHT.pixels(), transform=other)
    assert {"input", "input transform"} <= changed(plan(scene_path), plan(moved))


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"pixel_size_m": 0}, "pixel size of 0 m: expected a length above 0"),
        ({"pixel_size_m": float("nan")}, "pixel size of nan m"),
        ({"resolution_m": -1}, "resolution of -1 m: expected a length above 0"),
        ({"stretch": (5, 5)}, "stretch 5,5: the first value must be below the second"),
        ({"stretch": (5, float("nan"))}, "stretch 5,nan"),
        ({"batch": 0}, "batch of 0: expected at least one tile"),
        ({"grid": "mine"}, "grid mine.*expected a grid of model, scene"),
        ({"encoding": "int8"}, "encoding int8.*float32, int16-cm, uint8-m"),
        ({"grid": "scene", "resolution_m": 1}, "grid scene with a resolution"),
    ],
)
def test_choices_that_make_no_sense_are_refused(choices, said):
    with pytest.raises(SettingsError, match=said) as error:
        MapSettings(**choices)
    assert "\n" not in str(error.value)
