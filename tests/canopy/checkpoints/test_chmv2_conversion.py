"""The authors' two files become a folder with the same heights, or are refused in one line."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from small_chmv2 import PERIODS, authors_files, photograph, their_heights, tiny_chmv2
from transformers import CHMv2ForDepthEstimation, CHMv2ImageProcessor

from canopy.checkpoints import chmv2_folder
from canopy.checkpoints.chmv2 import (
    convert_authors_files,
    is_chmv2_folder,
    load_chmv2_folder,
    recognise,
    write_chmv2_folder,
)
from canopy.checkpoints.chmv2_names import (
    BackboneSizes,
    HeadSizes,
    backbone_rows,
    head_rows,
)
from canopy.errors import ModelError

IMAGE = photograph(70, 100)
RELEASED_HEAD = HeadSizes(
    hidden=1024, channels=(128, 256, 512, 1024), fusion=256, last=128, bins=256
)
RELEASED_BACKBONE = BackboneSizes(hidden=1024, depth=24, inner=4096, registers=4, patch=16)
FACTS = {"num_attention_heads": 2, "layer_norm_eps": 1e-5, "rope_theta": 100.0}


@pytest.fixture(scope="module")
def model():
    return tiny_chmv2()


@pytest.fixture
def files(model):
    """The authors' head and backbone, to be spoilt."""
    return authors_files(model)


@pytest.fixture
def stored(model):
    """The backbone as transformers stores it."""
    state = model.backbone.state_dict()
    return {name.removeprefix("model."): tensor.clone() for name, tensor in state.items()}


def prefixed(state, prefix):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def refused(said, *parts):
    with pytest.raises(ModelError, match=said) as error:
        convert_authors_files(*parts)
    assert "\n" not in str(error.value)


def heights_of(folder, *parts):
    write_chmv2_folder(folder, *convert_authors_files(*parts))
    return their_heights(load_chmv2_folder(folder)[0].model, IMAGE)


@pytest.mark.parametrize("key_bias", [False, True])
def test_the_authors_files_give_the_same_heights(tmp_path, key_bias):
    model = tiny_chmv2(seed=2, key_bias=key_bias)
    heights = heights_of(tmp_path / "model", *authors_files(model))
    np.testing.assert_allclose(heights, their_heights(model, IMAGE), rtol=0, atol=1e-5)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["backbone_config"]["key_bias"] is key_bias


def test_the_architecture_is_read_from_the_tensors(files):
    config, _ = convert_authors_files(*files)
    backbone = config["backbone_config"]
    assert config["post_process_channels"] == (8, 16, 32, 64)
    sizes = ("fusion_hidden_size", "head_hidden_size", "number_output_channels", "patch_size")
    assert [config[name] for name in sizes] == [32, 8, 32, 16]
    sizes = (
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_register_tokens", "layer_norm_eps", "out_indices",
    )  # fmt: skip
    assert [backbone[name] for name in sizes] == [32, 64, 4, 2, 4, 1e-5, [1, 2, 3, 4]]


def test_the_released_size_taps_the_authors_blocks():
    taps = chmv2_folder.backbone_configuration(RELEASED_BACKBONE, {})["out_indices"]
    assert [tap - 1 for tap in taps] == [5, 11, 17, 23]


def test_the_released_size_has_the_published_parameters():
    head = sum(math.prod(row.shape) for row in head_rows(RELEASED_HEAD))
    backbone = sum(math.prod(row.shape) for row in backbone_rows(RELEASED_BACKBONE))
    key_biases = 24 * 1024
    assert head == 33_747_200
    assert head + backbone - key_biases == 336_876_800


@pytest.mark.parametrize("head_prefix", ["", "decoder.", "head."])
@pytest.mark.parametrize("backbone_prefix", ["", "backbone.", "encoder.backbone."])
def test_what_stands_before_every_name_is_taken_off(model, files, head_prefix, backbone_prefix):
    head, backbone = prefixed(files[0], head_prefix), prefixed(files[1], backbone_prefix)
    _, tensors = convert_authors_files(head, backbone)
    assert len(tensors) == len(model.state_dict())


@pytest.mark.parametrize("prefix", ["", "backbone."])
@pytest.mark.parametrize("block", ["layer.", "model.layer."])
def test_a_backbone_from_transformers_is_taken(tmp_path, model, files, stored, prefix, block):
    state = {name.replace("layer.", block, 1): tensor for name, tensor in stored.items()}
    heights = heights_of(tmp_path / "model", files[0], prefixed(state, prefix), FACTS)
    np.testing.assert_allclose(heights, their_heights(model, IMAGE), rtol=0, atol=1e-5)


def test_a_backbone_from_transformers_needs_its_configuration(files, stored):
    refused("do not tell num_attention_heads.*give the config.json", files[0], stored)
    refused("do not tell num_attention_heads", files[0], stored, {"rope_theta": 100.0})


