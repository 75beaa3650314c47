"""What intervals are whatever the numbers, and what is refused of a calibration."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_models import LocalMean, model_of, tiny_model
from small_plots_of_errors import FACTS, draw_plots

from canopy.calibration.conformal import calibrate
from canopy.errors import ModelError, SettingsError
from canopy.intervals import LEVELS, read_calibration, scale_of, write_calibration
from canopy.mapping.settings import MapSettings

MADE = calibrate(draw_plots(0, 120), FACTS)
SUPPORTED = [level for level in LEVELS if level <= MADE.highest_level]
FLOATS = st.floats(0, 100, width=32)


@given(arrays(np.float32, (5, 7), elements=FLOATS), st.sampled_from(SUPPORTED))
def test_the_height_lies_in_its_interval_and_nothing_below_the_ground(heights, level):
    scale = scale_of(heights, None)
    lower, upper = MADE.at(level).ends(heights, scale)
    assert (lower >= 0).all()
    assert (lower <= heights).all()
    assert (heights <= upper).all()
    assert lower.dtype == upper.dtype == np.float32


@given(arrays(np.float32, 20, elements=FLOATS), st.sampled_from(SUPPORTED[:-1]))
def test_a_higher_level_holds_a_lower_one(heights, level):
    scale = scale_of(heights, heights / 3)
    lower, upper = MADE.at(level).ends(heights, scale)
    wider_lower, wider_upper = MADE.at(round(level + 0.01, 2)).ends(heights, scale)
    assert (wider_lower <= lower).all()
    assert (wider_upper >= upper).all()


def test_what_has_no_height_has_no_interval():
    lower, upper = MADE.at(0.8).ends(np.float32([np.nan, 3]), np.float32([np.nan, 1]))
    assert np.isnan([lower[0], upper[0]]).all()
    assert np.isfinite([lower[1], upper[1]]).all()


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    write_calibration(MADE, tmp_path / "intervals.json")
    assert read_calibration(tmp_path / "intervals.json") == MADE


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2}, {"levels": [0.5]}, {"classes": []}, {"scale": "feet"}, {"classes": "none"},
        {"data": 5}, {"data": None}, {"gsd_m": "x"}, {"pixels": float("inf")}, {"plots": None},
    ],
)  # fmt: skip
def test_a_broken_calibration_is_refused(tmp_path, change):
    path = tmp_path / "intervals.json"
    write_calibration(MADE, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match="canopy calibrate"):
        read_calibration(path)


def test_a_calibration_that_is_missing_or_no_json_is_refused(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        read_calibration(tmp_path / "no.json")
    (tmp_path / "text.json").write_text("hello")
    with pytest.raises(ModelError, match="no JSON"):
        read_calibration(tmp_path / "text.json")


@pytest.mark.parametrize("level", [0.0, 0.49, 0.905, 0.995, 1.0, 90.0])
def test_a_level_that_is_none_is_refused(level):
    with pytest.raises(SettingsError, match=r"0\.50 to 0\.99"):
        MapSettings(interval=level)


def test_options_that_would_have_no_effect_or_no_meaning_are_refused():
    with pytest.raises(SettingsError, match="without an interval"):
        MapSettings(calibration="intervals.json")
    with pytest.raises(SettingsError, match="mean or std"):
        MapSettings(interval=0.9, mean=(0.5, 0.5, 0.5))


def test_a_model_takes_only_its_own_calibration(tmp_path):
    path = tmp_path / "intervals.json"
    model = model_of(LocalMean())
    write_calibration(MADE, path)
    assert model.interval(0.8, path).level == 0.8
    write_calibration(replace(MADE, weights_sha256="other"), path)
    with pytest.raises(ModelError, match="other weights"):
        model.interval(0.8, path)
    write_calibration(replace(MADE, gsd_m=0.3), path)
    with pytest.raises(ModelError, match=r"pixels of 0\.3 m"):
        model.interval(0.8, path)
    write_calibration(replace(MADE, scale="bins"), path)
    with pytest.raises(ModelError, match="errors by bins"):
        model.interval(0.8, path)
    with pytest.raises(ModelError, match="has no calibration"):
        model.interval(0.8)


def test_one_pass_gives_the_same_heights_and_the_spread_of_the_bins():
    model = tiny_model()
    images = np.random.default_rng(0).integers(0, 255, (2, 3, 50, 70), dtype=np.uint8)
    heights, scale = model.predict_with_scale(images)
    np.testing.assert_array_equal(heights, model.predict(images))
    # The oracle: mean and variance of the distribution that the head's logits are.
    prepared = model._prepared(images)
    with torch.inference_mode():
        features = model.network.decoder(model.network.encoder(prepared))
        weights = torch.relu(model.network.head.logits(features)).double() + 0.1
    shares = weights / weights.sum(dim=1, keepdim=True)
    centres = torch.linspace(0.01, 50.0, 16).double()[:, None, None]
    mean = (shares * centres).sum(dim=1)
    variance = (shares * (centres - mean[:, None]) ** 2).sum(dim=1)
    expected = scale_of(heights, variance.sqrt()[:, :50, :70].numpy())
    np.testing.assert_allclose(scale, expected, rtol=1e-4)


def test_a_model_predicts_intervals_from_python(tmp_path):
    write_calibration(MADE, tmp_path / "intervals.json")
    model = model_of(LocalMean())
    images = np.random.default_rng(0).integers(0, 255, (1, 3, 32, 32), dtype=np.uint8)
    lower, heights, upper = model.predict_interval(
        images, model.interval(0.9, tmp_path / "intervals.json")
    )
    np.testing.assert_array_equal(heights, model.predict(images))
    assert (lower <= heights).all()
    assert (upper > heights).all()
