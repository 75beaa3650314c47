"""Heights straight from features are metres: never negative, never above the maximum."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from decoders import RegressionSettings


def layer(**settings):
    torch.manual_seed(0)
    return RegressionSettings(**settings).build(4)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("positive", "formula"), [("softplus", functional.softplus), ("relu", functional.relu)]
)
def test_heights_follow_the_formula(positive, formula):
    head = layer(positive=positive).eval()
    features = 50 * torch.randn(2, 4, 5, 6)
    expected = formula(head.height(features)[:, 0]).clamp(max=100)
    torch.testing.assert_close(head(features), expected)
    assert head(features).shape == (2, 5, 6)


@torch.inference_mode()
@pytest.mark.parametrize("positive", ["softplus", "relu"])
def test_no_height_leaves_the_range(positive):
    head = layer(positive=positive, maximum_m=30.0).eval()
    heights = head(1e3 * torch.randn(1, 4, 50, 50))
    assert heights.min() >= 0
    assert heights.max() == 30


def test_a_height_beyond_the_maximum_still_learns():
    head = layer(maximum_m=0.5).train()
    head(torch.zeros(1, 4, 2, 2)).mean().backward()
    assert head.height.bias.grad.abs().max() > 0


def test_bare_features_start_at_a_metre():
    assert layer(positive="relu")(torch.zeros(1, 4, 1, 1)).item() == pytest.approx(1)


@torch.inference_mode()
def test_heights_are_float32_whatever_the_network_computes_in():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer()(torch.rand(1, 4, 2, 2)).dtype == torch.float32
