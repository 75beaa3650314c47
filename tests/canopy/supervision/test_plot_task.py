"""Learning from plots: batches by step, losses, and where the network starts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_recipes import TINY, changed

from canopy.errors import ModelError, SettingsError
from canopy.height_models.building import build_height_model
from canopy.height_models.folder import save_height_model
from canopy.supervision.loss_choice import LossChoice, PlotLoss
from canopy.supervision.plot_task import PlotTask, disagreement
from canopy.supervision.published_losses import CurriculumSettings
from canopy.supervision.start import StartSettings


def parts(**names):
    return StartSettings(**{"encoder": "test_vit", "decoder": "linear", **names})


def losses_of(task, batch):
    terms = task.losses(task.network, batch, 0.0)
    return {name: float(term.detach()) for name, term in terms.items()}


def test_a_batch_follows_from_seed_step_and_rank_alone(pairs):
    task = PlotTask(pairs, (), TINY)
    first, again = task.batch(1, 0), PlotTask(pairs, (), TINY).batch(1, 0)
    assert all(torch.equal(first[name], again[name]) for name in first)
    for other in (task.batch(0, 0), task.batch(1, 1)):
        assert not torch.equal(first["images"], other["images"])
    reseeded = PlotTask(pairs, (), changed(TINY, run={"seed": 1})).batch(1, 0)
    assert not torch.equal(first["images"], reseeded["images"])


def test_tiles_come_in_pairs_in_the_last_steps(pairs):
    task = PlotTask(pairs, (), changed(TINY, examples={"paired": 0.5}))
    assert [len(task.batch(step, 0)["corners"]) > 0 for step in range(4)] == [0, 0, 1, 1]


def test_losses_are_named_weighted_and_finite(pairs):
    task = PlotTask(pairs, (), changed(TINY, examples={"paired": 1.0}))
    batch = task.batch(0, 0)
    terms = losses_of(task, batch)
    assert set(terms) == {"height", "bins", "disagreement"}
    assert all(np.isfinite(term) for term in terms.values())
    doubled = replace(task.recipe, loss=PlotLoss(bins=0.6, disagreement=1.0))
    twice = losses_of(PlotTask(pairs, (), doubled), batch)
    for name, factor in (("height", 1), ("bins", 2), ("disagreement", 2)):
        assert twice[name] == pytest.approx(factor * terms[name], rel=1e-4), name


@pytest.mark.parametrize("main", ["curriculum", "silog", "charbonnier"])
def test_published_losses_may_be_the_main_one(pairs, main):
    task = PlotTask(pairs, (), replace(TINY, loss=PlotLoss(main=main, bins=0.0)))
    terms = losses_of(task, task.batch(0, 0))
    assert {"silog" if main == "curriculum" else main, "disagreement"} <= set(terms)
    assert "bins" not in terms


@pytest.mark.parametrize(
    "choices",
    [
        {"main": "huber", "curriculum": CurriculumSettings(silog_mean=0.5)},
        {"main": "silog", "huber": TINY.loss.huber.__class__(knee_m=2.0)},
    ],
)
def test_constants_of_another_loss_are_refused(choices):
    with pytest.raises(ValueError, match="has no effect on main"):
        LossChoice(**choices)


def test_validation_is_on_what_is_held_out_and_on_nothing_without(pairs):
    assert PlotTask(pairs, (), TINY).validate(PlotTask(pairs, (), TINY).network) == {}
    task = PlotTask(pairs[:3], pairs[3:], TINY)
    found = task.validate(task.network)
    model = task.finished(task.network)
    pair = pairs[3]
    image = np.pad(pair.image, ((0, 0), (0, 12), (0, 12)), mode="symmetric") / np.float32(255)
    heights = pair.on_height_grid(model.predict(image[None])[0, :20, :20])
    errors = (heights - pair.heights)[pair.heights_valid]
    assert found["mae_m"] == pytest.approx(np.abs(errors).mean(), rel=1e-4)
    assert found["bias_m"] == pytest.approx(errors.mean(), rel=1e-4)


def test_bins_start_from_how_often_each_height_occurs(pairs):
    head = PlotTask(pairs, (), TINY).model.network.head
    heights = np.concatenate([pair.heights[pair.heights_valid] for pair in pairs])
    shares = head.logits.bias.detach().softmax(0).numpy()
    np.testing.assert_allclose(shares[:11], (heights == 3).mean(), atol=0.01)
    assert shares[11:].max() < 0.01


def test_named_parts_make_a_network_that_learns_from_plots(pairs):
    recipe = replace(TINY, start=parts(), loss=PlotLoss(bins=0.3))
    task = PlotTask(pairs, (), recipe)
    assert losses_of(task, task.batch(0, 0))["height"] > 0
    card = task.model.card
    assert (card.name, card.gsd_m) == ("tiny", 0.6)
    assert card.mean == build_height_model("test_vit", "linear").card.mean


def test_learning_goes_on_from_a_model(pairs, tmp_path):
    first = PlotTask(pairs, (), TINY)
    with torch.no_grad():
        first.network.network.head.logits.bias.fill_(0.25)
    save_height_model(first.model, tmp_path / "first")
    task = PlotTask(pairs, (), replace(TINY, start=StartSettings(model=str(tmp_path / "first"))))
    assert float(task.model.network.head.logits.bias.detach().min()) == 0.25
    assert task.model.card.mean == first.model.card.mean


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"start": parts(head="regression")}, SettingsError, "needs a head of linear bins"),
        ({"start": parts(encoder="nothing_vit")}, ModelError, "nothing_vit"),
        ({"start": replace(TINY.start, heads=5)}, ModelError, "no network has these sizes"),
        (
            {"examples": replace(TINY.examples, tiles_px=(36,))},
            SettingsError,
            "36 px: the network takes multiples of",
        ),
    ],
)
def test_what_does_not_fit_is_refused(pairs, change, error, said):
    with pytest.raises(error, match=said):
        PlotTask(pairs, (), replace(TINY, **change))


def test_plots_of_another_pixel_than_the_model_are_refused(pairs, tmp_path):
    save_height_model(PlotTask(pairs, (), TINY).model, tmp_path / "first")
    start = StartSettings(model=str(tmp_path / "first"))
    recipe = replace(changed(TINY, pairs={"gsd_m": 1.2}), start=start)
    with pytest.raises(SettingsError, match=r"set pairs.gsd_m to 0\.6"):
        PlotTask(pairs, (), recipe)


def test_a_model_and_parts_at_once_are_refused():
    with pytest.raises(ValueError, match="has its own parts"):
        StartSettings(model="canopy-tiny", decoder="unet")


def test_tiles_that_agree_have_no_disagreement():
    ground = torch.rand(48, 48, generator=torch.Generator().manual_seed(0))
    tiles = torch.stack([ground[:32, :32], ground[10:42, 16:48]])
    corners = np.array([[0, 0], [10, 16]])
    shown = torch.ones(2, 32, 32, dtype=torch.bool)
    assert float(disagreement(tiles, shown, corners)) == 0
    apart = tiles + torch.tensor([0.0, 2.0])[:, None, None]
    assert float(disagreement(apart, shown, corners)) == pytest.approx(2)


def test_tiles_of_other_ground_are_not_compared():
    nothing = np.zeros((0, 2), np.int64)
    assert float(disagreement(torch.rand(3, 8, 8), torch.ones(3, 8, 8) > 0, nothing)) == 0
