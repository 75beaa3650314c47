"""A training run is repeatable, saves what it made, and stops when the loss is no number."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
import torch

from canopy.errors import RunError
from canopy.supervision import fit_decoder
from canopy.supervision.examples import ExampleSettings
from canopy.supervision.fit_decoder import check_finite, disagreement, fit, main
from canopy.supervision.pairs import FIELD_DATA_VARIABLE, PairSettings
from canopy.supervision.recipe import NetworkSettings, OptimiserSettings, Recipe, read_recipe
from canopy.weights import load_height_model

TINY = Recipe(
    steps=3,
    network=NetworkSettings(
        dim=24,
        depth=2,
        heads=2,
        stem_channels=(8, 16),
        stem_depth=(1, 1),
        level_channels=(8, 8, 8, 8),
        width=8,
        head_channels=8,
        bins=16,
    ),
    pairs=PairSettings(sites=("A", "B"), unaligned=()),
    examples=ExampleSettings(tiles_px=(32,), pixels=4096, shift_px=16),
)

TINY_YAML = """
steps: 2
network: {dim: 24, depth: 2, heads: 2, stem_channels: [8, 16], stem_depth: [1, 1],
          level_channels: [8, 8, 8, 8], width: 8, head_channels: 8, bins: 16}
pairs: {sites: [A, B], unaligned: []}
examples: {tiles_px: [32], pixels: 4096, shift_px: 16}
card: {name: tiny, training_data: made by a test}
"""


def weights_of(model):
    return {name: tensor.clone() for name, tensor in model.network.state_dict().items()}


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(pairs):
    first, again = (weights_of(fit(pairs, TINY)) for _ in range(2))
    other = weights_of(fit(pairs, replace(TINY, seed=1)))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_every_step_is_reported_with_the_terms_of_its_loss(pairs):
    seen = []
    fit(pairs, TINY, lambda step, terms: seen.append((step, sorted(terms))))
    assert seen == [(step, ["bins", "disagreement", "height"]) for step in (1, 2, 3)]


def test_the_model_predicts_plausible_heights_and_knows_its_pixels(pairs):
    model = fit(pairs, TINY)
    heights = model.predict(np.full((1, 3, 40, 50), 0.5, np.float32))
    assert heights.shape == (1, 40, 50)
    assert 0 <= heights.min() <= heights.max() <= 15
    pixels = np.concatenate([pair.image.reshape(3, -1) for pair in pairs], axis=1) / 255
    np.testing.assert_allclose(model.card.mean, pixels.mean(axis=1), atol=1e-3)


def test_unaligned_plots_are_not_learned_from(pairs):
    one_left = replace(TINY, pairs=PairSettings(sites=("A", "B"), unaligned=("A_0", "A_1", "B_0")))
    model = fit(pairs, one_left)
    np.testing.assert_allclose(model.card.mean, pairs[-1].image.mean(axis=(1, 2)) / 255, atol=1e-3)


def test_a_loss_that_is_no_number_stops_the_run(pairs, monkeypatch):
    monkeypatch.setattr(fit_decoder, "height_loss", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(
        RunError, match="found a height loss of nan at step 1; expected a number; lower"
    ):
        fit(pairs, TINY)


def test_a_finite_loss_passes():
    check_finite({"height": torch.tensor(1.0)}, 1)


def test_tiles_that_agree_have_no_disagreement():
    ground = torch.rand(48, 48, generator=torch.Generator().manual_seed(0))
    tiles = torch.stack([ground[:32, :32], ground[10:42, 16:48]])
    corners = np.array([[0, 0], [10, 16]])
    shown = torch.ones(2, 32, 32, dtype=torch.bool)
    assert float(disagreement(tiles, shown, corners)) == 0
    assert float(
        disagreement(tiles + torch.tensor([0.0, 2.0])[:, None, None], shown, corners)
    ) == pytest.approx(2)


def test_the_average_has_the_running_statistics_of_what_was_trained(pairs):
    state = weights_of(fit(pairs, replace(TINY, network=replace(TINY.network, batch_norm=True))))
    seen = [value for name, value in state.items() if name.endswith("num_batches_tracked")]
    assert seen
    assert all(int(count) == TINY.steps for count in seen)


def test_tiles_of_other_ground_are_not_compared():
    nothing = np.zeros((0, 2), np.int64)
    assert float(disagreement(torch.rand(3, 8, 8), torch.ones(3, 8, 8) > 0, nothing)) == 0


def test_the_average_starts_from_what_was_learned(pairs):
    slow = replace(TINY, optimiser=OptimiserSettings(average=0.9999))
    fast = replace(TINY, optimiser=OptimiserSettings(average=0.0))
    one, other = (weights_of(fit(pairs, recipe))["head.logits.weight"] for recipe in (slow, fast))
    assert not torch.equal(one, other)
    assert float((one - other).abs().max()) < 0.1


def test_the_command_saves_a_model_that_loads_and_the_resolved_recipe(plots, monkeypatch, tmp_path):
    monkeypatch.setenv(FIELD_DATA_VARIABLE, str(plots))
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY_YAML)
    assert main([str(recipe), "--output", str(tmp_path / "model"), "--threads", "1"]) == 0
    model = load_height_model(tmp_path / "model", device="cpu")
    assert model.card.name == "tiny"
    assert model.card.training_data == "made by a test"
    resolved = json.loads((tmp_path / "model" / "training.json").read_text())
    assert resolved["recipe"]["network"]["dim"] == 24
    assert resolved["recipe"]["loss"]["knee_m"] > 0


def test_missing_field_data_is_one_line(monkeypatch, tmp_path, caplog):
    monkeypatch.delenv(FIELD_DATA_VARIABLE, raising=False)
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY_YAML)
    assert main([str(recipe), "--output", str(tmp_path / "model")]) == 1
    assert FIELD_DATA_VARIABLE in caplog.messages[-1]
    assert "\n" not in caplog.messages[-1]


def test_an_unknown_setting_is_refused_by_name(tmp_path, caplog):
    recipe = tmp_path / "wrong.yaml"
    recipe.write_text("stepps: 3\n")
    assert main([str(recipe), "--output", str(tmp_path / "model")]) == 1
    assert "stepps" in caplog.messages[-1]


def test_the_recipe_of_the_shipped_model_can_be_read():
    recipe = read_recipe(resources.files("canopy") / "supervision" / "configs" / "canopy-tiny.yaml")
    assert recipe.card.name == "canopy-tiny"
    assert all(site.startswith("NEON_") for site in recipe.pairs.sites)
