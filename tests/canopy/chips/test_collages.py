"""Small plots find a place on as few chips as there must be, and none lies on another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canopy.chips.collages import pack

SIDE = 64


def painted(sizes, places):
    """How many rectangles lie on each pixel."""
    counts = np.zeros((SIDE, SIDE), int)
    for (height, width), box in zip(sizes, places, strict=True):
        if box:
            assert (box.height, box.width) == (height, width)
            assert 0 <= box.row <= SIDE - height
            assert 0 <= box.column <= SIDE - width
            counts[box.row : box.row + height, box.column : box.column + width] += 1
    return counts


def finds_room(counts, height, width):
    """Whether a rectangle of free pixels of a size is left, by trying every place."""
    windows = np.lib.stride_tricks.sliding_window_view(counts, (height, width))
    return bool((windows.max(axis=(2, 3)) == 0).any())


@given(st.lists(st.tuples(st.integers(1, SIDE), st.integers(1, SIDE)), min_size=1, max_size=25))
def test_none_lies_on_another_and_who_is_left_out_would_not_fit(sizes):
    places = pack(sizes, SIDE)
    counts = painted(sizes, places)
    assert counts.max() <= 1
    assert places[0] is not None
    for size, box in zip(sizes, places, strict=True):
        assert box is not None or not finds_room(counts, *size)


@pytest.mark.parametrize(
    "sizes",
    [
        [(32, 32)] * 4,
        [(48, 48), (16, 64), (48, 16)],
        # In rows (shelves) the two low ones could not stand beside the tall one.
        [(64, 40), (32, 24), (32, 24)],
        [(40, 40), (40, 24), (24, 40), (24, 24)],
    ],
)
def test_rectangles_that_fill_a_chip_fill_it(sizes):
    places = pack(sizes, SIDE)
    assert painted(sizes, places).min() == 1


def test_the_same_sizes_find_the_same_places():
    sizes = [(9, 13), (20, 7), (13, 13), (9, 13)] * 4
    assert pack(sizes, SIDE) == pack(sizes, SIDE)
