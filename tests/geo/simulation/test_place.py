"""Noise is a property of the place: the same whatever window or point asks for it."""

from __future__ import annotations

import numpy as np
import pytest

from geo.simulation.place import Points, Window, chance_of, fractal, scatter, seed_of


def window(west=-20, north=200, rows=120, columns=90, pitch=0.2):
    return Window(west=west, north=north, rows=rows, columns=columns, pitch=pitch)


@pytest.mark.parametrize("cell", [0.35, 1.0, 7.3, 64.0])
def test_a_part_of_a_window_has_the_noise_of_the_whole(cell):
    whole = window()
    part = whole.grown(-30, -10, -20, -40)
    np.testing.assert_allclose(
        part.noise(cell, 7), whole.noise(cell, 7)[10:80, 30:70], rtol=0, atol=2e-6
    )
    np.testing.assert_array_equal(part.grain(7), whole.grain(7)[10:80, 30:70])


def test_points_have_the_noise_of_the_pixel_they_lie_on():
    here = window()
    x, y = (axis.ravel() for axis in np.broadcast_arrays(here.x, here.y))
    at_points = fractal(Points(x=x, y=y), (20.0, 2.0), 0.5, 3)
    np.testing.assert_allclose(
        at_points, fractal(here, (20.0, 2.0), 0.5, 3).ravel(), rtol=0, atol=5e-6
    )


@pytest.mark.parametrize("cell", [0.5, 2.0])
def test_noise_has_mean_zero_and_spread_one(cell):
    field = window(rows=1500, columns=1500).noise(cell, 1)
    assert abs(field.mean()) < 0.02
    assert field.std() == pytest.approx(1, abs=0.03)
    speckle = window(rows=800, columns=800).speckle(0.3, 1)
    assert speckle.std() == pytest.approx(1, abs=0.05)


def test_scattered_numbers_are_even_and_unrelated():
    values = scatter(np.arange(-300, 300)[:, None], np.arange(-300, 300)[None], 9)
    assert values.min() >= 0
    assert values.max() < 1
    np.testing.assert_allclose(np.histogram(values, 10, (0, 1))[0] / values.size, 0.1, atol=0.003)
    for step in ((1, 0), (0, 1), (1, 1)):
        moved = np.roll(values, step, (0, 1))
        assert abs(np.corrcoef(values.ravel(), moved.ravel())[0, 1]) < 0.01


def test_parts_of_a_world_have_chance_of_their_own():
    assert seed_of(1, "grass") != seed_of(1, "soil")
    assert seed_of(1, "grass") != seed_of(2, "grass")
    assert chance_of(1, "a").random() == chance_of(1, "a").random()
    assert chance_of(1, "a").random() != chance_of(1, "b").random()
