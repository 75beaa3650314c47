import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from canopy.preview import Picture, write_preview
from canopy.preview.layout import PAGE, SMALLEST, Box, lay_out
from canopy.preview.words import drawable, height_ticks, length_label, nice_length
from geo.errors import MapFileError
from geo.height_maps.style import HEIGHT_RAMP

BLUE = (20, 60, 200)
PALE, DARK = HEIGHT_RAMP[0][1], HEIGHT_RAMP[-1][1]

Page = npt.NDArray[np.int64]


def picture(rows: int, columns: int, height_m: float = 0.0) -> Picture:
    image = np.full((rows, columns, 3), BLUE, np.uint8)
    return Picture(
        image=image,
        image_valid=np.ones((rows, columns), bool),
        heights_m=np.full((rows, columns), height_m, np.float32),
        pixel_m=0.6,
        north_up=True,
        title="Stand 7",
        model="canopy-tiny 1",
        source="imagery/stand7.tif",
    )


def drawn(path: Path, shown: Picture) -> Page:
    with Image.open(write_preview(path, shown)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def inside(page: Page, box: Box, across: float = 0.5, down: float = 0.5) -> Page:
    """The pixels around a place of a panel, given as shares of its sides."""
    x, y = round(box.left + across * box.width), round(box.top + down * box.height)
    return page[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3)


def ink(page: Page, box: Box) -> float:
    """The share of dark pixels in a box."""
    top, left = int(box.top), int(box.left)
    part = page[top : int(top + box.height), left : int(left + box.width)]
    return float((part.max(axis=2) < 100).mean())


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(60, 60), (20, 200), (180, 30), (20, 20), (1, 1), (1, 500), (500, 1), (90, 160)],
)
def test_every_shape_makes_a_page(tmp_path: Path, rows: int, columns: int) -> None:
    page = drawn(tmp_path / "a.png", picture(rows, columns))
    height, width, _ = page.shape
    layout = lay_out((columns * 0.6, rows * 0.6))
    assert (width, height) == (layout.width, layout.height)
    assert SMALLEST[0] <= width <= PAGE[0]
    assert SMALLEST[1] <= height <= PAGE[1]
    assert (inside(page, layout.image) == BLUE).all()
    assert np.abs(inside(page, layout.map) - PALE).max() <= 2


@given(columns=st.floats(1, 1e5), rows=st.floats(1, 1e5))
def test_nothing_leaves_the_page_or_overlaps(columns: float, rows: float) -> None:
    layout = lay_out((columns, rows))
    boxes = [layout.image, layout.map, layout.colour_bar, layout.signs]
    for box in boxes:
        assert box.left >= 0
        assert box.top >= 0
        assert box.left + box.width <= layout.width + 1
        assert box.top + box.height <= layout.height + 1
    for number, one in enumerate(boxes):
        for other in boxes[number + 1 :]:
            beside = one.left + one.width <= other.left or other.left + other.width <= one.left
            above = one.top + one.height <= other.top or other.top + other.height <= one.top
            assert beside or above
    assert layout.width <= PAGE[0]
    assert layout.height <= PAGE[1]


@given(ratio=st.floats(0.1, 10))
def test_panels_keep_the_shape_of_the_ground(ratio: float) -> None:
    layout = lay_out((ratio * 100, 100))
    for box in (layout.image, layout.map):
        assert box.width / box.height == pytest.approx(ratio)
    assert (layout.image.width, layout.image.height) == (layout.map.width, layout.map.height)


def test_wide_scenes_are_stacked() -> None:
    assert not lay_out((1000, 100)).side_by_side
    assert lay_out((100, 100)).side_by_side
    assert lay_out((100, 600)).side_by_side


def test_colours_stand_where_the_heights_do(tmp_path: Path) -> None:
    shown = picture(40, 40)
    shown.heights_m[:20, 20:] = 25.0
    page = drawn(tmp_path / "a.png", shown)
    box = lay_out(shown.ground_m).map
    assert np.abs(inside(page, box, 0.75, 0.25) - DARK).max() <= 2
    assert np.abs(inside(page, box, 0.25, 0.25) - PALE).max() <= 2
    assert np.abs(inside(page, box, 0.75, 0.75) - PALE).max() <= 2


def test_the_map_agrees_with_the_bar(tmp_path: Path) -> None:
    shown = picture(40, 40, height_m=12.5)
    page = drawn(tmp_path / "a.png", replace(shown, maximum_m=25.0))
    layout = lay_out(shown.ground_m)
    assert np.abs(inside(page, layout.map)[0] - inside(page, layout.colour_bar)[0]).max() <= 4


