"""Bins are read out by the published formulas, and in chunks as at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from decoders import HeightBins, HeightBinsSettings
from decoders.height_bins import CHUNK_PIXELS


def layer(**settings):
    torch.manual_seed(0)
    return HeightBins(4, HeightBinsSettings(**settings)).eval()


def linear(weights, centres):
    """(relu(w) + 0.1) / sum, as Tolan et al. 2024 released it."""
    weights = np.maximum(weights, 0) + 0.1
    return (weights * centres[:, None, None]).sum(1) / weights.sum(1)


def softmax(weights, centres):
    weights = np.exp(weights - weights.max(1, keepdims=True))
    return (weights * centres[:, None, None]).sum(1) / weights.sum(1)


@pytest.mark.parametrize(("readout", "formula"), [("linear", linear), ("softmax", softmax)])
def test_heights_follow_the_formula(readout, formula):
    bins = layer(bins=256, minimum_m=0.01, maximum_m=100.0, readout=readout)
    logits = torch.from_numpy(np.random.default_rng(0).normal(0, 4, (2, 256, 5, 6))).float()
    expected = formula(logits.double().numpy(), np.linspace(0.01, 100, 256))
    np.testing.assert_allclose(bins.expectation(logits), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("readout", ["linear", "softmax"])
@pytest.mark.parametrize("shape", [(1, 4, 300, 200), (2, 4, 7, 9), (3, 4, 1, CHUNK_PIXELS + 5)])
def test_chunks_without_gradients_give_what_is_learnt_from(readout, shape):
    bins = layer(bins=16, readout=readout)
    features = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    learnt = bins(features)
    assert learnt.requires_grad
    with torch.inference_mode():
        found = bins(features)
    assert found.shape == (shape[0], *shape[2:])
    torch.testing.assert_close(found, learnt.detach(), rtol=0, atol=1e-4)


def test_a_pixel_without_evidence_lies_in_the_middle_of_the_range():
    bins = layer()
    assert bins.expectation(torch.zeros(1, 256, 1, 1)).item() == pytest.approx(50.005, abs=1e-3)


@pytest.mark.parametrize("readout", ["linear", "softmax"])
def test_no_height_leaves_the_range(readout):
    bins = layer(bins=8, minimum_m=1.0, maximum_m=30.0, readout=readout)
    heights = bins.expectation(torch.randn(1, 8, 50, 50) * 1e3)
    assert heights.min() >= 1.0 - 1e-4
    assert heights.max() <= 30.0 + 1e-4


def test_bin_centres_are_no_weights():
    assert set(layer(bins=8).state_dict()) == {"logits.weight", "logits.bias"}
