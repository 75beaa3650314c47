"""Cross-validation never judges a plot by a model that has seen its ground."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the extra train")

from canopy.supervision import cross_validation as cv
from canopy.supervision.baselines import (
    BASELINES,
    colour_and_texture,
    fit_baseline,
    predict_baseline,
)
from canopy.supervision.examples import ExampleSettings
from canopy.supervision.pairs import PairSettings
from canopy.supervision.recipe import NetworkSettings, Recipe

TINY = Recipe(
    steps=1,
    evaluation_tile_px=32,
    network=NetworkSettings(
        dim=24, depth=2, heads=2, stem_channels=(8, 16), stem_depth=(1, 1),
        level_channels=(8, 8, 8, 8), width=8, head_channels=8, bins=16,
    ),
    pairs=PairSettings(sites=("A", "B"), unaligned=()),
    examples=ExampleSettings(tiles_px=(32,), pixels=2048, shift_px=16),
)  # fmt: skip


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(cv, "FOLDS", 2)
    monkeypatch.setattr(cv, "MADE_SCENES", 10)
    monkeypatch.setattr(cv, "bare_ground", lambda pair: np.ones(pair.image.shape[1:], bool))


@pytest.mark.usefixtures("few")
def test_every_plot_is_held_out_once_by_ground_and_once_by_site(pairs):
    splits = cv.make_splits(pairs, seed=0)
    for scheme, count in (("blocks", 2), ("sites", 2)):
        chosen = [split for split in splits if split.scheme == scheme]
        assert len(chosen) == count
        assert sorted(index for split in chosen for index in split.held_out) == [0, 1, 2, 3]


def test_a_plot_is_predicted_at_each_of_its_heights(pairs):
    model = cv.fit(pairs, TINY)
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
def test_all_splits_are_run_and_judged(pairs, tmp_path):
    splits = cv.make_splits(pairs, seed=0)
    cv.run_and_judge(pairs, splits, TINY, tmp_path, ["blocks-0"])
    assert not (tmp_path / "errors.json").exists()
    cv.run_and_judge(pairs, splits, TINY, tmp_path, None)
    report = json.loads((tmp_path / "errors.json").read_text())
    assert set(report["blocks"]["pooled"]) == {"network", *BASELINES}
    assert report["sites"]["A"]["ridge"]["1 m"]["count"] == sum(
        p.heights_valid.sum() for p in pairs[:2]
    )
    assert set(report["made scenes"]["lawn"]) == {"mean_m", "p95_m", "share_above_2m"}
    table = (tmp_path / "errors.md").read_text()
    assert "| pooled | gradient boosting |" in table


def test_pooled_errors_are_those_of_all_pixels_together(pairs):
    predictions = {
        f"network/{pair.plot}": pair.heights + np.float32(index) for index, pair in enumerate(pairs)
    }
    errors = cv.pooled_errors(pairs, predictions, "network", 1)
    assert errors.bias == pytest.approx(1.5)
    assert errors.count == sum(int(pair.heights_valid.sum()) for pair in pairs)
    assert cv.pooled_errors(pairs, predictions, "network", 3).bias == pytest.approx(1.5)
