"""The commands from pairs to intervals, as a person types them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import rasterio
from affine import Affine
from small_heights import forest, write_heights
from small_scenes import EAST, NORTH, noise, write_scene


@pytest.fixture
def pairs(tmp_path):
    """Two plots of two sites."""
    for number, site in enumerate(("north", "south")):
        folder = tmp_path / "pairs" / site / "plot"
        folder.mkdir(parents=True)
        east = EAST + 1000 * number
        transform = Affine(0.6, 0, east, 0, -0.6, NORTH)
        write_scene(folder / "rgb.tif", noise(130, 130, seed=number), transform=transform)
        write_heights(folder / "chm.tif", forest(78, 78, seed=number), place=(east, NORTH))
    return tmp_path / "pairs"


@pytest.fixture
def model(tmp_path, model_folder):
    return shutil.copytree(model_folder, tmp_path / "model")


def test_a_model_is_calibrated_and_maps_with_intervals(canopy_command, pairs, model, tmp_path):
    code, out, err = canopy_command(
        "calibrate", pairs, "--model", model, "--into-model", "--block", 12, "--json",
        "--over", "sites",
    )  # fmt: skip
    assert code == 0, err
    told = json.loads(out)
    assert told["path"] == str(model / "intervals.json")
    assert told["scale"] == "bins"
    assert "has not learned from these plots" in err
    scene = pairs / "north" / "plot" / "rgb.tif"
    code, out, err = canopy_command(
        "map", scene, "-o", tmp_path / "h.tif", "--model", model, "--interval", 0.8, "--json"
    )
    assert code == 0, err
    assert "interval 80 %" in err
    assert json.loads(out)["interval"]["level"] == 0.8
    with rasterio.open(tmp_path / "h.tif") as dataset:
        assert dataset.descriptions[1:] == ("lower 80 %", "upper 80 %")
    code, out, err = canopy_command(
        "evaluate", tmp_path / "h.tif", pairs / "north" / "plot" / "chm.tif", "-o",
        tmp_path / "report", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert "inside 80 % intervals" in err
    found = json.loads(out)["comparisons"][0]["interval"]
    # The same by hand, on the map's pixels as they are: intervals of means hold about as much.
    assert 0 <= found["coverage"] <= 1
    parts = found["below"] + found["above"] + found["coverage"]
    assert parts == pytest.approx(1)


def test_three_plots_are_too_few_to_judge_and_it_says_what_that_takes(
    canopy_command, pairs, model, tmp_path
):
    shutil.copytree(pairs / "north", pairs / "west")
    for name in ("rgb.tif", "chm.tif"):
        with rasterio.open(pairs / "west" / "plot" / name, "r+") as dataset:
            dataset.transform = Affine.translation(-2000, 0) * dataset.transform
    code, _, err = canopy_command("calibrate", pairs, "--model", model, "-o", tmp_path / "c.json")
    assert code == 0, err
    assert "0.50   not told: takes 3 plots beside those left out" in err
    assert "0.90   not told: takes 19 plots beside those left out" in err
    words = (tmp_path / "c.report.md").read_text()
    assert "with some of the 3 plots left out, too few are left" in words
    assert "3 for 0.5, 9 for 0.8, 19 for 0.9, 39 for 0.95" in words
    assert "| - | - |" not in words


def test_a_folder_where_the_calibration_of_a_model_belongs_is_one_line(
    canopy_command, pairs, model
):
    (model / "intervals.json").mkdir()
    code, _, err = canopy_command("calibrate", pairs, "--model", model, "--into-model")
    assert code == 2
    assert "intervals.json is a folder: expected the file of a calibration" in err
    assert err.count("\n") == 1


def test_a_dry_run_says_the_level_and_what_it_rests_on(canopy_command, pairs, model, tmp_path):
    canopy_command(
        "calibrate", pairs, "--model", model, "--into-model", "--block", 12, "--data", "Two woods",
        "--register", "keep-unclear",
    )  # fmt: skip
    scene = pairs / "north" / "plot" / "rgb.tif"
    code, _, err = canopy_command(
        "map", scene, "-o", tmp_path / "h.tif", "--model", model, "--interval", 0.8, "--dry-run"
    )
    assert code == 0
    assert "interval 80 %, calibrated on" in err
    assert "Two woods; heights of 0 of 2 pairs moved onto the image" in err
    assert not (tmp_path / "h.tif").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--interval", "0.9"], "canopy calibrate PAIRS... --model NAME"),
        (["--interval", "90"], "expected 0.50 to 0.99 in steps of 0.01"),
        (["--interval", "0.9", "--calibration", "no.json"], "no.json cannot be read"),
        (["--calibration", "no.json"], "without an interval"),
    ],
)
def test_an_interval_that_cannot_be_is_one_line(
    canopy_command, pairs, model, tmp_path, arguments, line
):
    scene = pairs / "north" / "plot" / "rgb.tif"
    code, _, err = canopy_command(
        "map", scene, "-o", tmp_path / "h.tif", "--model", model, *arguments
    )
    assert code == 2
    assert line in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "h.tif").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "either --output FILE.json or --into-model"),
        (["--into-model", "-o", "x.json"], "either --output FILE.json or --into-model"),
        (["-o", "x.tif"], "a calibration is JSON"),
        (["-o", "x.json", "--block", "0"], "expected a length above 0"),
        (["-o", "x.json", "--radiometry", "aerial", "--colours", "none.pth"], "none.pth"),
    ],
)
def test_a_calibration_that_cannot_be_is_one_line(canopy_command, pairs, model, arguments, line):
    code, _, err = canopy_command("calibrate", pairs, "--model", model, *arguments)
    assert code == 2
    assert line in err
    assert err.count("error: ") == 1


def test_a_model_that_is_no_folder_is_told_to_name_a_file(canopy_command, pairs):
    code, _, err = canopy_command("calibrate", pairs, "--model", "canopy-tiny", "--into-model")
    assert code == 2
    assert "is no folder of a model" in err


def test_coverage_is_what_counting_by_hand_gives(canopy_command, tmp_path):
    """An interval of 10 m around a flat map, against heights of which each class is known."""
    bands = np.stack([np.full((100, 100), value, np.float32) for value in (15, 10, 20)])
    profile = {
        "driver": "GTiff", "count": 3, "height": 100, "width": 100, "dtype": "float32",
        "crs": "EPSG:32633", "transform": Affine(1, 0, EAST, 0, -1, NORTH),
    }  # fmt: skip
    with rasterio.open(tmp_path / "map.tif", "w", **profile) as target:
        target.write(bands)
        target.descriptions = ("Canopy height", "lower 90 %", "upper 90 %")
    true = np.full((100, 100), 12.0)
    true[:10], true[10:30] = 4.0, 25.0
    write_heights(tmp_path / "chm.tif", true)
    code, out, err = canopy_command(
        "evaluate", tmp_path / "map.tif", tmp_path / "chm.tif", "-o", tmp_path / "r", "--json"
    )
    assert code == 0, err
    found = json.loads(out)["comparisons"][0]["interval"]
    assert found["coverage"] == pytest.approx(0.7)
    assert found["below"] == pytest.approx(0.1)
    assert found["above"] == pytest.approx(0.2)
    assert found["width_m"] == pytest.approx(10)
    by_class = {entry["from_m"]: entry["coverage"] for entry in found["height_classes"]}
    assert by_class == {2.0: 0.0, 10.0: 1.0, 20.0: 0.0}
    words = (tmp_path / "r" / "report.md").read_text()
    assert "They hold **70.0 %**" in words
