"""A run on plots is repeatable, learns, resumes exactly, and stops when the loss is no number."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import resources

import numpy as np
import pytest
import torch
from small_recipes import TINY, changed

from canopy.errors import OutputError, RunError
from canopy.supervision import loss_choice
from canopy.supervision.recipe import read_recipe
from canopy.supervision.start import NetworkSettings, StartSettings
from canopy.supervision.train_plots import fit
from canopy.weights import load_height_model


def weights_of(model):
    return {name: tensor.clone() for name, tensor in model.network.state_dict().items()}


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(pairs, tmp_path):
    first, again = (weights_of(fit(pairs, TINY, tmp_path / name)) for name in "ab")
    other = weights_of(fit(pairs, changed(TINY, run={"seed": 1}), tmp_path / "c"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("stopped_at", [1, 4, 5])
def test_a_stopped_run_ends_as_an_undisturbed_one(pairs, tmp_path, stopped_at):
    recipe = changed(TINY, run={"steps": 6}, examples={"paired": 0.5})
    fit(pairs, recipe, tmp_path / "whole", held_out=pairs[:1])

    def stop(done, _):
        if done == stopped_at:
            raise KeyboardInterrupt

    broken = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        fit(pairs, recipe, broken, held_out=pairs[:1], progress=stop)
    if stopped_at > 1:  # before the first record nothing is lost by beginning anew
        with pytest.raises(OutputError, match="--resume"):
            fit(pairs, recipe, broken, held_out=pairs[:1])
    told = []
    fit(pairs, recipe, broken, held_out=pairs[:1], resume=True, progress=lambda *s: told.append(s))
    assert told[0] == (1 if stopped_at < 3 else 4, 6)
    files = [(folder / "model.safetensors").read_bytes() for folder in (tmp_path / "whole", broken)]
    assert files[0] == files[1]
    assert [log_of(tmp_path / name)[-1]["validation"] for name in ("whole", "broken")] == [
        log_of(broken)[-1]["validation"]
    ] * 2


def test_a_run_goes_on_with_the_same_plots_and_recipe_only(pairs, tmp_path):
    fit(pairs, TINY, tmp_path / "run")
    with pytest.raises(OutputError, match="begun with another learned"):
        fit(pairs[1:], TINY, tmp_path / "run", resume=True)
    with pytest.raises(OutputError, match="begun with another run"):
        fit(pairs, changed(TINY, run={"seed": 4}), tmp_path / "run", resume=True)


def test_it_learns_what_there_is_to_learn(pairs, tmp_path):
    recipe = changed(
        TINY,
        run={"steps": 60, "validate_every": 30, "log_every": 10, "learning_rate": 5e-3},
        augment={"share": 0.0, "holes": 0.0},
        examples={"made": 0.0, "ground": 0.0, "pasted": 0.0, "paired": 0.0},
    )
    model = fit(pairs[:3], recipe, tmp_path / "run", held_out=pairs[3:])
    log = log_of(tmp_path / "run")
    losses = [sum(record["loss"].values()) for record in log if "loss" in record]
    assert losses[-1] < 0.7 * losses[0]
    # Heights run from 0 to 10 m: their mean errs by 2.7 m.
    assert [record["validation"] for record in log if "validation" in record][-1]["mae_m"] < 2
    made = {path.name for path in (tmp_path / "run").iterdir()}
    assert made == {
        "config.json", "model.safetensors", "training.json", "log.jsonl", "curves.png",
        "checkpoint.pt",
    }  # fmt: skip
    again = load_height_model(tmp_path / "run", device="cpu")
    image = (pairs[3].image[None] / 255).astype(np.float32)
    np.testing.assert_allclose(again.predict(image), model.predict(image), atol=1e-5)


def test_a_run_on_all_plots_has_no_validation(pairs, tmp_path):
    fit(pairs, TINY, tmp_path / "run")
    assert all("validation" not in record for record in log_of(tmp_path / "run"))


def test_the_model_predicts_plausible_heights_and_knows_its_pixels(pairs, tmp_path):
    model = fit(pairs, TINY, tmp_path / "run")
    heights = model.predict(np.full((1, 3, 40, 50), 0.5, np.float32))
    assert heights.shape == (1, 40, 50)
    assert 0 <= heights.min() <= heights.max() <= 15
    pixels = np.concatenate([pair.image.reshape(3, -1) for pair in pairs], axis=1) / 255
    np.testing.assert_allclose(model.card.mean, pixels.mean(axis=1), atol=1e-3)
    np.testing.assert_allclose(model.card.std, pixels.std(axis=1), atol=1e-3)
    assert (model.card.name, model.card.training_data) == ("tiny", "made by a test")


def test_the_average_has_seen_every_batch(pairs, tmp_path):
    state = weights_of(fit(pairs, TINY, tmp_path / "run"))
    seen = [value for name, value in state.items() if name.endswith("num_batches_tracked")]
    assert seen
    assert all(int(count) == TINY.run.steps for count in seen)


def test_unaligned_plots_are_not_learned_from(pairs, tmp_path):
    one_left = changed(TINY, pairs={"unaligned": ("A_0", "A_1", "B_0")})
    model = fit(pairs, one_left, tmp_path / "run")
    np.testing.assert_allclose(model.card.mean, pairs[-1].image.mean(axis=(1, 2)) / 255, atol=1e-3)
    assert json.loads((tmp_path / "run" / "training.json").read_text())["learned"] == ["B_1"]


def test_a_loss_that_is_no_number_stops_the_run(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(loss_choice, "height_loss", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(RunError, match="the height loss is nan at step 1: lower"):
        fit(pairs, TINY, tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()


def shipped_recipe(name):
    return read_recipe(resources.files("canopy") / "supervision" / "configs" / f"{name}.yaml")


def test_the_recipes_of_the_shipped_model_follow_one_another():
    first, second = shipped_recipe("canopy-tiny-real"), shipped_recipe("canopy-tiny")
    assert isinstance(first.start, NetworkSettings)
    assert (first.start.width, first.run.steps, first.loss.main) == (48, 9000, "huber")
    assert second.start == StartSettings(model="runs/canopy-tiny-real")
    assert (len(second.simulated.worlds(gsd_m=0.6)), len(first.simulated.worlds(gsd_m=0.6))) == (
        35, 0,
    )  # fmt: skip
    for part in ("pairs", "examples", "augment", "loss", "sampling"):
        assert getattr(first, part) == getattr(second, part), part
    assert all(site.startswith("NEON_") for site in first.pairs.sites)


def test_the_shipped_weights_say_which_recipes_they_are_of():
    folder = resources.files("canopy") / "models" / "canopy-tiny"
    said = json.loads((folder / "training.json").read_text())
    for settings, name in ((said, "canopy-tiny"), (said["before"], "canopy-tiny-real")):
        recipe = json.loads(json.dumps(asdict(shipped_recipe(name))))
        assert {part: settings.get(part, recipe[part]) for part in recipe} == recipe
    real = said["before"]["learned"]
    assert (len(real), len(said["learned"])) == (103, 138)
    assert said["learned"][:103] == real
