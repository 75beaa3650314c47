"""Filters: what each keeps, in turn and alone, and what cannot be applied."""

from __future__ import annotations

import numpy as np
import pytest
from small_granules import V1_A, V2_A, write_granule

from geo.gedi.errors import GediError
from geo.gedi.filters import PRESETS, failures, lacking, preset, removals

STRICT = {each.name: each for each in PRESETS["strict"]}


@pytest.mark.parametrize(
    ("name", "columns", "kept"),
    [
        ("quality", {"quality_flag": np.uint8([0, 1, 2])}, [0, 1, 0]),
        ("degrade", {"degrade_flag": np.uint8([0, 3, 80])}, [1, 0, 0]),
        ("sensitivity", {"sensitivity": np.float32([0.9499, 0.95, 0.99, np.nan, -np.inf])},
         [0, 1, 1, 0, 0]),
        ("power", {"full_power": np.bool_([True, False])}, [1, 0]),
        ("night", {"solar_elevation": np.float32([-0.1, 0, 30, np.nan])}, [1, 0, 0, 0]),
        ("leaves", {"leaf_off_flag": np.ma.masked_array(np.uint8([0, 1, 255]), [0, 0, 1])},
         [1, 0, 1]),
        ("elevation", {"elev_lowestmode": np.float32([100, 100, 249, 250, 100]),
                       "digital_elevation_model": np.float32([100, 300, 100, 100, np.nan])},
         [1, 0, 1, 0, 1]),
    ],
)  # fmt: skip
def test_each_filter_keeps_what_its_words_say(name, columns, kept):
    count = len(kept)
    failed = failures([STRICT[name]], columns, count)
    assert (failed == 0).tolist() == [bool(each) for each in kept]


def test_removals_are_counted_in_turn_and_alone():
    shots = {
        "quality_flag": np.uint8([0, 0, 1, 1]), "degrade_flag": np.uint8([1, 0, 1, 0]),
        "full_power": np.zeros((), bool),
    }  # fmt: skip
    filters = [STRICT[name] for name in ("quality", "degrade", "power", "night")]
    found = removals(filters, failures(filters, shots, 4))
    assert [(each.in_turn, each.alone) for each in found] == [(2, 2), (1, 2), (1, 4), (0, 0)]
    assert lacking(filters, shots) == {"night": "solar_elevation"}


def test_an_unknown_preset_is_refused():
    with pytest.raises(GediError, match="expected none, default, strict"):
        preset("tight")


def test_a_filter_is_skipped_where_its_column_is_missing_and_that_is_said(ingested, tmp_path):
    def bare(columns, _):
        columns["land_cover_data/leaf_off_flag"] = None
        columns["sensitivity"] = None

    old = write_granule(tmp_path / f"{V1_A}.h5", name=V1_A, change=bare)
    new = write_granule(tmp_path / f"{V2_A}.h5")
    table, report = ingested(old, new, preset="strict")
    assert report.skipped == {"sensitivity": ("sensitivity", 1), "leaves": ("leaf_off_flag", 1)}
    index = np.arange(20)
    good = (index % 5 != 0) & (index % 7 != 0) & (index % 3 != 0)
    assert (table["version"] == 1).sum() == 4 * good.sum()
    best = good & (index % 4 != 0) & (index % 9 != 0)
    assert (table["version"] == 2).sum() == 4 * best.sum()
    assert report.kept == report.read - sum(each.in_turn for each in report.removed)


@pytest.mark.parametrize("choices", [{"ranks": (101,)}, {"ranks": ()}, {"workers": 0}])
def test_choices_that_make_no_sense_are_refused(ingested, tmp_path, choices):
    with pytest.raises(GediError, match="expected"):
        ingested(write_granule(tmp_path / f"{V2_A}.h5"), **choices)
