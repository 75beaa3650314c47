"""The decoder takes taps of any stride to pixels; the golden heights prove its arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from decoders import DPTDecoder, DPTSettings
from decoders.dpt import twice


def settings(**changes):
    sizes = {
        "in_channels": (8,) * 4, "in_strides": (16,) * 4, "level_channels": (4, 4, 6, 6),
        "width": 8, "head_channels": 5,
    }  # fmt: skip
    return DPTSettings(**(sizes | changes))


def taps(rows, columns, sizes, batch=1):
    return [
        (
            torch.rand(batch, channels, rows * 16 // stride, columns * 16 // stride),
            torch.rand(batch, channels) if readout else None,
        )
        for channels, stride, readout in zip(
            sizes.in_channels, sizes.in_strides, sizes.readout, strict=True
        )
    ]


@torch.inference_mode()
@pytest.mark.parametrize(
    ("rows", "columns", "height", "width"),
    [(4, 6, 64, 96), (3, 4, 64, 64), (10, 13, 160, 224), (1, 1, 32, 32)],
)
def test_maps_come_out_at_pixels_of_two_patches(rows, columns, height, width):
    sizes = settings()
    found = DPTDecoder(sizes).eval()(taps(rows, columns, sizes, batch=2))
    assert found.shape == (2, 5, height, width)
    assert found.min() >= 0


@torch.inference_mode()
def test_convolutional_taps_are_taken_at_their_own_strides():
    sizes = settings(in_channels=(4, 6, 8, 8), in_strides=(4, 8, 16, 16),
                     readout=(False, False, True, True))  # fmt: skip
    assert DPTDecoder(sizes).eval()(taps(4, 4, sizes)).shape == (1, 5, 64, 64)


@torch.inference_mode()
def test_the_class_token_matters_where_it_is_read_out():
    sizes = settings()
    decoder = DPTDecoder(sizes).eval()
    given = taps(4, 4, sizes)
    other = [(features, token + 1) for features, token in given]
    assert not torch.allclose(decoder(given), decoder(other))


@torch.inference_mode()
def test_replicated_borders_keep_a_flat_map_flat_and_zeros_do_not():
    spreads = {}
    for padding in ("replicate", "zeros"):
        torch.manual_seed(0)
        sizes = settings(padding=padding)
        decoder = DPTDecoder(sizes).eval()
        # Transposed convolutions of stride 4 and 2 write a pattern of their own; take it away.
        for reassembly in decoder.reassemblies[:2]:
            weight = reassembly.resize.weight
            weight.copy_(weight.mean((2, 3), keepdim=True).expand_as(weight))
        flat = [(torch.full((1, 8, 4, 4), 0.5), torch.full((1, 8), 0.5)) for _ in range(4)]
        features = decoder(flat)
        spreads[padding] = (features.amax((2, 3)) - features.amin((2, 3))).max().item()
    assert spreads["replicate"] < 1e-5
    assert spreads["zeros"] > 1e-3


@torch.inference_mode()
def test_a_fusion_is_the_released_one_in_another_order():
    """Upsampling before the 1x1 projection, as released, gives the same map."""
    torch.manual_seed(0)
    fusion = DPTDecoder(settings()).eval().fusions[1]
    coarse, fine = torch.rand(1, 8, 6, 5), torch.rand(1, 8, 11, 9)
    resized = functional.interpolate(fine, (6, 5), mode="bilinear", align_corners=False)
    summed = coarse + fusion.residual1(resized)
    expected = fusion.projection(twice(fusion.residual2(summed)))
    torch.testing.assert_close(fusion(coarse, fine), expected)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("patch", "tokens", "side"), [(14, 4, 56), (14, 3, 56), (8, 6, 48), (16, 4, 64)]
)
def test_a_patch_of_any_size_is_taken_to_pixels(patch, tokens, side):
    sizes = settings(in_strides=(patch,) * 4, patch=patch)
    decoder = DPTDecoder(sizes).eval()
    given = [(torch.rand(1, 8, tokens, tokens), torch.rand(1, 8)) for _ in range(4)]
    assert decoder(given).shape == (1, 5, side, side)
    assert decoder.multiple_px == 2 * patch


@torch.inference_mode()
def test_the_last_four_taps_of_more_are_read():
    sizes = settings(in_channels=(8,) * 4, in_strides=(4, 8, 16, 32), readout=(False,) * 4)
    decoder = DPTDecoder(sizes).eval()
    given = [(torch.rand(1, 8, 64 // stride, 64 // stride), None) for stride in (2, 4, 8, 16, 32)]
    torch.testing.assert_close(decoder(given), decoder(given[1:]))
