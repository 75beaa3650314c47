"""Released encoder weights come in whole, under timm's names or the authors', or not at all."""

from __future__ import annotations

import numpy as np
import pytest
import small_timm  # noqa: F401 - registers its architectures
import timm
import torch
from safetensors.torch import save_file
from small_models import tiny_architecture

from canopy.encoders import TimmSettings, build_encoder
from canopy.errors import ModelError
from canopy.height_models.encoder_weights import load_encoder_weights


@pytest.fixture
def encoder():
    return build_encoder(TimmSettings(architecture="test_vit", taps=(0, 1, 2, 3)))


@pytest.fixture
def released():
    """The whole architecture, classifier and all, as timm publishes it."""
    torch.manual_seed(1)
    return timm.create_model("test_vit").state_dict()


def equal(encoder, released):
    found = encoder.model.state_dict()
    return all(torch.equal(tensor, released[name]) for name, tensor in found.items())


def refused(encoder, source, said):
    before = {name: tensor.clone() for name, tensor in encoder.model.state_dict().items()}
    with pytest.raises(ModelError, match=said) as error:
        load_encoder_weights(encoder, source)
    assert "\n" not in str(error.value)
    assert equal(encoder, before)


def test_a_file_of_safetensors_is_loaded(encoder, released, tmp_path):
    save_file(released, tmp_path / "vit.safetensors")
    load_encoder_weights(encoder, tmp_path / "vit.safetensors")
    assert equal(encoder, released)


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": state}])
def test_a_state_dict_of_torch_is_loaded(encoder, released, tmp_path, wrap):
    torch.save(wrap(released), tmp_path / "vit.pth")
    load_encoder_weights(encoder, str(tmp_path / "vit.pth"))
    assert equal(encoder, released)


def test_the_authors_names_of_dinov2_are_translated(tmp_path):
    encoder = build_encoder(TimmSettings(architecture="small_patch14_reg4"))
    whole = timm.create_model("small_patch14_reg4", dynamic_img_size=True).state_dict()
    theirs = {name.replace("reg_token", "register_tokens"): t for name, t in whole.items()}
    # The authors' class token has a position, to which timm adds the token itself.
    class_position = torch.rand(1, 1, 24)
    theirs["pos_embed"] = torch.cat([class_position, whole["pos_embed"]], dim=1)
    theirs["mask_token"] = torch.zeros(1, 24)
    torch.save(theirs, tmp_path / "dinov2.pth")
    load_encoder_weights(encoder, tmp_path / "dinov2.pth")
    whole["cls_token"] = whole["cls_token"] + class_position
    assert equal(encoder, whole)


def test_a_missing_tensor_is_named(encoder, released, tmp_path):
    del released["blocks.3.attn.qkv.weight"]
    save_file(released, tmp_path / "vit.safetensors")
    refused(encoder, tmp_path / "vit.safetensors", r"missing blocks\.3\.attn\.qkv\.weight")


def test_another_architecture_is_named(encoder, tmp_path):
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "resnet.safetensors")
    refused(encoder, tmp_path / "resnet.safetensors", r"resnet\.safetensors .*missing blocks\.0")


def test_a_file_that_would_run_code_is_refused(encoder, tmp_path):
    torch.save({"model": np.random.default_rng}, tmp_path / "evil.pth")
    refused(encoder, tmp_path / "evil.pth", r"evil\.pth cannot be read as weights of timm's test_")


@pytest.mark.parametrize("name", ["page.pth", "page.safetensors"])
def test_a_page_instead_of_weights_is_refused(encoder, tmp_path, name):
    (tmp_path / name).write_text("<!DOCTYPE html><html>404</html>" * 10)
    refused(encoder, tmp_path / name, "expected safetensors or a state dict of torch")


def test_a_missing_file_is_refused(encoder, tmp_path):
    refused(encoder, tmp_path / "none.pth", r"no file .*none\.pth: expected weights of timm's test")


def test_the_hub_out_of_reach_is_one_line(encoder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = r"test_vit could not be fetched \(.*\): check the name's tag and the network, or give a"
    refused(encoder, "hub", said)


def test_an_architecture_without_released_weights_is_one_line():
    encoder = build_encoder(TimmSettings(architecture="small_patch16_rope"))
    refused(encoder, "hub", "small_patch16_rope could not be fetched .*give a file")


def test_own_encoders_take_no_weights_of_timm():
    encoder = build_encoder(tiny_architecture().encoder)
    with pytest.raises(ModelError, match="name one as the encoder"):
        load_encoder_weights(encoder)
