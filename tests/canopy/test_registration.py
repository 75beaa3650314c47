"""Real pairs, and which part of large ground is compared."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from canopy.chips.views import sample_spans
from canopy.registration import register

ROOT = os.environ.get("CANOPY_FIELD_DATA")


@pytest.mark.skipif(not ROOT, reason="needs field data in CANOPY_FIELD_DATA")
@pytest.mark.parametrize(
    ("plot", "verdict", "distance_m"), [("OSBS_029", "aligned", 0.2), ("OSBS_006", "shifted", 2.7)]
)
def test_real_heights_are_where_others_found_them(plot, verdict, distance_m):
    folder = Path(ROOT) / "pairs" / "NEON_OSBS" / plot
    found = register(folder / "rgb.tif", folder / "chm.tif").found
    assert found.verdict == verdict, found.reason
    assert found.distance_m == pytest.approx(distance_m, abs=0.6)


@pytest.mark.parametrize("length", [30, 160, 300, 480])
def test_small_ground_is_compared_whole(length):
    spans = sample_spans(7, length, 0.5)
    assert spans[0][0] == 7
    for (start, size), (after, _) in pairwise(spans):
        assert start + size == after
    assert sum(spans[-1]) == 7 + length


def test_of_large_ground_a_sample_is_compared():
    assert sample_spans(10, 5000, 0.5) == [(10, 160), (2430, 160), (4850, 160)]
