"""Losses against the formulas they are named after."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from canopy.supervision.height_losses import (
    HuberSettings,
    bin_loss,
    disagreement_loss,
    height_loss,
    masked_mean,
    window_means,
)


@pytest.fixture
def heights():
    generator = torch.Generator().manual_seed(0)
    prediction = 30 * torch.rand(2, 9, 9, generator=generator)
    target = 30 * torch.rand(2, 9, 9, generator=generator)
    return prediction, target, torch.rand(2, 9, 9, generator=generator) > 0.3


def test_window_means_leave_out_what_is_not_valid(heights):
    values, _, valid = heights
    means = window_means(values, valid, 3)
    window, counted = values[0, 3:6, 1:4], valid[0, 3:6, 1:4]
    assert means[0, 4, 2] == pytest.approx(float(window[counted].mean()), rel=1e-5)
    corner, counted = values[1, :2, :2], valid[1, :2, :2]
    assert means[1, 0, 0] == pytest.approx(float(corner[counted].mean()), rel=1e-5)


def test_the_height_loss_is_hubers_over_the_knee(heights):
    prediction, target, valid = heights
    settings = HuberSettings(window_px=1, knee_m=4.0)
    errors = (prediction - target).abs().numpy()
    expected = np.where(errors < 4, errors**2 / 8, errors - 2)[valid.numpy()].mean()
    assert float(height_loss(prediction, target, valid, settings)) == pytest.approx(
        expected, rel=1e-5
    )


def test_the_height_loss_does_not_see_what_is_not_valid(heights):
    prediction, target, valid = heights
    changed = torch.where(valid, target, target + 99)
    assert height_loss(prediction, target, valid, HuberSettings()) == pytest.approx(
        float(height_loss(prediction, changed, valid, HuberSettings())), rel=1e-5
    )


def test_a_window_forgives_a_pattern_finer_than_itself():
    target = torch.full((1, 9, 9), 10.0)
    stripes = target + torch.tensor([1.0, -1.0, 0.0]).repeat(3)
    valid = torch.ones(1, 9, 9, dtype=torch.bool)
    wide = height_loss(stripes, target, valid, HuberSettings(window_px=3))
    assert wide < 0.2 * height_loss(stripes, target, valid, HuberSettings(window_px=1))


def test_the_bin_loss_on_a_centre_is_the_cross_entropy():
    centres = torch.arange(5.0)
    logits = torch.randn(1, 5, 3, 3, generator=torch.Generator().manual_seed(1))
    target = torch.full((1, 3, 3), 2.0)
    valid = torch.ones(1, 3, 3, dtype=torch.bool)
    expected = functional.cross_entropy(logits, target.long())
    assert float(bin_loss(logits, target, valid, centres)) == pytest.approx(
        float(expected), rel=1e-5
    )


def test_the_bin_loss_between_centres_belongs_to_both():
    centres = torch.arange(5.0)
    logits = torch.randn(1, 5, 1, 1, generator=torch.Generator().manual_seed(2))
    logs = logits.log_softmax(1).flatten()
    found = bin_loss(
        logits, torch.full((1, 1, 1), 1.25), torch.ones(1, 1, 1, dtype=torch.bool), centres
    )
    assert float(found) == pytest.approx(float(-(0.75 * logs[1] + 0.25 * logs[2])), rel=1e-5)


@pytest.mark.parametrize(("height", "bin_index"), [(-3.0, 0), (0.0, 0), (4.0, 4), (99.0, 4)])
def test_heights_beyond_the_bins_belong_to_the_last(height, bin_index):
    logits = torch.randn(1, 5, 1, 1, generator=torch.Generator().manual_seed(3))
    found = bin_loss(
        logits,
        torch.full((1, 1, 1), height),
        torch.ones(1, 1, 1, dtype=torch.bool),
        torch.arange(5.0),
    )
    assert float(found) == pytest.approx(
        float(-logits.log_softmax(1)[0, bin_index, 0, 0]), rel=1e-5
    )


def test_disagreement_is_the_mean_difference_where_both_show_ground():
    first, second = torch.tensor([[[1.0, 2.0, 9.0]]]), torch.tensor([[[2.0, 0.0, 0.0]]])
    shared = torch.tensor([[[True, True, False]]])
    assert float(disagreement_loss(first, second, shared)) == pytest.approx(1.5)


def test_the_mean_of_nothing_is_zero():
    assert float(masked_mean(torch.ones(3), torch.zeros(3, dtype=torch.bool))) == 0


@pytest.mark.parametrize("choices", [{"window_px": 2}, {"window_px": 0}, {"knee_m": 0}])
def test_windows_have_a_middle_and_knees_are_above_nothing(choices):
    with pytest.raises(ValueError, match="expected odd, and above 0"):
        HuberSettings(**choices)
