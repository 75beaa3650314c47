"""Aerial images get the colours that the authors' network and stretch give them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_files import colours_state, save_colours

from canopy.checkpoints.released import load_released
from canopy.colour_matching import (
    ColourMatcher,
    ColourMatchingNetwork,
    own_percentiles,
    stretch_to,
)
from canopy.errors import ModelError


@pytest.fixture(scope="module")
def matcher():
    network = ColourMatchingNetwork()
    network.load_state_dict(colours_state(), strict=True)
    return ColourMatcher(network=network)


@pytest.fixture(scope="module")
def image(released):
    return released["aerial.image"].astype(np.float32) / 255


def test_the_network_predicts_the_golden_percentiles(matcher, image, released):
    found = matcher.predict(image[None])[0]
    np.testing.assert_allclose(found, released["aerial.percentiles"], rtol=0, atol=1e-4)


def test_the_stretch_is_the_golden_one(image, released):
    stretch = stretch_to(own_percentiles(image), released["match.target"])
    found = stretch.apply(image)[:, ::4, ::4]
    expected = released["match.matched"].astype(np.float32)
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-4)  # stored as float16
    assert found.min() < 0, "nothing is clipped, as in the authors' script"


def test_stretched_images_have_the_wanted_percentiles(image):
    target = np.float32([0.1, 0.2, 0.05, 0.6, 0.5, 0.4])
    stretched = stretch_to(own_percentiles(image), target).apply(image)
    np.testing.assert_allclose(own_percentiles(stretched), target, atol=1e-5)


def test_percentiles_are_those_of_numpy(image):
    expected = [np.percentile(band, share) for share in (5, 95) for band in image]
    np.testing.assert_allclose(own_percentiles(image), expected, rtol=1e-6)


@given(value=st.floats(0, 1, width=32), low=st.floats(0, 0.5), spread=st.floats(0, 0.5))
def test_a_flat_image_stays_finite_and_is_moved_to_the_middle(value, low, spread):
    flat = np.full((3, 8, 8), value, np.float32)
    target = np.float32([low] * 3 + [low + spread] * 3)
    stretched = stretch_to(own_percentiles(flat), target).apply(flat)
    np.testing.assert_allclose(stretched, low + spread / 2, atol=1e-3)


def test_gaps_have_no_say(matcher, image):
    valid = np.ones(image.shape[1:], bool)
    valid[40:200, 60:180] = False
    spoiled = np.where(valid, image, np.float32(9))
    found = matcher.stretches(spoiled[None], valid[None])
    assert np.isfinite(found.gain).all()
    expected = own_percentiles(image, valid)
    median = np.median(image[:, valid], axis=1)[:, None, None].astype(np.float32)
    seen = np.where(valid, image, median)
    same = stretch_to(expected, matcher.predict(seen[None])[0])
    np.testing.assert_allclose(found.gain[0], same.gain, rtol=1e-4)
    np.testing.assert_allclose(found.offset[0], same.offset, rtol=1e-4, atol=1e-4)


def test_a_window_without_an_image_is_left_as_it_is(matcher, image):
    found = matcher.stretches(np.stack([image, image]), np.zeros((2, 256, 256), bool))
    assert (found.gain == 1).all()
    assert (found.offset == 0).all()


@pytest.mark.parametrize("wrap", ["backbone.", ""])
def test_the_released_file_is_known_by_its_tensors(tmp_path, wrap, image, released):
    read = load_released(save_colours(tmp_path / "SSLhuge.pth", wrap))
    assert read.kind == "colour matching"
    found = ColourMatcher(network=read.network).predict(image[None])[0]
    np.testing.assert_allclose(found, released["aerial.percentiles"], rtol=0, atol=1e-4)
    assert sum(parameter.numel() for parameter in read.network.parameters()) == 780_318


def test_a_changed_file_is_refused(tmp_path):
    state = colours_state()
    state.pop("conv_block3.0.bias")
    torch.save({"state_dict": state}, tmp_path / "colours.ckpt")
    with pytest.raises(ModelError, match=r"missing conv_block3\.0\.bias"):
        load_released(tmp_path / "colours.ckpt")
