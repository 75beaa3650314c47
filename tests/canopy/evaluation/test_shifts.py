"""A map that was shifted is found where it was shifted to, whichever raster is the finer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_heights import EAST, NORTH, forest, write_heights

from canopy.evaluation.counts import HeightCounts
from canopy.evaluation.height_source import open_heights
from canopy.evaluation.raster_sums import sum_pair
from canopy.evaluation.read_pairs import plan_pair
from canopy.evaluation.settings import EvaluationSettings
from canopy.evaluation.shifts import shift_as_json


def found_shift(folder, east, north, map_pixel, reference_pixel, grid="coarser"):
    """Shift of a map that lies some metres east and north of where it should."""
    ground = forest(400, 440, smooth=6.0)  # 0.25 m
    true, predicted = (
        ground.reshape(400 // k, k, 440 // k, k).mean((1, 3))
        for k in (round(reference_pixel * 4), round(map_pixel * 4))
    )
    place = (EAST + east, NORTH + north)
    here = write_heights(folder / "map.tif", predicted, pixel=map_pixel, place=place)
    there = write_heights(folder / "chm.tif", true, pixel=reference_pixel)
    choices = EvaluationSettings(grid=grid)
    pair = plan_pair("chm", open_heights(here), str(there), choices)
    return shift_as_json(sum_pair(pair, choices, counts=HeightCounts()).shifts)


@pytest.mark.parametrize(
    ("east", "north", "map_pixel", "reference_pixel"),
    [
        (1.5, 0.0, 0.5, 0.5),
        (-1.5, 2.0, 0.5, 1.0),
        (1.0, -2.5, 1.0, 0.5),
        (0.5, 0.5, 0.25, 0.5),
        (-2.0, -1.0, 1.0, 1.0),
        (0.0, 0.0, 0.5, 1.0),
    ],
)
def test_a_shift_is_found_and_undone(tmp_path, east, north, map_pixel, reference_pixel):
    found = found_shift(tmp_path, east, north, map_pixel, reference_pixel)
    # Metres of UTM are not quite those of the ground.
    assert (found["east_m"], found["north_m"]) == pytest.approx((-east, -north), abs=3e-3)
    assert found["at_best"]["rmse_m"] == pytest.approx(0, abs=1e-9)
    if east or north:
        assert found["unshifted"]["rmse_m"] > 0.3
    assert found["distance_m"] == pytest.approx(np.hypot(east, north), abs=3e-3)


@settings(max_examples=8)
@given(right=st.integers(-4, 4), down=st.integers(-4, 4))
def test_every_shift_within_reach_is_found(tmp_path_factory, right, down):
    folder = tmp_path_factory.mktemp("shift")
    found = found_shift(folder, right / 2, -down / 2, 0.5, 0.5)
    assert found["east_m"] == pytest.approx(-right / 2, abs=3e-3)
    assert found["north_m"] == pytest.approx(down / 2, abs=3e-3)


def test_no_shift_is_tried_where_pixels_are_larger(compare):
    true = forest(30, 30)
    found = compare(true, true, pixel=5.0, other=5.0)
    assert found["shift"] == {"one_for_all": None, "each_site_its_own": None}


def test_a_map_that_ends_at_the_reference_keeps_the_pixels_that_all_shifts_share(compare):
    true = forest(20, 30)
    found = compare(true, true + 1)["shift"]["one_for_all"]
    assert found["shifts_tried"] == 29
    assert found["pixels"] == 14 * 24
    assert found["unshifted"]["bias_m"] == pytest.approx(-1)
    assert compare(true[:5, :5], true[:5, :5])["shift"]["one_for_all"] is None


def test_sites_that_are_off_differently_have_shifts_of_their_own(evaluate, tmp_path):
    true = forest(60, 140)
    predicted = true.copy()
    predicted[:, :70] = np.roll(true[:, :70], 2, axis=1)
    here = write_heights(tmp_path / "map.tif", predicted)
    west = write_heights(tmp_path / "west.tif", true[10:50, 10:60], place=(EAST + 10, NORTH - 10))
    east = write_heights(tmp_path / "east.tif", true[10:50, 80:130], place=(EAST + 80, NORTH - 10))
    found = evaluate(here, west, east)["comparisons"][0]
    sites = {site["site"]: site["shift"] for site in found["sites"]}
    assert sites["west"]["east_m"] == pytest.approx(-2, abs=3e-3)
    assert sites["east"]["east_m"] == 0
    assert found["shift"]["each_site_its_own"]["at_best"]["rmse_m"] == pytest.approx(0, abs=1e-9)
    assert found["shift"]["one_for_all"]["at_best"]["rmse_m"] > 0.3
