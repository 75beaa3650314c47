"""The probe is one linear layer on the taps, whatever their strides."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from decoders.levels import Levels
from decoders.linear import LinearSettings


@torch.inference_mode()
def test_the_probe_is_a_convolution_of_the_concatenated_taps():
    settings = LinearSettings(in_channels=(4, 6), in_strides=(8, 16), head_channels=5)
    probe = settings.build()
    fine, coarse = torch.rand(2, 4, 8, 6), torch.rand(2, 6, 4, 3)
    enlarged = functional.interpolate(coarse, (8, 6), mode="bilinear")
    weight = torch.cat([layer.weight for layer in probe.projections], dim=1)
    together = torch.cat([fine, enlarged], dim=1)
    read = functional.conv2d(together, weight, probe.projections[0].bias)
    expected = functional.interpolate(read, (64, 48), mode="bilinear")
    torch.testing.assert_close(probe([(fine, None), (coarse, None)]), expected)


@torch.inference_mode()
def test_the_last_tap_alone_can_be_read():
    probe = LinearSettings(in_channels=(6,), in_strides=(14,), head_channels=5).build()
    taps = [(torch.rand(1, 6, 4, 3), torch.rand(1, 6)) for _ in range(4)]
    found = probe(taps)
    assert found.shape == (1, 5, 56, 42)
    torch.testing.assert_close(found, probe(taps[-1:]))


@pytest.mark.parametrize(
    ("strides", "multiple"), [((16,) * 4, 16), ((14,) * 4, 14), ((2, 4, 8, 16, 32), 32)]
)
def test_four_taps_are_read_and_their_strides_are_the_multiple(strides, multiple):
    levels = Levels((8,) * len(strides), strides, (False,) * len(strides))
    settings = LinearSettings.for_levels(levels)
    assert settings.in_strides == strides[-4:]
    assert settings.build().multiple_px == multiple
