"""The encoder is the released one, and refuses sizes that cannot be built."""

from __future__ import annotations

import pytest
import torch

from canopy.checkpoints.chmv1 import from_chmv1_names
from canopy.encoders import EncoderSettings, VisionTransformer
from canopy.radiometry import normalise

TINY = EncoderSettings(dim=32, depth=4, heads=2, taps=(0, 1, 2, 3))


@pytest.fixture(scope="session")
def golden_encoder(golden):
    state = from_chmv1_names(
        {name[2:]: torch.from_numpy(golden[name]) for name in golden if name.startswith("w.")}
    )
    encoder = VisionTransformer(TINY)
    prefix = "encoder."
    encoder.load_state_dict(
        {name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)}
    )
    return encoder.eval()


@torch.inference_mode()
def test_the_four_taps_are_the_golden_ones(golden, golden_encoder):
    images = torch.from_numpy(golden["image.256"])[None]
    taps = golden_encoder(normalise(images, golden["mean"].tolist(), golden["std"].tolist()))
    assert len(taps) == 4
    for index, tap in enumerate(taps):
        expected = torch.from_numpy(golden[f"tap{index}.patch.256"])[None]
        torch.testing.assert_close(tap.features, expected, rtol=0, atol=1e-4)
        expected = torch.from_numpy(golden[f"tap{index}.cls.256"])[None]
        torch.testing.assert_close(tap.class_token, expected, rtol=0, atol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 64), (16, 1)])
def test_a_side_that_is_no_multiple_is_padded_right_and_below(height, width):
    encoder = VisionTransformer(TINY).eval()
    images = torch.rand(1, 3, height, width)
    padded = torch.zeros(1, 3, -(-height // 16) * 16, -(-width // 16) * 16)
    padded[..., :height, :width] = images
    for tap, expected in zip(encoder(images), encoder(padded), strict=True):
        torch.testing.assert_close(tap.features, expected.features)
        assert tap.features.shape[-2:] == (padded.shape[-2] // 16, padded.shape[-1] // 16)


@torch.inference_mode()
def test_positions_are_used_as_stored_on_their_own_grid():
    encoder = VisionTransformer(TINY)
    assert encoder._positions(14, 14) is encoder.pos_embed
    resized = encoder._positions(7, 21)
    assert resized.shape == (1, 1 + 7 * 21, 32)
    # Corners are aligned, so the corners of the grid are kept exactly.
    stored = encoder.pos_embed[:, 1:].unflatten(1, (14, 14))
    grid = resized[:, 1:].unflatten(1, (7, 21))
    for row in (0, -1):
        for column in (0, -1):
            torch.testing.assert_close(grid[:, row, column], stored[:, row, column])


@torch.inference_mode()
def test_a_convolutional_stem_taps_its_own_maps_first():
    settings = EncoderSettings(
        dim=16, depth=2, heads=2, taps=(0, 1), stem="convolutional", stem_channels=(4, 8),
        stem_depth=(1, 1), position_grid=0,
    )  # fmt: skip
    taps = VisionTransformer(settings).eval()(torch.rand(2, 3, 64, 96))
    shapes = [tuple(tap.features.shape) for tap in taps]
    assert shapes == [(2, 4, 16, 24), (2, 8, 8, 12), (2, 16, 4, 6), (2, 16, 4, 6)]
    assert [tap.class_token is None for tap in taps] == [True, True, False, False]
    assert settings.tap_channels == (4, 8, 16, 16)
    assert settings.tap_strides == (4, 8, 16, 16)


@torch.inference_mode()
def test_the_edges_of_a_convolutional_stem_see_more_of_the_same():
    """A flat image must stay flat: padding with zeros would show as a frame."""
    settings = EncoderSettings(
        dim=16, depth=2, heads=2, taps=(0, 1), stem="convolutional", stem_channels=(4, 8),
        stem_depth=(1, 1), position_grid=0,
    )  # fmt: skip
    for tap in VisionTransformer(settings).eval()(torch.full((1, 3, 64, 64), 0.7)):
        spread = tap.features.amax((2, 3)) - tap.features.amin((2, 3))
        torch.testing.assert_close(spread, torch.zeros_like(spread), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"taps": (0, 1, 2)}, "needs 4 taps"),
        ({"taps": (0, 1, 2, 4)}, "taps below 4"),
        ({"heads": 3}, "dim 32 is not a multiple of heads 3"),
        ({"stem": "convolutional"}, "needs 2 taps"),
        ({"stem": "convolutional", "taps": (1, 3), "patch": 8}, "tokens of 16 px, not 8"),
    ],
)
def test_sizes_that_cannot_be_built_are_refused(changes, said):
    sizes = {"dim": 32, "depth": 4, "heads": 2, "taps": (0, 1, 2, 3)}
    with pytest.raises(ValueError, match=said):
        EncoderSettings(**(sizes | changes))