def test_image_and_map_may_differ_in_resolution(tmp_path: Path) -> None:
    shown = picture(400, 400)
    coarse = replace(shown, heights_m=np.full((40, 40), 30.0), pixel_m=6.0)
    assert coarse.ground_m == pytest.approx(shown.ground_m)
    page = drawn(tmp_path / "a.png", coarse)
    corner = inside(page, lay_out(shown.ground_m).image, 0.95, 0.95)
    assert np.abs(corner - BLUE).max() <= 2


def test_pixels_that_are_no_squares_on_the_ground() -> None:
    assert replace(picture(10, 20), pixel_m=(1.0, 2.0)).ground_m == (20.0, 20.0)


def test_missing_data_is_hatched(tmp_path: Path) -> None:
    shown = picture(40, 40, height_m=20.0)
    shown.image_valid[:, 20:] = False
    shown.heights_m[:, 20:] = np.nan
    page = drawn(tmp_path / "a.png", shown)
    layout = lay_out(shown.ground_m)
    for box in (layout.image, layout.map):
        grey = inside(page, box, 0.75)
        assert np.ptp(grey, axis=1).max() <= 8
        assert grey.min() > 150
    assert (inside(page, layout.image, 0.25) == BLUE).all()


@pytest.mark.parametrize("north_up", [True, False])
def test_an_arrow_only_where_north_is_up(tmp_path: Path, *, north_up: bool) -> None:
    shown = replace(picture(40, 40), north_up=north_up)
    page = drawn(tmp_path / "a.png", shown)
    signs = lay_out(shown.ground_m).signs
    # Right of the scale bar and its label, where the arrow would be.
    place = Box(left=signs.left + 165, top=signs.top, width=190, height=signs.height)
    assert (ink(page, place) > 0) == north_up


def test_a_map_of_nothing(tmp_path: Path) -> None:
    shown = picture(30, 30, height_m=np.nan)
    shown.image_valid[:] = False
    assert shown.top_m == 5
    drawn(tmp_path / "a.png", shown)


def test_the_ramp_reaches_the_98th_percentile() -> None:
    heights = np.linspace(0, 50, 1001).reshape(13, 77)
    assert replace(picture(13, 77), heights_m=heights).top_m == 50
    assert replace(picture(13, 77), heights_m=heights / 2.2).top_m == 25
    assert replace(picture(13, 77), heights_m=heights / 1000).top_m == 5


def test_words_that_are_hard_to_draw(tmp_path: Path) -> None:
    shown = replace(picture(20, 20), title="$x^{ \u65e5\u672c\n" * 40, source="/very/long" * 99)
    drawn(tmp_path / "a.png", shown)


def test_only_the_finished_file_is_left(tmp_path: Path) -> None:
    write_preview(tmp_path / "a.png", picture(4, 4))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]
    with pytest.raises(MapFileError, match="choose another path"):
        write_preview(tmp_path / "none" / "a.png", picture(4, 4))


def test_the_state_of_pyplot_is_left_alone() -> None:
    check = "import sys, canopy.preview; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.parametrize(
    ("limit_m", "length_m", "label"),
    [
        (9.9, 5, "5 m"),
        (10, 10, "10 m"),
        (260, 200, "200 m"),
        (2600, 2000, "2 km"),
        (0.7, 0.5, "50 cm"),
    ],
)
def test_scale_bars_have_round_lengths(limit_m: float, length_m: float, label: str) -> None:
    assert nice_length(limit_m) == pytest.approx(length_m)
    assert length_label(length_m) == label


@given(st.floats(1e-3, 1e6))
def test_scale_bars_fit_and_are_long_enough_to_read(limit_m: float) -> None:
    assert 0.39 * limit_m <= nice_length(limit_m) <= limit_m * (1 + 1e-9)


@pytest.mark.parametrize("top", [5, 10, 15, 25, 30, 35, 40, 50, 60, 80, 90, 120])
def test_a_few_round_heights_are_named(top: float) -> None:
    ticks = height_ticks(top)
    assert ticks[0] == 0
    assert ticks[-1] <= top
    assert 4 <= len(ticks) <= 10
    assert len(set(np.diff(ticks))) == 1


def test_letters_that_the_font_lacks() -> None:
    assert drawable("Waldst\u00fcck \u65e5\n7") == "Waldst\u00fcck ? 7"
