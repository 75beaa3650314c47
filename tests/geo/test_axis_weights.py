"""Resampling along axes takes each pixel by its share, and knows no strips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.axis_weights import axis_weights, resample

scales = st.floats(0.05, 20)
lengths = st.integers(1, 200)


def count_of(length, scale):
    """Pixels that cover an axis, the last one only partly."""
    return max(1, int(np.ceil(round(length / scale, 6))))


@given(lengths, scales)
def test_the_weights_of_every_pixel_sum_to_one(length, scale):
    weights = axis_weights(count_of(length, scale), scale, length)
    assert weights.shape == (count_of(length, scale), length)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    assert weights.data.min() > 0


@given(lengths, st.floats(1.01, 20))
def test_every_pixel_of_a_shrunk_axis_has_a_part_somewhere(length, scale):
    weights = axis_weights(count_of(length, scale), scale, length)
    assert (weights.sum(axis=0) > 0).all()


@given(st.integers(2, 60), st.floats(0.1, 1))
def test_interpolation_keeps_a_ramp_between_the_outer_centres(length, scale):
    count = count_of(length, scale)
    found = axis_weights(count, scale, length) @ (np.arange(length) + 0.5)
    centres = (np.arange(count) + 0.5) * scale
    np.testing.assert_allclose(found, np.clip(centres, 0.5, length - 0.5), atol=1e-3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64", "int32"])
@given(scales, st.integers(1, 9), st.data())
def test_strips_are_cut_from_the_whole_to_the_last_bit(dtype, scale, step, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    pixels = rng.integers(0, 200, (3, 37, 23)).astype(dtype)
    valid = rng.random((37, 23)) > data.draw(st.sampled_from([0.0, 0.3]))
    down = axis_weights(count_of(37, scale), scale, 37)
    across = axis_weights(count_of(23, scale), scale, 23)
    whole = resample(pixels, valid, down, across)
    assert whole[0].dtype == dtype
    for start in range(0, down.shape[0], step):
        rows = down[start : start + step]
        first, last = rows.indices.min(), rows.indices.max() + 1
        part = resample(pixels[:, first:last], valid[first:last], rows[:, first:last], across)
        np.testing.assert_array_equal(part[1], whole[1][start : start + step])
        shown = part[1]
        np.testing.assert_array_equal(
            part[0][:, shown], whole[0][:, start : start + step][:, shown]
        )


@given(scales)
def test_what_is_not_valid_has_no_part(scale):
    pixels = np.full((1, 30, 30), 50, np.float32)
    valid = np.random.default_rng(0).random((30, 30)) > 0.4
    pixels[:, ~valid] = 1e6
    weights = axis_weights(count_of(30, scale), scale, 30)
    found, shown = resample(pixels, valid, weights, weights)
    np.testing.assert_allclose(found[:, shown], 50, rtol=1e-5)


def test_a_pixel_is_valid_from_the_share_that_is_asked_for():
    pixels, valid = np.ones((1, 2, 2), np.uint8), np.array([[True, False], [False, False]])
    weights = axis_weights(1, 2.0, 2)
    assert not resample(pixels, valid, weights, weights)[1]
    assert resample(pixels, valid, weights, weights, least=0.25)[1]
    assert not resample(pixels, valid, weights, weights, least=0.26)[1]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@given(scales)
def test_a_hole_elsewhere_changes_no_bit(dtype, scale):
    pixels = np.random.default_rng(0).integers(1, 250, (3, 40, 40)).astype(dtype)
    weights = axis_weights(count_of(40, scale), scale, 40)
    valid = np.ones((40, 40), bool)
    valid[0, 0] = False
    whole, holed = (resample(pixels, where, weights, weights)[0] for where in (valid | True, valid))
    untouched = weights[:, [0]].toarray()[:, 0] == 0
    np.testing.assert_array_equal(holed[:, untouched], whole[:, untouched])
