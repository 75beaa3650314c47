"""Changes to examples keep heights with their pixels and pixel values in range."""

from __future__ import annotations

import numpy as np
import pytest

from canopy.supervision.augment import AugmentSettings, recoloured, resampled, turned, with_hole

STILL = AugmentSettings(
    brightness=0, colour=0, gamma=0, saturation=0, haze=0, blur_px=0, noise=0, holes=0
)


@pytest.fixture
def rng():
    return np.random.default_rng(2)


@pytest.fixture
def pixels(rng):
    return rng.uniform(0, 255, (3, 16, 16)).astype(np.float32)


def test_turns_keep_heights_with_their_pixels(rng, pixels):
    heights, valid = pixels[0].copy(), pixels[1] > 100
    seen = set()
    for _ in range(60):
        turned_pixels, turned_heights, turned_valid = turned(rng, pixels, heights, valid)
        np.testing.assert_array_equal(turned_pixels[0], turned_heights)
        np.testing.assert_array_equal(turned_pixels[1] > 100, turned_valid)
        seen.add(turned_heights.tobytes())
    assert len(seen) == 8


def test_settings_of_zero_change_nothing(rng, pixels):
    for _ in range(5):
        np.testing.assert_allclose(recoloured(rng, pixels, STILL), pixels, atol=1e-3)
        np.testing.assert_allclose(resampled(rng, pixels, STILL), pixels, atol=1e-3)


def test_other_light_stays_in_range(rng, pixels):
    for _ in range(20):
        changed = resampled(rng, recoloured(rng, pixels, AugmentSettings()), AugmentSettings())
        assert changed.dtype == np.float32
        assert changed.min() >= 0
        assert changed.max() <= 255
        assert not np.allclose(changed, pixels)


def test_a_hole_is_blank_and_has_no_height(rng, pixels):
    fill = np.array([1, 2, 3], np.float32)
    changed, valid = with_hole(rng, pixels, np.ones((16, 16), bool), fill)
    assert 0 < (~valid).sum() < valid.size
    np.testing.assert_array_equal(changed[:, ~valid], np.repeat(fill[:, None], (~valid).sum(), 1))
    np.testing.assert_array_equal(changed[:, valid], pixels[:, valid])
