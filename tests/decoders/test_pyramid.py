"""Taps of any strides become maps whose strides double."""

from __future__ import annotations

import pytest
import torch

from decoders.levels import Levels
from decoders.pyramid import Pyramid, pixel_size, resizing


def levels(*strides, channels=6):
    return Levels((channels,) * len(strides), strides, (False,) * len(strides))


def maps(given, side):
    return [torch.rand(2, 6, side // stride, side // stride) for stride in given.strides]


@torch.inference_mode()
@pytest.mark.parametrize(
    ("given", "side", "expected"),
    [
        (levels(16, 16, 16, 16), 64, [16, 8, 4, 2]),
        (levels(14, 14, 14, 14), 56, [16, 8, 4, 2]),
        (levels(8, 8, 8, 8), 64, [32, 16, 8, 4]),
        (levels(4, 8, 16, 16), 64, [16, 8, 4, 2]),
    ],
)
def test_taps_are_resized_to_their_levels(given, side, expected):
    pyramid = Pyramid(given, (3, 4, 5, 6))
    found = pyramid(maps(given, side))
    assert [tuple(level.shape) for level in found] == [
        (2, channels, cells, cells) for channels, cells in zip((3, 4, 5, 6), expected, strict=True)
    ]
    assert [side / stride for stride in pyramid.strides] == expected
    assert side % pyramid.multiple_px == 0


@torch.inference_mode()
@pytest.mark.parametrize("strides", [(4, 8, 16, 32), (2, 4, 8, 16, 32)])
def test_a_pyramid_stays_as_it_is(strides):
    given = levels(*strides)
    pyramid = Pyramid(given, (3, 4, 5, 6))
    taps = maps(given, 64)
    assert all(found is tap for found, tap in zip(pyramid(taps), taps, strict=True))
    assert list(pyramid.parameters()) == []
    assert pyramid.multiple_px == 32


@pytest.mark.parametrize(("factor", "size"), [(4.0, 24), (2.0, 12), (1.0, 6), (0.5, 3)])
def test_a_level_is_resized_by_its_factor(factor, size):
    assert resizing(3, factor, "zeros")(torch.rand(1, 3, 6, 6)).shape == (1, 3, size, size)


def test_a_factor_that_no_layer_serves_is_refused():
    with pytest.raises(ValueError, match=r"resizes a tap by 0\.25"):
        resizing(3, 0.25, "zeros")


def test_three_taps_of_one_stride_are_refused():
    with pytest.raises(ValueError, match="expected four, or strides that double"):
        Pyramid(levels(16, 16, 16), (3, 4, 5))


def test_too_few_taps_are_refused():
    with pytest.raises(ValueError, match="expected 4 or more"):
        levels(16, 32, 64).last(4)


@pytest.mark.parametrize("size", [(48, 64), (64, 80), (50, 64)])
def test_sides_that_are_no_multiples_are_refused(size):
    taps = [torch.rand(1, 1, -(-size[0] // stride), -(-size[1] // stride)) for stride in (4, 16)]
    with pytest.raises(ValueError, match="expected multiples of 32 px, extend the images"):
        pixel_size(taps, (4, 16), 32)


def test_the_size_in_pixels_is_that_of_the_image():
    taps = [torch.rand(1, 1, 96 // stride, 64 // stride) for stride in (4, 16)]
    assert pixel_size(taps, (4, 16), 32) == (96, 64)


def test_sizes_grow_with_the_encoder():
    assert [Levels((dim,), (16,), (True,)).width() for dim in (64, 192, 384, 768, 2048)] == [
        64, 64, 128, 256, 256,
    ]  # fmt: skip
    assert levels(16, 16, 16, 16, channels=1024).level_channels() == (128, 256, 512, 1024)
