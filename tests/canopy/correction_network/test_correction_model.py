"""A correction network as files: strict, and a prediction that depends on its window alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_corrections import SMALL, constant, network, save
from small_models import tiny_model

from canopy.correction_network.metadata import unknown
from canopy.correction_network.model import load_correction_model
from canopy.errors import ModelError
from canopy.height_models.folder import load_model_folder, save_height_model


def windows(count):
    shape = (count, 3, SMALL.window_px, SMALL.window_px)
    return np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)


def test_a_saved_network_predicts_the_same(tmp_path):
    made = network()
    loaded = load_correction_model(save(made, tmp_path / "n"))
    pixels = (torch.from_numpy(windows(2)).float() / 255 - 0.5) / 0.2
    with torch.no_grad():
        expected = made(pixels, torch.from_numpy(unknown(2).encoded())).numpy()
    np.testing.assert_allclose(loaded.predict(windows(2), unknown(2)), expected, rtol=1e-5)


def test_a_prediction_does_not_depend_on_what_is_asked_with_it(tmp_path):
    loaded = load_correction_model(save(network(), tmp_path / "n"))
    images = windows(40)
    together = loaded.predict(images, unknown(40))
    alone = [loaded.predict(images[i : i + 1], unknown(1))[0] for i in (0, 7, 39)]
    np.testing.assert_array_equal(together[[0, 7, 39]], alone)


def test_the_offset_of_the_card_is_in_every_prediction(tmp_path):
    loaded = load_correction_model(save(constant(10.0), tmp_path / "n", offset=0.1))
    assert loaded.predict(windows(1), unknown(1))[0] == pytest.approx(10 * np.exp(0.1), rel=1e-4)


def without_a_name(tensors):
    tensors.pop("height.bias")


def with_a_name(tensors):
    tensors["extra"] = torch.zeros(1)


def with_another_shape(tensors):
    tensors["height.bias"] = torch.zeros(2)


def without_numbers(tensors):
    tensors["height.bias"] = torch.full((1,), float("nan"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_a_name, "missing height.bias"),
        (with_a_name, "extra extra"),
        (with_another_shape, r"shape \(2,\), expected \(1,\)"),
        (without_numbers, "no numbers"),
    ],
)
def test_weights_that_are_not_the_networks_are_refused(tmp_path, change, said):
    folder = save(network(), tmp_path / "n")
    tensors = {
        name: value.clone() for name, value in load_file(folder / "model.safetensors").items()
    }
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelError, match=said):
        load_correction_model(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "height"}, "no correction network"),
        ({"surprise": 1}, "unknown fields"),
        ({"percentile": 101}, "above 0 up to 100"),
    ],
)
def test_a_configuration_that_is_no_correction_is_refused(tmp_path, changes, said):
    folder = save(network(), tmp_path / "n")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ModelError, match=said):
        load_correction_model(folder)


def test_height_models_and_corrections_are_told_apart(tmp_path):
    save_height_model(tiny_model(), tmp_path / "height")
    with pytest.raises(ModelError, match="no correction network"):
        load_correction_model(tmp_path / "height")
    with pytest.raises(ModelError, match="give it as --correction"):
        load_model_folder(save(network(), tmp_path / "n"))


def test_an_unknown_name_lists_those_that_ship():
    with pytest.raises(ModelError, match=r"no correction network nowhere: expected one of .*simul"):
        load_correction_model("nowhere")