def test_biases_of_keys_that_are_zero_are_left_out(files):
    head, backbone = files
    for name in [name for name in backbone if name.endswith("bias_mask")]:
        del backbone[name]
        backbone[name.removesuffix("_mask")][32:64] = 0
    config, tensors = convert_authors_files(head, backbone)
    assert config["backbone_config"]["key_bias"] is False
    assert not any("k_proj.bias" in name for name in tensors)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda h: h.pop("convs.1.conv.weight"), "missing convs.1.conv.weight: take"),
        (lambda h: h.pop("convs.0.conv.weight"), "missing convs.0.conv.weight: take"),
        (lambda h: h.update(ghost=torch.zeros(1)), "extra ghost: take the file"),
        (lambda h: h.update({"conv_depth.head.0.bias": torch.zeros(3)}), r"bias has shape \(3,\)"),
        (lambda h: h.update({"convs.0.conv.weight": torch.zeros(())}), r"of shape \(\): convs"),
        (
            lambda h: h.update({"conv_depth.head.0.bias": "text"}),
            "expected the authors' chmv2 head",
        ),
        (lambda h: h.clear(), "expected the authors' chmv2 head, found nothing"),
    ],
)
def test_a_head_that_is_not_whole_is_refused(files, spoil, said):
    spoil(files[0])
    refused(said, *files)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda b: b.pop("blocks.2.norm1.bias"), "missing blocks.2.norm1.bias"),
        (lambda b: b.pop("cls_token"), "missing cls_token"),
        (lambda b: b.update(pos_embed=torch.zeros(1)), "extra pos_embed"),
        (lambda b: b.update({"norm.bias": torch.zeros(5)}), r"norm.bias has shape \(5,\)"),
        (lambda b: b.update({"blocks.0.mlp.w1.weight": torch.zeros(1)}), "gated perceptron"),
        (lambda b: b.update({"blocks.4.norm1.bias": torch.zeros(32)}), "5 blocks, expected a mult"),
        (lambda b: b.pop("rope_embed.periods"), "missing rope_embed.periods"),
        (lambda b: b.update({"rope_embed.periods": PERIODS[:3]}), "3 rotary periods do not fit 32"),
        (lambda b: b.update({"rope_embed.periods": PERIODS * 2}), "not those of base 100"),
        (
            lambda b: b["blocks.1.attn.qkv.bias_mask"].fill_(torch.nan),
            "blocks.1.attn.qkv.bias_mask",
        ),
        (lambda b: b.update({"blocks.0.attn.qkv.bias_mask": torch.ones(3)}), "not a mask of 96"),
    ],
)
def test_a_backbone_that_is_not_whole_is_refused(files, spoil, said):
    spoil(files[1])
    refused(said, *files)


def test_a_gated_backbone_from_transformers_is_refused(files, stored):
    stored["layer.0.mlp.gate_proj.weight"] = torch.zeros(64, 32)
    refused("gate_proj.weight is of a gated perceptron", files[0], stored, FACTS)


def test_exchanged_files_are_refused(files):
    refused("expected the authors' chmv2 head, found ", files[1], files[0])
    refused("expected the dinov3 backbone, found ", files[0], files[0])


def test_a_head_of_another_backbone_is_refused(files):
    wider, _ = authors_files(tiny_chmv2(hidden=64))
    refused("head takes 64 channels and the backbone has 32", wider, files[1])


# --- what a state dict is -----------------------------------------------------


def test_parts_are_recognised_by_their_names_alone(files, stored):
    head, backbone = files
    assert recognise(head) == recognise(prefixed(head, "decoder.")) == "authors' chmv2 head"
    assert recognise(backbone) == recognise(prefixed(backbone, "backbone.")) == "dinov3 backbone"
    assert recognise(stored) == "transformers dinov3 backbone"


@pytest.mark.parametrize("prefix", ["decode_head.", "model.", "module."])
def test_a_head_under_another_name_is_not_one(files, prefix):
    assert recognise(prefixed(files[0], prefix)) is None


def test_other_models_are_not_recognised(model, files, golden):
    chmv1 = [name[2:] for name in golden if name.startswith("w.")]
    assert recognise(chmv1) is None
    assert recognise([name.removeprefix("decode_head.") for name in chmv1]) is None
    assert recognise(model.state_dict()) is None
    assert recognise(files[0] | files[1]) in {"authors' chmv2 head", None, "dinov3 backbone"}
    assert recognise([]) is None


# --- the folder ---------------------------------------------------------------


def test_the_folder_is_one_of_transformers(tmp_path, files):
    write_chmv2_folder(tmp_path / "deep" / "model", *convert_authors_files(*files))
    folder = tmp_path / "deep" / "model"
    assert is_chmv2_folder(folder)
    assert [path.name for path in tmp_path.glob("deep/*")] == ["model"]
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {
        "config.json": "0o644", "model.safetensors": "0o644", "preprocessor_config.json": "0o644",
    }  # fmt: skip
    processor = CHMv2ImageProcessor.from_pretrained(folder)
    assert processor.to_dict()["image_mean"] == CHMv2ImageProcessor().to_dict()["image_mean"]
    assert CHMv2ForDepthEstimation.from_pretrained(folder, local_files_only=True)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path, files):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match="is not empty: remove it"):
        write_chmv2_folder(tmp_path, *convert_authors_files(*files))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_that_cannot_be_finished_does_not_appear(tmp_path, files, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(chmv2_folder, "save_file", full)
    with pytest.raises(ModelError, match=r"cannot be written .*No space left"):
        write_chmv2_folder(tmp_path / "model", *convert_authors_files(*files))
    assert list(tmp_path.iterdir()) == []
