"""The camera averages, blurs and leans as it is told, and its noise is the sensor's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_worlds import PLAIN_CAMERA, settings_of

from geo.simulation.camera import HALO_PX, CameraSettings, develop, mean_over_pixels, seen_aslant
from geo.simulation.place import Window
from geo.simulation.world import simulate


def photograph(radiance, camera):
    """The photograph of even light."""
    window = Window(west=0, north=40, rows=40, columns=40, pitch=0.6)
    side = 40 + 2 * HALO_PX
    return develop(np.full((3, side, side), radiance, np.float32), window, camera, 1)


def test_pixels_are_the_means_of_their_fine_pixels():
    fine = np.random.default_rng(1).random((3, 12, 15))
    means = mean_over_pixels(fine, 3)
    assert means.shape == (3, 4, 5)
    np.testing.assert_allclose(means[1, 2, 3], fine[1, 6:9, 9:12].mean())


def test_the_response_is_the_gamma_of_the_light_and_the_haze():
    camera = replace(PLAIN_CAMERA, haze=(0.1, 0.0, 0.0), contrast=0.0)
    image = photograph(0.2, camera)
    assert (image[0] == round(255 * 0.3 ** (1 / 2.2))).all()
    assert (image[1] == round(255 * 0.2 ** (1 / 2.2))).all()


@pytest.mark.parametrize("noise", [1.0, 4.0])
def test_noise_has_the_spread_that_was_asked_for(noise):
    image = photograph(0.3, CameraSettings(noise=noise)).astype(float)
    assert image[0].std() == pytest.approx(noise, rel=0.12)
    assert abs(np.corrcoef(image[0].ravel(), image[1].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize(("lean", "row", "column"), [(0, -9, 0), (90, 0, 9), (180, 9, 0)])
def test_what_is_high_leans_by_its_height_times_the_tangent(lean, row, column):
    light, height = np.zeros((3, 61, 61), np.float32), np.zeros((61, 61), np.float32)
    light[:, 30, 30], height[30, 30] = 1.0, 10.0
    camera = CameraSettings(tilt_deg=10.0, lean_deg=lean)
    seen = seen_aslant(light, height, 0.2, camera)[0]
    rows, columns = np.nonzero(seen)
    # 10 m tan(10 degrees) = 1.76 m = 9 fine pixels; the side of the pole is seen on the way there.
    assert abs(rows - 30).max() == abs(row)
    assert abs(columns - 30).max() == abs(column)
    assert seen[30 + row, 30 + column] == 1


def test_a_tilted_view_moves_the_picture_and_not_the_truth():
    straight = settings_of("savanna", size_m=40, camera=PLAIN_CAMERA)
    tilted = replace(straight, camera=replace(PLAIN_CAMERA, tilt_deg=8.0, lean_deg=90.0))
    here, there = simulate(straight, 2), simulate(tilted, 2)
    np.testing.assert_array_equal(here.chm, there.chm)
    changed = (here.imagery != there.imagery).any(0)
    assert changed[here.chm > 3].mean() > 0.8
    assert changed.mean() < 0.75
