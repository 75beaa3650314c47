"""A scene's colours are matched smoothly, the same whatever strips it is read in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from canopy.colour_matching import ColourMatcher, own_percentiles, stretch_to
from canopy.mapping.colour_field import ColourField, WindowAxis


class Brighter(nn.Module):
    """Targets that depend on the window's own brightness, so that windows differ."""

    def forward(self, images):
        mean = images.mean(dim=(2, 3))
        return nn.functional.pad(0.2 * mean, (0, 3)) + nn.functional.pad(0.3 + mean, (3, 0))


def scene(rows, columns, seed=0):
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 0.5, columns, dtype=np.float32)[None, None]
    noise = rng.uniform(0, 0.5, (3, rows, columns)).astype(np.float32)
    return (ramp + noise).astype(np.float32)


def field_of(pixels, valid=None):
    valid = np.ones(pixels.shape[1:], bool) if valid is None else valid
    calls = []

    def read(first, count):
        calls.append((first, count))
        return pixels[:, first : first + count], valid[first : first + count]

    field = ColourField(ColourMatcher(network=Brighter()), pixels.shape[1:], read)
    return field, calls


def test_a_scene_of_one_window_is_stretched_as_a_whole():
    pixels = scene(256, 256)
    field, _ = field_of(pixels)
    target = ColourMatcher(network=Brighter()).predict(pixels[None])[0]
    expected = stretch_to(own_percentiles(pixels), target).apply(pixels)
    np.testing.assert_allclose(field.apply(pixels, 0), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(700, 900), (100, 600), (300, 30), (513, 256)])
def test_strips_do_not_matter(shape):
    pixels = scene(*shape)
    whole = field_of(pixels)[0].apply(pixels, 0)
    field, _ = field_of(pixels)
    edges = [0, *np.random.default_rng(1).choice(shape[0], 5), shape[0]]
    parts = [
        field.apply(pixels[:, first:last], first)
        for first, last in zip(sorted(edges), sorted(edges)[1:], strict=False)
    ]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=0, atol=1e-6)


def test_at_the_centre_of_a_window_its_own_stretch_holds():
    pixels = scene(512, 768)
    matched = field_of(pixels)[0].apply(pixels, 0)
    window = pixels[:, 256:512, 256:512]
    target = ColourMatcher(network=Brighter()).predict(window[None])[0]
    expected = stretch_to(own_percentiles(window), target).apply(window)
    np.testing.assert_allclose(
        matched[:, 383:385, 383:385], expected[:, 127:129, 127:129], atol=0.01
    )


def test_neighbouring_windows_do_not_jump():
    pixels = np.full((3, 512, 768), 0.5, np.float32)
    texture = scene(512, 768)
    field, _ = field_of(texture)
    gains = np.stack([field.row_of_stretches(0, np.float32(w))[0] for w in np.linspace(0, 1, 257)])
    apart = gains.max() - gains.min()
    assert apart > 0.05, "windows must differ for the test to say anything"
    assert np.abs(np.diff(gains, axis=0)).max() < apart / 100
    assert np.abs(np.diff(gains, axis=2)).max() < apart / 100
    assert np.isfinite(field.apply(pixels, 0)).all()


def test_windows_without_data_have_no_say():
    pixels = scene(256, 768)
    valid = np.ones(pixels.shape[1:], bool)
    valid[:, 256:512] = False
    spoiled = np.where(valid, pixels, np.float32(7))
    matched = field_of(spoiled, valid)[0].apply(spoiled, 0)
    left = field_of(pixels[:, :, :256])[0].apply(pixels[:, :, :256], 0)
    np.testing.assert_allclose(matched[:, :, :256], left, atol=1e-5)


def test_rows_of_windows_are_read_once_from_top_to_bottom():
    pixels = scene(1024, 300)
    field, calls = field_of(pixels)
    for first in range(0, 1024, 64):
        field.apply(pixels[:, first : first + 64], first)
    assert calls == [(0, 256), (256, 256), (512, 256), (768, 256)]


@given(length=st.integers(1, 3000))
def test_windows_cover_an_axis_and_weights_are_continuous(length):
    axis = WindowAxis(length=length)
    covered = np.zeros(length, bool)
    for start in axis.starts:
        assert 0 <= start <= length - axis.side
        covered[start : start + axis.side] = True
    assert covered.all()
    before, weight = axis.neighbours(np.arange(length))
    place = before + weight
    assert place.min() >= 0
    assert place.max() <= len(axis.starts) - 1
    assert (np.diff(place) >= 0).all()
    assert (np.diff(place) <= 1.01).all()
