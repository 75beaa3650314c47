"""Statistics counted strip by strip are numpy's on the whole map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from geo.height_maps.encoding import ENCODINGS, find_encoding
from geo.height_maps.height_statistics import summarise_heights

values = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 20), st.integers(1, 9)),
    elements=st.one_of(st.floats(0, 120, width=32), st.just(np.nan)),
)  # fmt: skip


@pytest.mark.parametrize("name", ENCODINGS)
@given(values, st.integers(1, 7))
def test_statistics_are_numpys(name, heights, rows):
    encoding = find_encoding(name)
    stored = encoding.encode(heights)
    found = summarise_heights(
        (stored[row : row + rows] for row in range(0, len(stored), rows)), encoding
    )
    back = encoding.decode(stored).astype(np.float64)
    valid = back[~np.isnan(back)]
    assert found.valid_percent == pytest.approx(100 * len(valid) / back.size)
    if not len(valid):
        assert all(np.isnan([found.mean_m, found.maximum_m, *found.percentiles_m.values()]))
        return
    assert found.mean_m == pytest.approx(valid.mean(), abs=1e-4)
    assert found.stddev_m == pytest.approx(valid.std(), abs=1e-4)
    assert found.minimum_m == pytest.approx(valid.min(), abs=1e-4)
    assert found.maximum_m == pytest.approx(valid.max(), abs=1e-4)
    for share, height in found.percentiles_m.items():
        expected = np.percentile(valid, share, method="lower")
        assert height == pytest.approx(expected, abs=1e-4)


def test_the_percentiles_are_the_fifth_the_fiftieth_and_the_ninety_fifth():
    encoding = find_encoding("float32")
    found = summarise_heights([np.arange(101, dtype=np.float32)[None]], encoding)
    assert found.percentiles_m.items() >= {5: 5.0, 50: 50.0, 95: 95.0}.items()


def test_a_map_without_a_height_has_no_statistics():
    found = summarise_heights([np.full((3, 3), np.nan, np.float32)], find_encoding("float32"))
    assert found.valid_percent == 0
    assert np.isnan(found.mean_m)
