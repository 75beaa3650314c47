"""Taps of timm's architectures are timm's own, advertised as they come, for images of any size."""

from __future__ import annotations

import pytest
import small_timm  # noqa: F401 - registers its architectures
import timm
import torch

from canopy.encoders import TimmSettings, build_encoder
from canopy.encoders.timm_encoder import make_model


def encoder_and_whole(**settings):
    """An encoder, and the unpruned architecture with the same weights."""
    settings = TimmSettings(**settings)
    encoder, whole = build_encoder(settings).eval(), make_model(settings).eval()
    kept = encoder.model.state_dict()
    whole.load_state_dict(whole.state_dict() | kept)
    return encoder, whole


@torch.inference_mode()
@pytest.mark.parametrize("final_norm", [True, False])
@pytest.mark.parametrize("architecture", ["test_vit", "small_patch14_reg4", "small_patch16_rope"])
def test_taps_of_a_vision_transformer_are_those_of_timm(architecture, final_norm):
    encoder, whole = encoder_and_whole(architecture=architecture, final_norm=final_norm)
    patch = encoder.multiple_px
    images = torch.rand(2, 3, 3 * patch, 5 * patch)
    expected = whole.forward_intermediates(
        images, indices=list(encoder.tapping.taps), norm=final_norm, return_prefix_tokens=True,
        intermediates_only=True,
    )  # fmt: skip
    taps = encoder(images)
    assert len(taps) == 4
    for tap, (features, prefix) in zip(taps, expected, strict=True):
        torch.testing.assert_close(tap.features, features)
        torch.testing.assert_close(tap.class_token, prefix[:, 0])


@torch.inference_mode()
def test_the_last_tap_is_the_normed_output():
    encoder, whole = encoder_and_whole(architecture="small_patch14_reg4")
    images = torch.rand(1, 3, 56, 56)
    tokens = whole.forward_features(images)
    tap = encoder(images)[-1]
    torch.testing.assert_close(tap.class_token, tokens[:, 0])
    torch.testing.assert_close(tap.features.flatten(2).transpose(1, 2), tokens[:, 5:])


@torch.inference_mode()
@pytest.mark.parametrize("architecture", ["test_resnet", "test_convnext", "small_windows"])
def test_maps_of_a_pyramid_are_those_of_features_only(architecture):
    encoder, whole = encoder_and_whole(architecture=architecture)
    options = {"dynamic_img_size": True} if architecture == "small_windows" else {}
    levels = tuple(range(len(encoder.settings.levels.strides)))
    oracle = timm.create_model(architecture, features_only=True, out_indices=levels, **options)
    oracle.load_state_dict(flattened(whole.state_dict(), oracle.state_dict()))
    images = torch.rand(2, 3, 64, 96)
    channels_last = architecture == "small_windows"
    for tap, expected in zip(encoder(images), oracle.eval()(images), strict=True):
        expected = expected.movedim(-1, 1) if channels_last else expected  # noqa: PLW2901
        torch.testing.assert_close(tap.features, expected)
        assert tap.class_token is None


def flattened(state, names):
    """Names as features_only has them: the first level of modules is laid flat."""
    renamed = {name.replace(".", "_", 1): tensor for name, tensor in state.items()} | state
    return {name: renamed[name] for name in names}


@torch.inference_mode()
@pytest.mark.parametrize(
    "architecture",
    ["test_vit", "small_patch14_reg4", "small_patch16_tokenless", "test_resnet", "small_windows"],
)
@pytest.mark.parametrize(("height", "width"), [(112, 64), (50, 129)])
def test_taps_are_as_advertised_at_any_size(architecture, height, width):
    encoder = build_encoder(TimmSettings(architecture=architecture)).eval()
    levels = encoder.settings.levels
    multiple = encoder.multiple_px
    padded = [-(-side // multiple) * multiple for side in (height, width)]
    taps = encoder(torch.rand(1, 3, height, width))
    found = [tuple(tap.features.shape) for tap in taps]
    assert found == [
        (1, channels, padded[0] // stride, padded[1] // stride)
        for channels, stride in zip(levels.channels, levels.strides, strict=True)
    ]
    assert tuple(tap.class_token is not None for tap in taps) == levels.class_tokens


@torch.inference_mode()
def test_a_side_that_is_no_multiple_is_padded_right_and_below():
    encoder = build_encoder(TimmSettings(architecture="test_resnet")).eval()
    images = torch.rand(1, 3, 50, 70)
    padded = torch.zeros(1, 3, 64, 96)
    padded[..., :50, :70] = images
    for tap, expected in zip(encoder(images), encoder(padded), strict=True):
        torch.testing.assert_close(tap.features, expected.features)


def test_four_blocks_are_tapped_evenly_and_what_lies_behind_is_gone():
    encoder = build_encoder(TimmSettings(architecture="small_patch14_reg4", taps=(0, 1, 2, 3)))
    assert not any(name.startswith("blocks.4") for name in encoder.model.state_dict())
    assert build_encoder(TimmSettings(architecture="small_patch14_reg4")).tapping.taps == (
        0, 1, 2, 4,
    )  # fmt: skip


def test_measuring_takes_no_chance():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    TimmSettings(architecture="test_vit2").levels  # noqa: B018 - measured here
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"architecture": "test_vit", "taps": (3, 2, 1, 0)}, r"taps \(3, 2, 1, 0\): expected asc"),
        ({"architecture": "test_vit", "taps": (0, 0, 1, 2)}, "each once"),
        ({"architecture": "test_vit", "taps": (0, 1, 2)}, "expected 4 or more"),
        ({"architecture": "test_vit", "taps": (3, 4, 5, 99)}, r"from 0 to \d"),
        ({"architecture": "test_resnet", "taps": (-1, 1, 2, 3)}, "from 0 to 4"),
        ({"architecture": "hiera_tiny_224"}, "hiera_tiny_224 cannot take images of any size"),
    ],
)
def test_what_cannot_be_tapped_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        TimmSettings(**settings).levels  # noqa: B018 - measured here
