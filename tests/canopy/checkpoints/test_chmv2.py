"""CHMv2 gives the heights of transformers on the padded tile, cropped; and loads strictly."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_chmv2 import photograph, save_tiny, their_heights, tiny_chmv2
from transformers import CHMv2Config
from transformers.utils import logging

from canopy import radiometry
from canopy.checkpoints.chmv2 import CHMv2Network, is_chmv2_folder, load_chmv2_folder
from canopy.errors import ModelError
from canopy.height_models.height_model import HeightModel

SIZES = [(64, 64), (96, 80), (250, 240), (100, 61), (432, 432), (17, 33), (1, 1)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder that transformers wrote, and the model in it."""
    folder = tmp_path_factory.mktemp("chmv2")
    return folder, save_tiny(folder)


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of that folder, to be spoilt."""
    return shutil.copytree(saved[0], tmp_path / "model")


def change_config(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def change_weights(folder, change):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def refused(folder, said):
    with pytest.raises(ModelError, match=said) as error:
        load_chmv2_folder(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


@torch.inference_mode()
def our_heights(network, card, *images):
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return network(radiometry.normalise(pixels, card.mean, card.std)).numpy()


# --- heights ------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_heights_are_those_of_transformers_on_the_padded_tile(saved, size):
    network, card = load_chmv2_folder(saved[0])
    image = photograph(*size)
    expected = their_heights(saved[1], image)
    heights = our_heights(network, card, image)[0]
    assert heights.shape == size
    np.testing.assert_allclose(heights, expected, rtol=1e-5, atol=1e-4)
    if min(size) > 1:
        assert np.ptp(heights) > 1  # a plain would be equal whatever was done to it


def test_key_biases_are_used_where_the_checkpoint_has_them(tmp_path):
    model = save_tiny(tmp_path, seed=1, key_bias=True)
    network, card = load_chmv2_folder(tmp_path)
    image = photograph(80, 50)
    expected = their_heights(model, image)
    np.testing.assert_allclose(our_heights(network, card, image)[0], expected, rtol=1e-5, atol=1e-4)
    for block in model.backbone.model.layer:
        block.attention.k_proj.bias.data.zero_()
    assert np.abs(their_heights(model, image) - expected).max() > 0.1


def test_the_padded_heights_are_cropped_not_stretched(saved):
    network, card = load_chmv2_folder(saved[0])
    image = photograph(64, 64)
    mean = np.round(255 * np.array(card.mean))
    image[:7] = image[-7:] = image[:, :7] = image[:, -7:] = mean  # what the processor pads with
    whole = our_heights(network, card, image)[0]
    inner = our_heights(network, card, image[7:-7, 7:-7])[0]
    np.testing.assert_allclose(inner, whole[7:-7, 7:-7], rtol=0, atol=0.1)


def test_a_tile_has_the_same_heights_in_any_batch(saved):
    network, card = load_chmv2_folder(saved[0])
    images = [photograph(60, 70, seed) for seed in range(3)]
    together = our_heights(network, card, *images)
    alone = np.concatenate([our_heights(network, card, image) for image in images])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-4)


def test_a_height_model_leaves_the_padding_to_the_network(saved):
    network, card = load_chmv2_folder(saved[0])
    model = HeightModel(network=network, card=card)
    image = photograph(100, 61)
    heights = model.predict(image.transpose(2, 0, 1)[None])
    assert network.takes_any_size
    np.testing.assert_allclose(heights[0], their_heights(saved[1], image), rtol=1e-5, atol=1e-4)


def test_bins_are_weighted_in_float32_under_autocast():
    model = tiny_chmv2()
    network, seen = CHMv2Network(model), []
    model.features_to_depth.register_forward_hook(lambda *call: seen.append(call[1][0].dtype))
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        heights = network(torch.rand(1, 3, 40, 40))
    assert seen == [torch.float32]
    assert heights.dtype == torch.float32


# --- the checkpoint's own architecture ----------------------------------------


def test_the_checkpoints_architecture_wins_over_the_librarys(saved):
    default, own = CHMv2Config().backbone_config, load_chmv2_folder(saved[0])[0].model
    assert (default.layer_norm_eps, default.key_bias) == (1e-6, True)
    assert {own.backbone.norm.eps, own.backbone.model.layer[0].norm1.eps} == {1e-5}
    assert own.backbone.model.layer[0].attention.k_proj.bias is None
    assert own.config.backbone_config.num_attention_heads == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.pop("backbone_config"), "backbone_config is missing, expected .*dinov3_vit"),
        (lambda c: c.update(backbone_config=None), "backbone_config is missing"),
        (lambda c: c.update(backbone_config=[3]), "backbone_config is of type None"),
        (lambda c: c["backbone_config"].update(model_type="dinov2"), "of type 'dinov2'"),
        (lambda c: c.update(backbone="facebook/dinov3-vitl16"), "asks for backbone 'facebook/"),
        (lambda c: c.update(use_pretrained_backbone=True), "asks for use_pretrained_backbone True"),
        (lambda c: c.update(use_timm_backbone=True), "asks for use_timm_backbone True"),
        (lambda c: c["backbone_config"].update(backbone="x/y"), "asks for backbone 'x/y'"),
        (lambda c: c.update(quantization_config={"a": 1}), "asks for quantization_config"),
        (lambda c: c.update(model_type="dpt"), "model_type 'dpt', expected 'chmv2'"),
        (lambda c: c["backbone_config"].pop("layer_norm_eps"), r"say backbone_config\.layer_norm"),
        (lambda c: c["backbone_config"].pop("num_attention_heads"), "num_attention_heads"),
        (lambda c: c.pop("max_depth"), "does not say max_depth"),
        (lambda c: c.update(max_depth=-1), "max_depth is -1, expected metres above 0"),
        (lambda c: c.update(max_depth="96"), "max_depth is '96'"),
        (lambda c: c["backbone_config"].update(return_class_token=False), "token False, expected"),
        (lambda c: c.update(patch_size=8), "patches of 16 px .*expected 8 px"),
        (lambda c: c["backbone_config"].update(num_attention_heads=0), "cannot be loaded by trans"),
        (
            lambda c: c["backbone_config"].update(out_indices=[9]),
            "cannot be loaded by transformers",
        ),
        (lambda c: c.update(bins_strategy="odd"), "cannot be loaded by transformers"),
        (lambda c: c.update(fusion_hidden_size="wide"), "cannot be loaded by transformers"),
    ],
)
def test_a_configuration_that_leaves_something_open_is_refused(folder, change, said):
    change_config(folder, change)
    assert str(folder) in refused(folder, said)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "<html>"])
def test_a_configuration_that_is_none_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    refused(folder, r"config\.json")
    assert not is_chmv2_folder(folder)


def test_a_folder_is_recognised_without_transformers(folder, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert is_chmv2_folder(folder)
    assert not is_chmv2_folder(tmp_path)
    change_config(folder, lambda config: config.update(model_type="dpt"))
    assert not is_chmv2_folder(folder)


def test_without_transformers_it_is_said_how_to_get_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    said = refused(folder, "chmv2 needs transformers")
    assert said == "chmv2 needs transformers: pip install 'canopy-height[chmv2]'"


# --- weights ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("backbone.norm.bias"), r"missing backbone\.norm\.bias$"),
        (lambda t: t.pop("backbone.layer.2.attention.k_proj.weight"), r"missing .*2\.attention\.k"),
        (lambda t: t.update(ghost=torch.zeros(1)), "extra ghost$"),
        (
            lambda t: t.update({"backbone.layer.0.attention.k_proj.bias": torch.zeros(32)}),
            "extra .*k_proj.bias",
        ),
        (
            lambda t: t.update({"head.conv_depth.head.4.bias": torch.zeros(5)}),
            r"head\.4\.bias has shape \(5,\), the configuration says \(32,\)",
        ),
    ],
)
def test_weights_other_than_the_configurations_are_refused(folder, change, said, caplog):
    change_weights(folder, change)
    state = torch.random.get_rng_state()
    assert "model.safetensors" in refused(folder, said)
    assert caplog.records == []
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("keep", [0, 4, 500, -100])
def test_truncated_weights_are_refused(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(folder, r"model\.safetensors cannot be read as safetensors .*fetch the model again")


def test_a_page_instead_of_weights_is_refused(folder):
    (folder / "model.safetensors").write_text("<!DOCTYPE html><html>404</html>" * 10)
    refused(folder, r"model\.safetensors cannot be read as safetensors")


def test_a_pickle_instead_of_safetensors_is_not_opened(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, r"model\.safetensors is missing \(found pytorch_model\.bin, which could run")
    (folder / "pytorch_model.bin").unlink()
    refused(folder, r"model\.safetensors is missing: fetch")


def test_half_precision_is_loaded_as_float32(folder, saved):
    change_weights(folder, lambda t: t.update({name: t[name].half() for name in t}))
    change_config(folder, lambda config: config.update(dtype="float16"))
    network, card = load_chmv2_folder(folder)
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}
    image = photograph(64, 64)
    expected = their_heights(saved[1], image)
    assert np.abs(our_heights(network, card, image)[0] - expected).mean() < 0.5


def test_loading_is_quiet_and_leaves_everything_as_it_was(folder, monkeypatch, capfd):
    def no_network(*arguments, **_):
        pytest.fail(f"a connection was asked for: {arguments}")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    before = (
        torch.random.get_rng_state(),
        logging.get_verbosity(),
        logging.is_progress_bar_enabled(),
    )
    network, _ = load_chmv2_folder(folder)
    after = torch.random.get_rng_state(), logging.get_verbosity(), logging.is_progress_bar_enabled()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert not network.model.training
    assert capfd.readouterr() == ("", "")


# --- the card -----------------------------------------------------------------


def test_the_card_says_what_the_model_expects(saved):
    card = load_chmv2_folder(saved[0])[1]
    assert (card.name, card.licence, card.gsd_m) == ("chmv2", "DINOv3", 0.6)
    assert card.maximum_height_m == 96
    assert card.mean == (0.420, 0.411, 0.296)
    assert card.std == (0.213, 0.156, 0.143)
    assert card.tile_px % card.multiple_px == 0
    assert card.url == "https://huggingface.co/facebook/dinov3-vitl16-chmv2-dpt-head"
    assert any("0.6 m" in note for note in card.notes)


def test_the_card_takes_what_the_folder_says(folder):
    change_config(folder, lambda config: config.update(max_depth=40.0))
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.1]}))
    card = load_chmv2_folder(folder)[1]
    assert card.maximum_height_m == 40
    assert "40 m" in card.summary
    assert (card.mean, card.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    path.unlink()
    assert load_chmv2_folder(folder)[1].mean == (0.420, 0.411, 0.296)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"image_mean": [0.5, 0.4]}, "image_mean is [0.5, 0.4], expected three numbers"),
        ({"image_mean": "grey"}, "image_mean is 'grey'"),
        ({"image_std": [0.2, 0, 0.2]}, "image_std is [0.2, 0, 0.2], expected three numbers"),
        ({"image_std": [0.2, True, 0.2]}, "image_std is"),
    ],
)
def test_a_normalisation_that_makes_no_sense_is_refused(folder, values, said):
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    refused(folder, re.escape(said))
