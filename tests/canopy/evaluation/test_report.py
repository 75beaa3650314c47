"""A report is a whole folder or none: JSON, Markdown and pictures that hold what they say."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from small_heights import EAST, NORTH, forest, write_heights

import canopy.evaluation.report
from canopy.errors import CanopyError, OutputError, SettingsError
from canopy.evaluation.evaluate import evaluate_map
from canopy.evaluation.settings import EvaluationSettings
from geo.errors import MapFileError


@pytest.fixture
def files(tmp_path):
    """A map of two dates and sizes of site."""
    true = forest(60, 100)
    predicted = 0.6 * true + 3 + np.random.default_rng(1).normal(0, 1, true.shape)
    here = write_heights(tmp_path / "map.tif", predicted, encoding="int16-cm")
    paths = [
        write_heights(tmp_path / "west.tif", true[:, :40]),
        write_heights(tmp_path / "east.tif", true[:, 40:], place=(EAST + 40, NORTH)),
    ]
    return here, paths


def test_a_report_is_a_folder_of_json_words_and_pictures(files, tmp_path):
    here, paths = files
    report = evaluate_map(here, paths, tmp_path / "report")
    names = sorted(path.name for path in (tmp_path / "report").iterdir())
    assert names == [
        "pixels-height-classes.png", "pixels-residuals.png", "pixels-scatter.png", "report.json",
        "report.md",
    ]  # fmt: skip
    assert sorted(path.name for path in report.files) == names
    text = (tmp_path / "report" / "report.json").read_text()
    content = json.loads(text, parse_constant=pytest.fail)
    assert content == json.loads(json.dumps(report.content))
    assert content["schema_version"] == "1.0"
    assert content["map"]["metres_of_a_unit"] == 0.01
    assert content["settings"]["seed"] == 0
    assert not list(tmp_path.glob(".report*"))


def test_pictures_are_drawn_and_large_enough_to_read(files, tmp_path):
    here, paths = files
    evaluate_map(here, paths, tmp_path / "report")
    for path in (tmp_path / "report").glob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) >= 400
            assert max(picture.size) <= 2000
            assert len(set(picture.convert("RGB").get_flattened_data())) > 100


def test_words_say_the_sign_of_the_bias_the_grid_the_area_and_the_dates(files, tmp_path):
    here, paths = files
    evaluate_map(here, paths, tmp_path / "report")
    words = (tmp_path / "report" / "report.md").read_text()
    for text in (
        "m too low** (bias -", "map minus reference", "6 000 pixels, 0.6 ha, 2 sites",
        "date of the map: not stated in the file", "reference's 1.00 m (the other has 1.00 m)",
        "Block R2, 30 m", "of 6 whole blocks", "### Alignment", "![pixels-scatter.png]",
        "They are too few for intervals to be trusted",
    ):  # fmt: skip
        assert text in words, text


def test_an_older_report_is_kept_unless_it_may_be_replaced(files, tmp_path):
    here, paths = files
    output = tmp_path / "report"
    evaluate_map(here, paths, output)
    before = (output / "report.json").read_text()
    with pytest.raises(OutputError, match="--overwrite"):
        evaluate_map(here, paths, output)
    replace = EvaluationSettings(overwrite=True, seed=3)
    evaluate_map(here, paths[:1], output, settings=replace)
    assert (output / "report.json").read_text() != before
    (output / "mine.txt").touch()
    with pytest.raises(OutputError, match=r"mine\.txt, which is of no report"):
        evaluate_map(here, paths, output, settings=replace)
    with pytest.raises(OutputError, match="is a file"):
        evaluate_map(here, paths, here, settings=replace)
    with pytest.raises(OutputError, match="does not exist"):
        evaluate_map(here, paths, tmp_path / "no" / "report")


def test_a_failure_leaves_the_older_report_and_nothing_else(files, tmp_path, monkeypatch):
    here, paths = files
    output = tmp_path / "report"
    evaluate_map(here, paths, output)
    before = {path.name: path.read_bytes() for path in output.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(canopy.evaluation.report, "draw", full)
    with pytest.raises(MapFileError, match="No space left on device"):
        evaluate_map(here, paths, output, settings=EvaluationSettings(overwrite=True))
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert not list(tmp_path.glob(".report*"))


def test_the_same_seed_gives_the_same_report(files, evaluate):
    here, paths = files
    one, two, other = (evaluate(here, *paths, seed=seed, tile_m=50.0) for seed in (1, 1, 2))
    assert one["comparisons"] == two["comparisons"]
    assert one["comparisons"][0]["intervals"] != other["comparisons"][0]["intervals"]
    assert one["comparisons"][0]["errors"] == other["comparisons"][0]["errors"]


def test_progress_is_told_to_the_last_piece(files, tmp_path):
    here, paths = files
    told = []
    evaluate_map(here, paths, tmp_path / "report", progress=lambda *now: told.append(now))
    assert told == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    "choices",
    [
        {"map_scale": 0.0}, {"reference_scale": float("nan")}, {"tile_m": -1.0},
        {"percentile": 101.0}, {"radius_m": -1.0}, {"shift_m": 1e9}, {"replicates": -1},
        {"seed": -1},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(choices):
    with pytest.raises(SettingsError, match="expected"):
        EvaluationSettings(**choices)


def test_nothing_to_compare_with_is_refused(files, tmp_path):
    with pytest.raises(CanopyError, match="found no reference"):
        evaluate_map(files[0], [], tmp_path / "report")
