"""The adapter gives the library's decoders what they want and adds nothing of its own to it."""

from __future__ import annotations

import pytest
import torch
from segmentation_models_pytorch.decoders.dpt.decoder import DPTDecoder
from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder
from torch import nn

from decoders.catalogue import decoder_settings
from decoders.convolutional import FPNSettings
from decoders.levels import Levels

PYRAMID = Levels((8, 12, 16, 24), (4, 8, 16, 32), (False,) * 4)
DEEP = Levels((6, 8, 12, 16, 24), (2, 4, 8, 16, 32), (False,) * 5)
PLAIN = Levels((24,) * 4, (16,) * 4, (True,) * 4)
KINDS = ("unet", "fpn", "upernet", "smp-dpt")


def taps_of(levels, side=64, batch=1):
    return [
        (
            torch.rand(batch, channels, side // stride, side // stride),
            torch.rand(batch, channels) if token else None,
        )
        for channels, stride, token in zip(
            levels.channels, levels.strides, levels.class_tokens, strict=True
        )
    ]


def built(kind, levels):
    torch.manual_seed(0)
    return decoder_settings(kind, levels).build().eval()


def same_weights(oracle, decoder):
    oracle.load_state_dict(decoder.adapter.decoder.state_dict())
    return oracle.eval()


@torch.inference_mode()
def test_unet_is_that_of_the_library_down_to_stride_two():
    decoder = built("unet", DEEP)
    oracle = UnetDecoder((3, *DEEP.channels), decoder_channels=(64, 32, 16, 16, 16))
    oracle = same_weights(oracle, decoder)
    taps = taps_of(DEEP)
    expected = oracle([torch.rand(1, 3, 64, 64), *(features for features, _ in taps)])
    torch.testing.assert_close(decoder.adapter(taps), expected)
    assert expected.shape[-2:] == (64, 64)


@torch.inference_mode()
def test_unet_goes_on_to_pixels_where_the_pyramid_begins_at_four():
    decoder = built("unet", PYRAMID)
    assert decoder.adapter(taps_of(PYRAMID)).shape[-2:] == (64, 64)


@torch.inference_mode()
def test_fpn_is_that_of_the_library():
    decoder = built("fpn", PYRAMID)
    oracle = FPNDecoder(list(PYRAMID.channels), 4, pyramid_channels=64, segmentation_channels=32)
    oracle = same_weights(oracle, decoder)
    taps = taps_of(PYRAMID)
    expected = oracle([features for features, _ in taps])
    torch.testing.assert_close(decoder.adapter(taps), expected)


@torch.inference_mode()
def test_upernet_is_that_of_the_library_but_for_the_norm_of_one_value():
    decoder = built("upernet", PYRAMID)
    oracle = UPerNetDecoder((3, 0, *PYRAMID.channels), decoder_channels=64)
    oracle.psp.blocks[0][1][1] = nn.GroupNorm(1, 64)
    oracle = same_weights(oracle, decoder)
    taps = taps_of(PYRAMID)
    image = torch.rand(1, 3, 64, 64)
    expected = oracle([image, image, *(features for features, _ in taps)])
    torch.testing.assert_close(decoder.adapter(taps), expected)


@torch.inference_mode()
@pytest.mark.parametrize("levels", [PYRAMID, PLAIN])
def test_dpt_is_that_of_the_library(levels):
    decoder = built("smp-dpt", levels)
    oracle = DPTDecoder(
        levels.channels, levels.strides, all(levels.class_tokens),
        readout="cat" if all(levels.class_tokens) else "ignore",
        intermediate_channels=levels.level_channels(), fusion_channels=64,
    )  # fmt: skip
    oracle = same_weights(oracle, decoder)
    taps = taps_of(levels)
    tokens = [None if token is None else token[:, None] for _, token in taps]
    expected = oracle([features for features, _ in taps], tokens)
    torch.testing.assert_close(decoder.adapter(taps), expected)


@torch.inference_mode()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("levels", "side"),
    [(PYRAMID, 96), (DEEP, 64), (PLAIN, 64), (Levels((24,) * 4, (14,) * 4, (True,) * 4), 56)],
)
def test_features_come_out_at_pixels(kind, levels, side):
    decoder = built(kind, levels)
    found = decoder(taps_of(levels, side=side, batch=2))
    assert found.shape == (2, decoder.out_channels, side, side)
    assert found.min() >= 0
    assert side % decoder.multiple_px == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_one_small_image_can_be_learnt_from(kind):
    decoder = built(kind, PYRAMID).train()
    decoder(taps_of(PYRAMID)).mean().backward()
    assert all(weight.grad is not None for weight in decoder.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_taps_of_sides_that_are_no_multiples_are_refused(kind):
    with pytest.raises(ValueError, match="taps of images of 48 x 48 px: expected multiples of 32"):
        built(kind, PLAIN)(taps_of(PLAIN, side=48))


def test_only_dpt_reads_class_tokens():
    taps = taps_of(PLAIN)
    other = [(features, token + 1) for features, token in taps]
    with torch.inference_mode():
        differ = {kind: not torch.equal(built(kind, PLAIN)(taps), built(kind, PLAIN)(other))
                  for kind in KINDS}  # fmt: skip
    assert differ == {"unet": False, "fpn": False, "upernet": False, "smp-dpt": True}


def test_unet_reads_no_map_at_pixel_resolution():
    levels = Levels((4, *DEEP.channels), (1, *DEEP.strides), (False,) * 6)
    assert decoder_settings("unet", levels).in_strides == DEEP.strides
    assert decoder_settings("fpn", levels).in_strides == PYRAMID.strides


def test_a_width_that_fpn_cannot_norm_is_refused():
    with pytest.raises(ValueError, match="width 96: an FPN needs a multiple of 64"):
        FPNSettings(
            in_channels=(8,) * 4, in_strides=(4, 8, 16, 32), class_tokens=(False,) * 4,
            level_channels=(8,) * 4, width=96,
        )  # fmt: skip
