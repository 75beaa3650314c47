"""What a map makes of colours: normalised, aerial ones matched first, or left as they are."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from small_files import colours_state, save_colours
from small_models import FirstBand, LocalMean, model_of, tiny_model
from small_scenes import write_scene

from canopy.colour_matching import (
    ColourMatcher,
    ColourMatchingNetwork,
    own_percentiles,
    stretch_to,
)
from canopy.errors import ModelError, SettingsError
from canopy.mapping.colour_field import ColourField
from geo.errors import ResumeError

TOP_M = 50.0


@pytest.fixture
def colours(tmp_path):
    return save_colours(tmp_path / "colours.ckpt")


def golden_matcher():
    network = ColourMatchingNetwork()
    network.load_state_dict(colours_state())
    return ColourMatcher(network=network)


def same_heights(found, expected):
    """Heights are kept in steps of 1/64 m, none below the ground."""
    np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=1e-4, atol=0.02)


def textured(rows, columns):
    rng = np.random.default_rng(3)
    coarse = rng.integers(20, 200, (3, -(-rows // 16), -(-columns // 16)))
    image = coarse.repeat(16, 1).repeat(16, 2)[:, :rows, :columns]
    return (image + rng.integers(0, 40, (3, rows, columns))).astype(np.uint8)


def test_one_window_is_matched_as_the_authors_do(tmp_path, map_of, colours):
    pixels = textured(256, 256)
    source = write_scene(tmp_path / "scene.tif", pixels)
    mapped = map_of(source, model=model_of(FirstBand()), radiometry="aerial", colours=colours)
    image = pixels.astype(np.float32) / 255
    target = golden_matcher().predict(image[None])[0]
    expected = TOP_M * stretch_to(own_percentiles(image), target).apply(image)[0]
    same_heights(mapped.heights, expected)


@pytest.mark.parametrize("shape", [(300, 520), (96, 64)])
def test_a_scene_is_matched_by_its_windows_whatever_the_tiles(tmp_path, map_of, colours, shape):
    pixels = textured(*shape)
    source = write_scene(tmp_path / "scene.tif", pixels)
    image = pixels.astype(np.float32) / 255
    valid = np.ones(shape, bool)
    field = ColourField(golden_matcher(), shape, lambda first, count: (
        image[:, first : first + count], valid[first : first + count]
    ))  # fmt: skip
    expected = TOP_M * field.apply(image, 0)[0]
    for tile in (64, 128):
        mapped = map_of(
            source, model=model_of(FirstBand()), radiometry="aerial", colours=colours, tile_px=tile
        )
        same_heights(mapped.heights, expected)


def test_missing_pixels_are_missing_in_the_map_and_change_nothing(tmp_path, map_of, colours):
    pixels = textured(128, 300)
    pixels[:, 30:90, 100:180] = 0
    source = write_scene(tmp_path / "scene.tif", pixels, nodata=0)
    mapped = map_of(source, model=model_of(FirstBand()), radiometry="aerial", colours=colours)
    hole = (pixels == 0).all(axis=0)
    assert np.isnan(mapped.heights[hole]).all()
    assert np.isfinite(mapped.heights[~hole]).all()


def test_with_none_the_model_sees_pixels_as_they_are(tmp_path, map_of):
    pixels = textured(64, 96)
    source = write_scene(tmp_path / "scene.tif", pixels)
    model = model_of(FirstBand(), mean=(0.4, 0.4, 0.3), std=(0.2, 0.2, 0.2))
    mapped = map_of(source, model=model, radiometry="none")
    same_heights(mapped.heights, TOP_M * pixels[0] / 255)


def test_with_none_and_no_stretch_real_values_are_not_clipped(tmp_path, map_of):
    values = np.random.default_rng(0).normal(0.5, 2, (3, 64, 64)).astype(np.float32)
    source = write_scene(tmp_path / "scene.tif", values)
    mapped = map_of(source, model=model_of(FirstBand()), radiometry="none", stretch="none")
    same_heights(mapped.heights, TOP_M * values[0])


def test_with_none_nothing_is_stretched_unasked(tmp_path, map_of):
    source = write_scene(tmp_path / "scene.tif", textured(64, 64).astype(np.uint16))
    with pytest.raises(SettingsError, match="--stretch none or LOW,HIGH"):
        map_of(source, radiometry="none")


def test_mean_and_std_override_the_card(tmp_path, map_of):
    pixels = textured(64, 64)
    source = write_scene(tmp_path / "scene.tif", pixels)
    model = model_of(FirstBand(), mean=(0.42, 0.4, 0.3), std=(0.2, 0.2, 0.2))
    mapped = map_of(source, model=model, mean=(0.43, 0.4, 0.3), std=(0.5, 0.2, 0.2))
    same_heights(mapped.heights, TOP_M * (pixels[0] / 255 - 0.43) / 0.5)
    with rasterio.open(mapped.path) as dataset:
        assert dataset.tags()["MODEL_MEAN"] == "0.43,0.4,0.3"
        assert dataset.tags()["RADIOMETRY"] == "satellite"


def test_colours_are_not_matched_for_a_model_of_aerial_images(tmp_path, map_of, colours):
    source = write_scene(tmp_path / "scene.tif", textured(64, 64))
    with pytest.raises(SettingsError, match="learned from aerial images"):
        map_of(
            source,
            model=model_of(LocalMean(), imagery="aerial"),
            radiometry="aerial",
            colours=colours,
        )


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"radiometry": "sentinel"}, "radiometry sentinel: expected satellite, aerial, none"),
        ({"colours": "x.ckpt"}, "colours without radiometry aerial"),
        ({"radiometry": "none", "mean": (0.4, 0.4, 0.3)}, "drop one"),
        ({"std": (0.2, 0.0, 0.2)}, "above 0"),
        ({"precision": "int8"}, "precision int8"),
    ],
)
def test_choices_that_make_no_sense_are_refused(tmp_path, map_of, choices, said):
    source = write_scene(tmp_path / "scene.tif", textured(64, 64))
    with pytest.raises(SettingsError, match=said):
        map_of(source, **choices)


def test_a_height_model_is_no_colour_matching_network(tmp_path, map_of, data_folder):
    source = write_scene(tmp_path / "scene.tif", textured(64, 64))
    with pytest.raises(ModelError, match="is no colour-matching network"):
        map_of(source, radiometry="aerial", colours=data_folder / "compressed_SSLtiny.pth")


def test_an_interrupted_map_resumes_with_the_same_colours_alone(tmp_path, map_of, colours):
    source = write_scene(tmp_path / "scene.tif", textured(400, 300))
    model = tiny_model()
    choices = {"radiometry": "aerial", "colours": colours, "output": tmp_path / "again.tif"}
    whole = map_of(source, model=model, radiometry="aerial", colours=colours).heights

    def interrupt(done, total):
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_of(source, model=model, progress=interrupt, **choices)
    with pytest.raises(ResumeError, match="--resume: colours was"):
        map_of(source, model=model, resume=True, output=tmp_path / "again.tif")
    mapped = map_of(source, model=model, resume=True, **choices)
    assert mapped.report.tiles_resumed > 0
    np.testing.assert_array_equal(mapped.heights, whole)
