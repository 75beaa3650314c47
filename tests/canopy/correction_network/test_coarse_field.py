"""From predictions and a map to factors: by hand, by neighbourhood, none where nothing is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from small_corrections import card, constant, write_heights, write_scene

from canopy.correction_network.coarse_field import (
    CoarseCells,
    factor_field,
    map_coarse,
    smoothed,
)
from canopy.correction_network.model import CorrectionModel
from canopy.correction_network.network import CorrectionArchitecture
from canopy.correction_network.settings import FieldSettings
from canopy.correction_network.windows import read_windows
from canopy.errors import SettingsError
from canopy.evaluation.height_source import open_heights
from geo.grid import Grid
from geo.scene import open_scene
from geo.scene_reader import read_on

SETTINGS = FieldSettings(bandwidth_m=100.0)
WINDOW = CorrectionArchitecture(window_px=128)
MODEL = CorrectionModel(network=constant(10.0), card=card(noise=0.2), architecture=WINDOW)


def cells(side=20):
    transform = Affine(0.6, 0, 500_000, 0, -0.6, 5_400_000)
    grid = Grid(crs=CRS.from_epsg(32633), transform=transform, height=64 * side, width=64 * side)
    return CoarseCells.over(grid, 64)


def factors(predicted, mapped, settings=SETTINGS):
    return factor_field(cells(), predicted, mapped, MODEL, settings)[0].factors


def test_the_same_ratio_everywhere_is_shrunk_as_the_formula_says():
    whole = np.ones((20, 20))
    found = factors(14 * whole, 10 * whole)
    steps = 38.4 * np.stack(np.meshgrid(*(np.arange(-10, 10),) * 2), -1)
    distance = np.hypot(*np.moveaxis(steps, -1, 0))
    count = np.exp(-0.5 * (distance[distance <= 300] / 100) ** 2).sum() / 4
    expected = np.exp(np.log(1.4) * count / (count + (0.2 / 0.4) ** 2))
    assert found[10, 10] == pytest.approx(expected, rel=1e-4)


def test_a_factor_depends_on_what_is_within_reach_alone():
    rng = np.random.default_rng(0)
    predicted, mapped = rng.uniform(8, 25, (2, 20, 20))
    whole = factors(predicted, mapped)
    far = predicted.copy()
    far[:, :2] = 50.0
    changed = factors(far, mapped)
    assert (changed[:, :9] != whole[:, :9]).any()
    np.testing.assert_array_equal(changed[:, 10:], whole[:, 10:])
    part = factor_field(
        replace(cells(), columns=range(3, 20)), predicted[:, 3:], mapped[:, 3:], MODEL, SETTINGS
    )[0].factors
    np.testing.assert_array_equal(part[:, 8:], whole[:, 11:])


@pytest.mark.parametrize(
    ("predicted", "mapped"), [(1.0, 1.0), (20.0, 0.0), (0.5, 15.0), (20.0, np.nan), (np.nan, 9.0)]
)
def test_without_canopy_or_a_prediction_nothing_changes(predicted, mapped):
    whole = np.ones((20, 20))
    assert (factors(predicted * whole, mapped * whole) == 1).all()


def test_small_differences_and_great_ones_are_held():
    whole = np.ones((20, 20))
    assert (factors(10.4 * whole, 10 * whole) == 1).all()
    assert factors(60 * whole, 10 * whole).max() == pytest.approx(2.0)
    assert factors(4 * whole, 30 * whole).min() == pytest.approx(0.5)


def test_single_wild_predictions_do_not_count_much():
    whole = np.ones((20, 20))
    wild = 14 * whole
    wild[::4, ::4] = 60.0
    assert factors(wild, 10 * whole)[10, 10] == pytest.approx(
        factors(14 * whole, 10 * whole)[10, 10], rel=0.06
    )


def test_the_mean_of_a_gap_comes_from_its_neighbours():
    ratios = np.full((9, 9), np.nan)
    ratios[4, 4] = 0.3
    mean, count = smoothed(ratios, 38.4, 0.2, SETTINGS)
    assert mean[4, 6] == pytest.approx(0.3)
    assert count[4, 6] == pytest.approx(np.exp(-0.5 * (76.8 / 100) ** 2))


def test_the_map_is_read_beneath_the_middles(tmp_path):
    heights = np.zeros((256, 256))
    heights[64:128, 128:192] = 17.0
    path = write_heights(tmp_path / "h.tif", heights)
    grid = Grid(
        crs=CRS.from_epsg(32633), transform=Affine(0.6, 0, 500_000, 0, -0.6, 5_400_000),
        height=256, width=256,
    )  # fmt: skip
    with open_heights(path).open() as reader:
        found = map_coarse(CoarseCells.over(grid, 64), reader, card())
    expected = np.zeros((4, 4))
    expected[1, 2] = 17.0
    np.testing.assert_array_equal(found, expected)


def test_a_map_is_asked_as_footprints_see_that_may_lie_elsewhere(tmp_path):
    heights = np.full((256, 256), 20.0)
    heights[93:99, 93:99] = 40.0  # a tall tree of 3.6 m in the middle of (1, 1)
    source = open_heights(write_heights(tmp_path / "h.tif", heights))
    squares = CoarseCells.over(source.grid, 64)
    with source.open() as reader:
        there = map_coarse(squares, reader, card(geolocation_m=0.0))
        about = map_coarse(squares, reader, card(geolocation_m=10.0))
    assert there[1, 1] == 40.0
    assert about[1, 1] == 20.0  # a footprint 10 m off hardly ever sees it


@pytest.mark.parametrize(("off", "least"), [(0.0, 0.05), (0.02, 0.05), (0.1, 0.2)])
def test_a_network_that_may_be_off_in_a_whole_forest_leaves_as_much_alone(off, least):
    model = replace(MODEL, card=card(noise=0.02, forest_noise=off))
    whole = np.ones((20, 20))

    def factor(log):
        found = factor_field(cells(), 10 * np.exp(log) * whole, 10 * whole, model, SETTINGS)
        return found[0].factors[10, 10]

    assert factor(0.98 * least) == factor(-0.98 * least) == 1
    assert factor(1.25 * least) == pytest.approx(np.exp(0.75 * least), rel=0.01)
    assert factor(1.6 * least) == pytest.approx(np.exp(1.6 * least), rel=0.01)


def test_windows_are_whole_or_do_not_come(tmp_path):
    path = tmp_path / "scene.tif"
    pixels = write_scene(path, side=600)
    with rasterio.open(path, "r+") as dataset:
        dataset.nodata = 0
        hole = pixels.copy()
        hole[:, 300:310, 300:310] = 0
        dataset.write(hole)
    scene = open_scene(path)
    middles = np.array([[64, 64], [63, 64], [300, 250], [536, 536], [537, 536], [100, 500]])
    with read_on(scene, scene.grid) as reader:
        found = dict(
            pair
            for which, seen in read_windows(reader, scene.grid.shape, middles, 128)
            for pair in zip(which.tolist(), seen, strict=True)
        )
    assert sorted(found) == [0, 3, 5]
    np.testing.assert_array_equal(found[5], hole[:, 36:164, 436:564])


@pytest.mark.parametrize(
    "wrong", [{"stride_px": 48}, {"bandwidth_m": 1.0}, {"limits": (0.1, 2.0)}, {"signal": 0.0}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(SettingsError, match="expected"):
        FieldSettings(**wrong)
