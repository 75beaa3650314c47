"""Heights survive being stored to within their rounding; nothing becomes nodata but NaN."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from geo.errors import MapFileError
from geo.height_maps.encoding import ENCODINGS, find_encoding

HALF_STEP_M = {"float32": 1 / 128, "int16-cm": 0.005, "uint8-m": 0.5}

each_encoding = pytest.mark.parametrize("name", HALF_STEP_M)
heights = arrays.arrays(np.float32, (5, 7), elements=st.floats(0, 250, width=32))


@each_encoding
@given(heights)
def test_a_height_is_stored_to_half_a_step(name, values):
    encoding = find_encoding(name)
    back = encoding.decode(encoding.encode(values))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, values, rtol=0, atol=HALF_STEP_M[name] + 3e-5)


@each_encoding
@given(heights)
def test_what_was_stored_once_is_stored_the_same_again(name, values):
    encoding = find_encoding(name)
    stored = encoding.encode(values)
    np.testing.assert_array_equal(encoding.encode(encoding.decode(stored)), stored)


def test_float_heights_are_within_a_centimetre_and_compress():
    encoding = find_encoding("float32")
    values = np.random.default_rng(0).uniform(0, 60, 10_000).astype(np.float32)
    stored = encoding.encode(values)
    assert np.abs(stored - values).max() <= 0.01
    # Heights below 64 m keep 12 bits after the leading one: the last eleven of a mantissa are zero.
    assert not (stored.view(np.uint32) & 0x7FF).any()


@each_encoding
def test_nan_is_nodata_and_zero_is_zero(name):
    encoding = find_encoding(name)
    stored = encoding.encode(np.array([np.nan, 0, -0.0, -3, 1e-6], np.float32))
    np.testing.assert_array_equal(stored[:1], [np.array(encoding.nodata)])
    np.testing.assert_array_equal(stored[1:], np.zeros(4))
    assert encoding.nodata != 0
    np.testing.assert_array_equal(encoding.decode(stored), [np.nan, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("name", "dtype", "scale", "nodata", "highest"),
    [("int16-cm", "int16", 0.01, -32768, 327.67), ("uint8-m", "uint8", 1.0, 255, 254)],
)
def test_whole_numbers_stop_at_their_highest_and_never_reach_nodata(
    name, dtype, scale, nodata, highest
):
    encoding = find_encoding(name)
    stored = encoding.encode(np.array([1e6, highest, 255, 12.344], np.float32))
    assert stored.dtype == dtype
    assert (encoding.scale, encoding.nodata) == (scale, nodata)
    assert not (stored == nodata).any()
    assert encoding.decode(stored)[0] == pytest.approx(highest)
    assert encoding.decode(stored)[3] == pytest.approx(12.34 if name == "int16-cm" else 12)


def test_an_unknown_encoding_is_refused_with_the_known_ones():
    with pytest.raises(MapFileError, match=r"encoding int8.*float32, int16-cm, uint8-m"):
        find_encoding("int8")


def test_the_three_encodings_of_the_command_exist():
    assert set(ENCODINGS) == set(HALF_STEP_M)
