"""A model that learned from every plot is calibrated by models that did not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from small_models import tiny_model
from small_plots import write_plots

from canopy.calibration import folds
from canopy.height_models.folder import save_height_model
from canopy.intervals import read_calibration
from canopy.supervision.cross_validation import make_splits
from canopy.supervision.pairs import read_pairs
from canopy.weights import load_height_model


@pytest.fixture
def validated(tmp_path):
    """A cross-validation of models with different weights, and the model of all plots."""
    root = write_plots(tmp_path / "data", count=5)
    folder = tmp_path / "folds"
    names = [f"blocks-{number}" for number in range(5)] + ["sites-A", "sites-B"]
    for seed, name in enumerate(names):
        save_height_model(tiny_model(seed), folder / name)
    pairs = {"gsd_m": 0.6, "sites": ["A", "B"], "unaligned": ["A_0"]}
    recipe = {"seed": 0, "evaluation_tile_px": 32, "pairs": pairs}
    (folder / "recipe.json").write_text(json.dumps({"recipe": recipe}))
    save_height_model(tiny_model(99), tmp_path / "model")
    return root, folder, tmp_path / "model"


def test_each_plot_is_predicted_by_the_model_of_its_own_fold(validated):
    root, folder, _ = validated
    settings = folds.read_fold_settings(folder)
    pairs = read_pairs(root, settings.pairs)
    seen = []
    for split in make_splits(pairs, seed=0)[:5]:
        model = load_height_model(folder / f"blocks-{split.name}", device="cpu")
        held_out = {pairs[index].plot: pairs[index] for index in split.held_out}
        for sample in folds.sample_split(folder, split, pairs, settings):
            pair = held_out[sample.plot]
            expected = folds.sample_plot(model, pair, 32)
            np.testing.assert_array_equal(sample.heights, expected.heights)
            np.testing.assert_array_equal(sample.true, pair.image_heights[pair.image_valid])
            seen.append(sample.plot)
    assert sorted(seen) == sorted(pair.plot for pair in pairs if pair.plot != "A_0")


def test_the_calibration_is_of_the_model_of_all_plots_and_says_how_it_was_made(validated):
    root, folder, model = validated
    assert folds.main([str(folder), "--model", str(model), "--data", str(root)]) == 0
    made = read_calibration(model / "intervals.json")
    assert made.predictions == "out-of-fold"
    assert made.plots == 9
    loaded = load_height_model(model, device="cpu")
    assert made.weights_sha256 == loaded.fingerprint
    assert loaded.interval(0.8).level == 0.8
    words = (model / "intervals.report.md").read_text()
    assert "predicted by a model that never saw it" in words
    assert "Coverage on a site that neither model nor calibration saw" in words


def test_a_folder_that_is_no_cross_validation_is_one_line(validated, tmp_path, caplog):
    root, _, model = validated
    assert folds.main([str(tmp_path), "--model", str(model), "--data", str(root)]) == 1
    assert "expected the folder of a cross-validation" in caplog.text
    assert not (model / "intervals.json").exists()
