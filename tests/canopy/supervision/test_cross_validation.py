"""Cross-validation never judges a plot by a model that has seen its ground."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the extra train")

from small_recipes import TINY, changed

from canopy.errors import OutputError, SettingsError
from canopy.supervision import cross_validation as cv
from canopy.supervision import plot_errors
from canopy.supervision.baselines import (
    BASELINES,
    colour_and_texture,
    fit_baseline,
    predict_baseline,
)
from canopy.supervision.plot_task import PlotTask


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(cv, "FOLDS", 2)
    monkeypatch.setattr(plot_errors, "MADE_SCENES", 10)
    everywhere = lambda pair: np.ones(pair.image.shape[1:], bool)  # noqa: E731
    monkeypatch.setattr(plot_errors, "bare_ground", everywhere)


@pytest.mark.usefixtures("few")
def test_every_plot_is_held_out_once_by_ground_and_once_by_site(pairs):
    splits = cv.make_splits(pairs, seed=0)
    for scheme, count in (("blocks", 2), ("sites", 2)):
        chosen = [split for split in splits if split.scheme == scheme]
        assert len(chosen) == count
        assert sorted(index for split in chosen for index in split.held_out) == [0, 1, 2, 3]


def test_too_few_plots_for_the_folds_are_refused(pairs):
    with pytest.raises(SettingsError, match="folds"):
        cv.make_splits(pairs, seed=0)


def test_a_plot_is_predicted_at_each_of_its_heights(pairs):
    model = PlotTask(pairs, (), TINY).model
    assert cv.predict_plot(model, pairs[0], 32).shape == pairs[0].heights.shape


def test_baselines_learn_a_ramp(pairs):
    for name in BASELINES:
        model = fit_baseline(name, pairs[:3], seed=0)
        predicted = predict_baseline(model, pairs[3])
        error = np.abs(predicted - pairs[3].heights)[pairs[3].heights_valid].mean()
        assert predicted.min() >= 0
        assert error == pytest.approx(2.5, abs=0.5) if name == "training mean" else error < 1


def test_features_are_finite_and_one_row_a_height(pairs):
    features = colour_and_texture(pairs[0])
    assert features.shape[:2] == pairs[0].heights.shape
    assert np.isfinite(features).all()


@pytest.mark.usefixtures("few")
def test_a_split_leaves_what_others_build_on(pairs, tmp_path):
    split = cv.make_splits(pairs, seed=0)[0]
    cv.run_split(pairs, split, TINY, tmp_path)
    folder = tmp_path / "blocks-0"
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "model.safetensors", "predictions.npz", "seconds.json", "training.json",
        "log.jsonl", "curves.png",
    }  # fmt: skip
    held_out = [pairs[index].plot for index in split.held_out]
    found = cv.load_predictions(tmp_path, split)
    assert set(found) == {f"{m}/{plot}" for m in ("network", *BASELINES) for plot in held_out}
    settings = json.loads((folder / "training.json").read_text())
    assert settings["held_out"] == held_out
    assert not set(settings["learned"]) & set(held_out)
    before = (folder / "predictions.npz").stat().st_mtime_ns
    cv.run_split(pairs, split, TINY, tmp_path)
    assert (folder / "predictions.npz").stat().st_mtime_ns == before
    with pytest.raises(OutputError, match="made with another loss"):
        cv.run_split(pairs, split, changed(TINY, loss={"bins": 1.0}), tmp_path)


def test_pooled_errors_are_those_of_all_pixels_together(pairs):
    predictions = {
        f"network/{pair.plot}": pair.heights + np.float32(index) for index, pair in enumerate(pairs)
    }
    errors = plot_errors.pooled_errors(pairs, predictions, "network", 1)
    assert errors.bias == pytest.approx(1.5)
    assert errors.count == sum(int(pair.heights_valid.sum()) for pair in pairs)
    assert plot_errors.pooled_errors(pairs, predictions, "network", 3).bias == pytest.approx(1.5)
