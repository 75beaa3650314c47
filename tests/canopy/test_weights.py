"""Models on disk come back exactly, or are refused in one line that names what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import LocalMean, model_of, tiny_model

from canopy.checkpoints.chmv1 import from_chmv1_names
from canopy.errors import ModelError
from canopy.height_models.folder import save_height_model
from canopy.weights import (
    choose_device,
    load_height_model,
)


@pytest.fixture
def folder(tmp_path):
    save_height_model(tiny_model(), tmp_path / "model")
    return tmp_path / "model"


def change_config(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def change_weights(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def refused(name, said):
    with pytest.raises(ModelError, match=said) as error:
        load_height_model(name, device="cpu")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_saved_model_comes_back_exactly(folder):
    saved, loaded = tiny_model(), load_height_model(folder, device="cpu")
    assert loaded.card == saved.card
    assert loaded.architecture == saved.architecture
    for name, tensor in saved.network.state_dict().items():
        torch.testing.assert_close(loaded.network.state_dict()[name], tensor, rtol=0, atol=0)
    image = np.random.default_rng(0).integers(0, 255, (2, 3, 64, 64)).astype(np.uint8)
    np.testing.assert_array_equal(loaded.predict(image), saved.predict(image))


def test_other_weights_have_another_fingerprint(tmp_path, folder):
    save_height_model(tiny_model(seed=1), tmp_path / "other")
    first, second = (load_height_model(path) for path in (folder, tmp_path / "other"))
    assert len(first.fingerprint) == 64
    assert first.fingerprint != second.fingerprint
    assert first.fingerprint == load_height_model(folder).fingerprint


def test_a_network_made_elsewhere_cannot_be_saved(tmp_path):
    with pytest.raises(ModelError, match="small has no architecture"):
        save_height_model(model_of(LocalMean()), tmp_path)


@pytest.mark.parametrize("name", ["canopy-huge", "no/such/folder", ""])
def test_an_unknown_model_is_refused_with_the_choices(name):
    said = refused(name, f"no model {name}.*: expected")
    assert "config.json" in said
    assert "hf:OWNER/REPO" in said


def test_a_malformed_name_on_the_hub_is_refused():
    refused("hf:not a name!", "model hf:not a name! could not be fetched")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda config: config.update(colour="green"), "unknown fields .*colour"),
        (lambda config: config["architecture"].update(neck={}), "unknown fields .*neck"),
        (lambda config: config["architecture"]["encoder"].update(width=1), "unknown .*width"),
        (lambda config: config.pop("gsd_m"), "gsd_m"),
        (lambda config: config.pop("architecture"), "has no architecture"),
        (lambda config: config["architecture"].pop("head"), "head"),
        (lambda config: config["architecture"].update(head=3), "expected an object"),
        (lambda config: config.update(gsd_m="0.6"), "gsd_m"),
        (lambda config: config.update(mean=[0.4, 0.4]), "mean"),
        (lambda config: config.update(std=[0.2, "x", 0.2]), "std"),
        (lambda config: config.update(tile_px=64.5), "tile_px"),
        (lambda config: config["architecture"]["encoder"].update(heads=3), "heads 3"),
        (
            lambda config: config["architecture"]["encoder"].update(kind="cnn"),
            "encoder is of kind 'cnn': expected one of vit, timm",
        ),
        (
            lambda config: config["architecture"]["decoder"].update(kind="unett"),
            "decoder is of kind 'unett': expected one of dpt, linear, unet",
        ),
        (
            lambda config: config["architecture"]["head"].update(kind=3),
            "head is of kind '3': expected one of bins, regression",
        ),
        (
            lambda config: config["architecture"]["decoder"].update(in_channels=[9, 9, 9, 9]),
            "takes taps of channels .* the encoder gives",
        ),
        (lambda config: config["architecture"]["encoder"].update(dim="16"), "dim"),
        (lambda config: config["architecture"]["head"].update(readout="cubic"), "readout"),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(folder, change, said):
    change_config(folder, change)
    assert "config.json" in refused(folder, said)


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("encoder", {"dim": 10**9}),
        ("encoder", {"depth": 10**9}),
        ("encoder", {"heads": 0}),
        ("encoder", {"heads": -2}),
        ("encoder", {"taps": [-1, -2, 0, 1]}),
        ("encoder", {"taps": [0, 0, 1, 2]}),
        ("encoder", {"mlp_ratio": float("inf")}),
        ("encoder", {"position_grid": 10**9}),
        ("encoder", {"kind": ["vit"]}),
        ("decoder", {"width": -4}),
        ("head", {"bins": 10**12}),
        ("head", {"bins": -3}),
        ("head", {"maximum_m": -1.0}),
        (None, {"gsd_m": 0.0}),
        (None, {"gsd_m": float("nan")}),
        (None, {"maximum_height_m": -5.0}),
        (None, {"std": [0.2, 0.0, 0.2]}),
        (None, {"multiple_px": 0}),
        (None, {"multiple_px": -32}),
        (None, {"tile_px": 33}),
        (None, {"tile_px": 0}),
        (None, {"overlap_px": 1000}),
    ],
)
def test_sizes_that_make_no_sense_are_refused_at_once(folder, part, values):
    def change(config):
        (config["architecture"][part] if part else config).update(values)

    change_config(folder, change)
    assert "config.json" in refused(folder, ".")


def test_weights_of_whole_numbers_are_refused(folder):
    whole = torch.zeros(16, dtype=torch.int32)
    change_weights(folder, lambda tensors: tensors.update({"head.logits.bias": whole}))
    refused(folder, r"head\.logits\.bias is of torch\.int32")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null"])
def test_a_configuration_that_is_none_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    refused(folder, r"config\.json")


def test_a_missing_tensor_is_named(folder):
    change_weights(folder, lambda tensors: tensors.pop("head.logits.bias"))
    refused(folder, r"model\.safetensors .*missing head\.logits\.bias")


def test_a_tensor_too_many_is_named(folder):
    change_weights(folder, lambda tensors: tensors.update(ghost=torch.zeros(1)))
    refused(folder, "extra ghost")


def test_a_tensor_of_another_shape_is_named(folder):
    change_weights(folder, lambda tensors: tensors.update({"head.logits.bias": torch.zeros(3)}))
    refused(folder, r"head\.logits\.bias has shape \(3,\), expected \(16,\)")


@pytest.mark.parametrize("keep", [0, 4, 500, -100])
def test_truncated_weights_are_refused(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(folder, r"model\.safetensors cannot be read as safetensors .*fetch the model again")


def test_missing_weights_are_refused(folder):
    (folder / "model.safetensors").unlink()
    refused(folder, r"model\.safetensors cannot be read")


def test_a_page_instead_of_weights_is_refused(folder):
    (folder / "model.safetensors").write_text("<!DOCTYPE html><html>404</html>" * 10)
    refused(folder, r"model\.safetensors cannot be read as safetensors")


def test_devices_are_checked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == choose_device("cpu").type == "cpu"
    with pytest.raises(ModelError, match="no CUDA device"):
        choose_device("cuda")
    with pytest.raises(ModelError, match="device gpu: expected auto, cpu or cuda"):
        choose_device("gpu")


def test_every_released_name_has_a_name_here_and_only_unused_ones_are_dropped(golden):
    released = {name[2:]: torch.from_numpy(golden[name]) for name in golden if name[:2] == "w."}
    renamed = from_chmv1_names(released)
    assert len(released) - len(renamed) == 3
    assert not any(name.startswith(("backbone", "decode_head")) for name in renamed)
