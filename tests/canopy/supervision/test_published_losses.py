"""Published losses follow their formulas, are blind to what is unknown, and follow one another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from canopy.supervision.published_losses import (
    CurriculumSettings,
    charbonnier_loss,
    curriculum_losses,
    curriculum_weights,
    patch_gradient_loss,
    silog_loss,
    sobel,
)

SETTINGS = CurriculumSettings()


def heights(seed=0, shape=(2, 32, 32)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 30


def everywhere(values):
    return torch.ones_like(values, dtype=torch.bool)


def test_silog_is_the_authors_formula():
    prediction, target = heights(0), heights(1)
    valid = heights(2) > 10
    ratios = np.log((prediction + 0.01).numpy()) - np.log((target + 0.01).numpy())
    ratios = ratios[valid.numpy()]
    expected = np.sqrt(ratios.var() + 0.15 * ratios.mean() ** 2)
    assert silog_loss(prediction, target, valid, SETTINGS).item() == pytest.approx(expected, 1e-4)


def test_silog_forgives_a_factor_more_than_noise():
    target, valid = heights(1) + 1, everywhere(heights())
    scaled = silog_loss(1.5 * target, target, valid, SETTINGS)
    noise = torch.where(heights(3) > 15, 1.5, 1 / 1.5)
    noisy = silog_loss(noise * target, target, valid, SETTINGS)
    assert scaled < noisy / 2


@given(error=st.floats(-40, 40), knee=st.floats(0.01, 2))
def test_charbonnier_is_its_formula(error, knee):
    target = heights()
    found = charbonnier_loss(target + error, target, everywhere(target), knee).item()
    assert found == pytest.approx(np.sqrt(error**2 + knee**2) - knee, rel=1e-3, abs=1e-4)


def test_gradients_are_those_of_scipy():
    values = heights(0, (1, 20, 24)).double()
    found = sobel(values)[0]
    image = values[0].numpy()
    for index, axis in ((0, 1), (1, 0)):
        expected = ndimage.sobel(image, axis=axis)[1:-1, 1:-1] / 8
        np.testing.assert_allclose(found[index], expected, atol=1e-9)


@pytest.mark.parametrize("loss", ["silog", "charbonnier", "gradient"])
def test_a_perfect_prediction_costs_nothing_and_gradients_are_finite(loss):
    target = heights()
    target[:, :8] = 0  # flat ground, where a logarithm and a direction could go wrong
    prediction = target.clone().requires_grad_()
    value = {
        "silog": lambda: silog_loss(prediction, target, everywhere(target), SETTINGS),
        "charbonnier": lambda: charbonnier_loss(prediction, target, everywhere(target), 0.1),
        "gradient": lambda: patch_gradient_loss(prediction, target, everywhere(target), 0.5),
    }[loss]()
    assert value.item() < 2e-3
    value.backward()
    assert torch.isfinite(prediction.grad).all()


def test_a_factor_on_tall_trees_changes_no_gradient_of_logarithms():
    target = heights() + 5
    assert patch_gradient_loss(2 * target, target, everywhere(target), 0.5).item() < 1e-3


def test_blurred_crowns_cost_more_than_sharp_ones():
    target = heights() + 1
    blurred = torch.from_numpy(ndimage.gaussian_filter(target.numpy(), (0, 2, 2)))
    noisy = target * (1 + 0.02 * (heights(4) / 30 - 0.5))
    valid = everywhere(target)
    sharp, dull = (patch_gradient_loss(image, target, valid, 0.5) for image in (noisy, blurred))
    assert dull > 5 * sharp


@pytest.mark.parametrize("name", ["silog", "charbonnier", "gradient"])
def test_what_is_unknown_does_not_count(name):
    prediction, target = heights(0) + 1, heights(1) + 1
    valid = torch.ones_like(target, dtype=torch.bool)
    valid[:, 10:20, 5:15] = False
    spoiled = torch.where(valid, prediction, torch.tensor(900.0))
    spoiled_target = torch.where(valid, target, torch.tensor(700.0))
    losses = [
        curriculum_losses(*images, valid, done, SETTINGS)[name]
        for images in ((prediction, target), (spoiled, spoiled_target))
        for done in [0.1 if name != "charbonnier" else 1.0]
    ]
    torch.testing.assert_close(*losses)


def test_tiles_too_small_for_a_gradient_cost_nothing():
    target = heights(0, (1, 4, 4))
    assert patch_gradient_loss(target + 1, target, everywhere(target), 0.5).item() == 0


def test_the_terms_follow_one_another():
    assert curriculum_weights(0, SETTINGS) == {"silog": 1, "charbonnier": 0, "gradient": 0}
    half = curriculum_weights(0.15, SETTINGS)
    assert half["silog"] == pytest.approx(0.5)
    assert half["charbonnier"] == pytest.approx(0.5)
    assert 0 < half["gradient"] < 0.075
    assert curriculum_weights(1, SETTINGS) == {"silog": 0, "charbonnier": 1, "gradient": 0.075}
    begun = curriculum_losses(heights(), heights(1), everywhere(heights()), 0, SETTINGS)
    assert set(begun) == {"silog"}
