"""Which bands are red, green and blue: the user, the file's own words, then their order."""

from __future__ import annotations

import pytest
import rasterio
from rasterio.enums import ColorInterp
from small_scenes import noise, write_scene

from geo.bands import Bands, choose_bands
from geo.errors import SceneError

RED, GREEN, BLUE = ColorInterp.red, ColorInterp.green, ColorInterp.blue
GREY, ALPHA, OTHER = ColorInterp.gray, ColorInterp.alpha, ColorInterp.undefined


@pytest.fixture
def bands_of(tmp_path):
    """A function that says which bands of a file with some bands are what."""

    def choose(count, wanted=None, **options):
        path = write_scene(tmp_path / "bands.tif", noise(8, 8, count), **options)
        with rasterio.open(path) as dataset:
            return choose_bands(dataset, wanted)

    return choose


def test_three_bands_without_a_word_are_red_green_and_blue(bands_of):
    assert bands_of(3) == Bands(colours=(1, 2, 3))


def test_colour_interpretation_decides_on_the_order(bands_of):
    found = bands_of(3, photometric="MINISBLACK", colorinterp=(BLUE, GREEN, RED))
    assert found.colours == (3, 2, 1)


def test_a_band_of_near_infrared_is_left_out(bands_of):
    assert bands_of(4, photometric="RGB", alpha="NO") == Bands(colours=(1, 2, 3))


def test_infrared_in_front_is_left_out_where_the_file_says_so(bands_of):
    found = bands_of(4, photometric="MINISBLACK", colorinterp=(OTHER, BLUE, GREEN, RED))
    assert found.colours == (4, 3, 2)


def test_alpha_is_no_colour_wherever_it_stands(bands_of):
    found = bands_of(4, photometric="MINISBLACK", colorinterp=(ALPHA, RED, GREEN, BLUE))
    assert found == Bands(colours=(2, 3, 4), alpha=1)


@pytest.mark.parametrize(
    "words", [("Blue", "green", " RED ", "nir"), ("blue", "Green", "red", "")], ids=str
)
def test_descriptions_decide_where_colours_say_nothing(bands_of, words):
    found = bands_of(4, photometric="MINISBLACK", descriptions=words)
    assert found.colours == (3, 2, 1)


def test_colours_are_believed_before_descriptions(bands_of):
    found = bands_of(3, colorinterp=(RED, GREEN, BLUE), descriptions=("blue", "green", "red"))
    assert found.colours == (1, 2, 3)


def test_two_bands_called_red_decide_nothing(bands_of):
    found = bands_of(4, photometric="MINISBLACK", descriptions=("red", "red", "green", "blue"))
    assert found.colours == (1, 2, 3)


def test_the_users_order_wins(bands_of):
    assert bands_of(3, [3, 2, 1], colorinterp=(RED, GREEN, BLUE)).colours == (3, 2, 1)
    assert bands_of(5, [5, 3, 1], photometric="MINISBLACK").colours == (5, 3, 1)


def test_alpha_still_masks_when_the_user_gives_an_order(bands_of):
    found = bands_of(4, [3, 2, 1], colorinterp=(RED, GREEN, BLUE, ALPHA))
    assert found == Bands(colours=(3, 2, 1), alpha=4)


def test_a_user_may_ask_for_one_grey_band_three_times(bands_of):
    assert bands_of(1, [1, 1, 1]).colours == (1, 1, 1)


@pytest.mark.parametrize(
    ("count", "options", "said"),
    [
        (1, {}, "one grey band: canopy height needs red, green and blue"),
        (2, {}, "2 bands: canopy height needs"),
        (2, {"photometric": "MINISBLACK", "colorinterp": (GREY, ALPHA)}, "one grey band and alpha"),
    ],
)
def test_fewer_than_three_colours_are_refused_with_the_reason(bands_of, count, options, said):
    with pytest.raises(SceneError, match=said) as refused:
        bands_of(count, **options)
    assert "give a colour image" in str(refused.value)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ([1, 2], "2 bands asked for: give three"),
        ([1, 2, 3, 4], "4 bands asked for: give three"),
        ([0, 1, 2], "band 0 asked for: .* has bands 1 to 4"),
        ([1, 2, 5], "band 5 asked for: .* has bands 1 to 4"),
        ([1, 2, -1], "band -1 asked for"),
        ([1, 2, 4], "band 4 asked for: it is the alpha band"),
    ],
)
def test_an_order_that_cannot_be_is_refused(bands_of, wanted, said):
    with pytest.raises(SceneError, match=said):
        bands_of(4, wanted, colorinterp=(RED, GREEN, BLUE, ALPHA))
