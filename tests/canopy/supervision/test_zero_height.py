"""Examples of height 0 hold no height, and look like what they are called."""

from __future__ import annotations

import numpy as np
import pytest

from canopy.errors import SettingsError
from canopy.supervision.surfaces import GROUNDS, noise
from canopy.supervision.zero_height import (
    KINDS,
    bare_ground,
    ground_patches,
    ground_scene,
    make_scene,
    mirrored,
    paste,
    recoloured,
)


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.mark.parametrize("kind", GROUNDS)
def test_a_ground_is_a_picture_and_the_seed_decides_it(kind):
    first, again = (GROUNDS[kind](np.random.default_rng(5), 48) for _ in range(2))
    assert first.shape == (3, 48, 48)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 255
    np.testing.assert_array_equal(first, again)


def mean_colours(kind):
    return np.array(
        [GROUNDS[kind](np.random.default_rng(seed), 32).mean(axis=(1, 2)) for seed in range(40)]
    )


def test_lawns_are_green_water_is_dark_and_soil_is_warm():
    lawn, water, soil = (mean_colours(kind).mean(axis=0) for kind in ("lawn", "water", "soil"))
    assert lawn[1] > lawn[0] > lawn[2]
    assert water.mean() < 90 < lawn.mean() < soil.mean()
    assert soil[0] > soil[2]


def test_asphalt_is_grey():
    assert np.ptp(mean_colours("asphalt"), axis=1).max() < 25


def test_noise_is_standardised_and_rougher_with_less_smoothness(rng):
    rough, smooth = noise(rng, 64, 0), noise(rng, 64, 2)
    for field in (rough, smooth):
        assert field.mean() == pytest.approx(0, abs=1e-9)
        assert field.std() == pytest.approx(1)
    assert np.abs(np.diff(smooth)).mean() < 0.3 * np.abs(np.diff(rough)).mean()


@pytest.fixture(scope="module")
def scenes():
    rng = np.random.default_rng(1)
    return [make_scene(rng, 40) for _ in range(50)]


def test_scenes_show_every_kind_sooner_or_later(scenes):
    assert all(scene.pixels.shape == (3, 40, 40) for scene in scenes)
    assert all(scene.pixels.min() >= 0 for scene in scenes)
    assert all(scene.pixels.max() <= 255 for scene in scenes)
    assert set(np.unique(np.stack([scene.kinds for scene in scenes]))) == set(range(len(KINDS)))


def test_shadows_are_darker_than_the_ground_they_fall_on(scenes):
    shadow = KINDS.index("shadow")
    differences = [
        scene.pixels[:, scene.kinds == shadow].mean()
        - scene.pixels[:, scene.kinds < len(GROUNDS)].mean()
        for scene in scenes
        if (scene.kinds == shadow).any() and (scene.kinds < len(GROUNDS)).any()
    ]
    assert np.mean(differences) < -20


def test_scenes_of_larger_pixels_are_averages_of_finer_ones():
    fine = make_scene(np.random.default_rng(3), 64)
    coarse = make_scene(np.random.default_rng(3), 32, 1.2)
    blocks = fine.pixels.reshape(3, 32, 2, 32, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(coarse.pixels, blocks, atol=1e-3)
    np.testing.assert_array_equal(coarse.kinds, fine.kinds[1::2, 1::2])
    odd = make_scene(np.random.default_rng(3), 41, 0.73)
    assert (odd.pixels.shape, odd.kinds.shape) == ((3, 41, 41), (41, 41))


@pytest.mark.parametrize("gsd_m", [0.25, 2.0])
def test_scenes_of_pixels_that_are_not_drawn_are_refused(rng, gsd_m):
    with pytest.raises(SettingsError, match="set the shares made and pasted to 0"):
        make_scene(rng, 32, gsd_m)


def test_bare_ground_is_low_and_away_from_trees(pairs):
    pair = pairs[0]
    bare = bare_ground(pair, below_m=3, margin_m=1)
    assert bare.any()
    assert (pair.image_heights[bare] < 3).all()
    assert pair.image_valid[bare].all()
    # Heights grow by 1 m a metre: the margin of 1 m costs 1 m of height.
    assert pair.image_heights[bare].max() < 2.5


def test_patches_come_from_bare_ground_alone(pairs):
    assert ground_patches(pairs, side=4) == []
    for pair in pairs:
        pair.image_heights[:, :8] = 0
    patches = ground_patches(pairs[:1], side=4, step=2)
    assert patches
    assert all(patch.shape == (3, 4, 4) for patch in patches)


def test_mirrored_starts_with_the_plot_and_returns_on_itself():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    extended = mirrored(values, 6, (0, 0))
    np.testing.assert_array_equal(extended[:2, :3], values)
    np.testing.assert_array_equal(extended[0], [0, 1, 2, 2, 1, 0])
    np.testing.assert_array_equal(extended[:, 0], [0, 3, 3, 0, 0, 3])


def test_ground_scenes_fill_the_canvas(rng):
    patch = rng.uniform(50, 200, (3, 10, 10)).astype(np.float32)
    scene = ground_scene(rng, [patch], 40)
    assert scene.shape == (3, 40, 40)


def test_recolouring_keeps_the_texture(rng):
    pixels = rng.uniform(80, 170, (3, 24, 24)).astype(np.float32)
    changed = recoloured(rng, pixels)
    assert np.corrcoef(pixels[0].ravel(), changed[0].ravel())[0, 1] > 0.95


def test_pasted_ground_has_height_zero_and_the_rest_keeps_its_height(rng):
    pixels = np.full((3, 64, 64), 100, np.float32)
    heights = np.full((64, 64), 20, np.float32)
    ground = np.full((3, 64, 64), 200, np.float32)
    for _ in range(10):
        blended, changed, there = paste(rng, pixels, heights, ground)
        assert (changed[there] == 0).all()
        assert (changed[~there] == 20).all()
        assert blended.min() >= 99.9
        assert blended.max() <= 200.1
