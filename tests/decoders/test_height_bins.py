"""Bins are read out by the published formulas, and in chunks as at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.models.chmv2.configuration_chmv2 import CHMv2Config
from transformers.models.chmv2.modeling_chmv2 import CHMv2FeaturesToDepth

from decoders import HeightBins, HeightBinsSettings
from decoders.height_bins import CHMV2_BINS, CHUNK_PIXELS, bin_centres


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


def mixlog(weights, centres):
    """relu(w) + 1e-8, over its sum, as CHMv2 has it."""
    weights = np.maximum(weights, 0) + 1e-8
    return (weights * centres[:, None, None]).sum(1) / weights.sum(1)


@pytest.mark.parametrize(
    ("readout", "formula"), [("linear", linear), ("softmax", softmax), ("mixlog", mixlog)]
)
def test_heights_follow_the_formula(readout, formula):
    bins = layer(bins=256, minimum_m=0.01, maximum_m=100.0, readout=readout)
    logits = torch.from_numpy(np.random.default_rng(0).normal(0, 4, (2, 256, 5, 6))).float()
    expected = formula(logits.double().numpy(), np.linspace(0.01, 100, 256))
    np.testing.assert_allclose(bins.expectation(logits), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("readout", ["linear", "softmax", "mixlog"])
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


@pytest.fixture(scope="session")
def chmv2():
    """The readout of CHMv2 in transformers."""
    return CHMv2FeaturesToDepth(CHMv2Config())


def test_centres_of_chmv2_are_those_of_transformers(chmv2):
    centres = bin_centres(CHMV2_BINS)
    expected = 8 * chmv2._create_mixlog_bins(256, torch.device("cpu"))
    torch.testing.assert_close(centres, expected, rtol=1e-5, atol=1e-5)
    places = [0, 1, 10, 64, 128, 192, 255]
    published = torch.tensor([0.008, 0.0098, 0.159, 6.11, 24.6, 56.8, 96.0])
    torch.testing.assert_close(centres[places], published, rtol=3e-3, atol=1e-5)
    assert (centres.diff() > 0).all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_heights_of_chmv2_are_those_of_transformers(chmv2, scale):
    logits = scale * torch.randn(2, 256, 5, 6, generator=torch.Generator().manual_seed(0))
    logits[:, :, 0, 0] = -1.0  # no evidence at all
    found = HeightBins(4, CHMV2_BINS).expectation(logits)
    torch.testing.assert_close(found, chmv2(logits)[:, 0], rtol=1e-5, atol=1e-4)


def test_a_logarithm_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"minimum_m 0\.0: mixlog spacing needs"):
        HeightBinsSettings(minimum_m=0.0, spacing="mixlog")


def test_centres_have_values_where_weights_have_none():
    with torch.device("meta"):
        bins = HeightBins(4, CHMV2_BINS)
    assert bins.logits.weight.is_meta
    assert torch.equal(bins.centres_m, bin_centres(CHMV2_BINS))


@torch.inference_mode()
@pytest.mark.parametrize("readout", ["linear", "softmax", "mixlog"])
def test_heights_are_read_out_in_float32_whatever_the_network_computes_in(readout):
    bins = HeightBins(4, HeightBinsSettings(readout=readout))
    logits = 5 * torch.randn(1, 256, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = bins.expectation(logits)
    torch.testing.assert_close(found, bins.expectation(logits))
