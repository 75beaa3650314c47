"""Real granules of the Brazilian Cerrado against the table that rGEDI made of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FIELD_DATA = os.environ.get("CANOPY_FIELD_DATA")

pytestmark = pytest.mark.skipif(
    not FIELD_DATA, reason="needs real granules: CANOPY_FIELD_DATA names their folder"
)

RANKS = (25, 50, 75, 90, 95, 98, 100)


@pytest.fixture(scope="module")
def folder():
    return Path(FIELD_DATA) / "gedi" / "cerrado_BR"


@pytest.fixture(scope="module")
def expected(folder):
    return pd.read_csv(folder / "gedi_l2a.csv", dtype={"shot_number": np.uint64})


@pytest.mark.parametrize("preset", ["none", "default"])
def test_the_granules_are_the_301_shots_of_the_table_beside_them(
    ingested, folder, expected, preset
):
    table, report = ingested(folder, ranks=RANKS, preset=preset)
    assert len(table) == report.read == 301
    assert report.faults == []
    assert table["beam"].tolist() == expected["beam"].tolist()
    for name in expected.columns.drop("beam"):
        found = table[name].to_numpy()
        # The table prints a float32 in nine digits, and a float64 in seventeen.
        wanted = expected[name].to_numpy().astype(found.dtype)
        np.testing.assert_array_equal(found, wanted, err_msg=name)
    assert table["time"].between("2019-04-18T08:21:59Z", "2019-04-18T08:22:02Z").all()
    assert set(table["beam"][table["full_power"]]) == {
        "BEAM0101", "BEAM0110", "BEAM1000", "BEAM1011",
    }  # fmt: skip


def test_heights_are_metres_in_both_products(ingested, folder):
    level_2a = next(folder.glob("GEDI02_A*.zip"))
    level_2b = next(folder.glob("GEDI02_B*.zip"))
    both, _ = ingested(level_2a, level_2b)
    alone, report = ingested(level_2b)
    assert any("rh100 states no unit: cm, as its elevations show" in note for note in report.notes)
    assert len(alone) == 301
    np.testing.assert_allclose(alone["rh100"], both["rh100"], atol=0.0101)  # whole cm
    span = both["elev_highestreturn"] - both["elev_lowestmode"]
    np.testing.assert_allclose(both["rh100"], span, atol=0.05)
    pd.testing.assert_series_equal(alone["cover"], both["cover"])
    assert both["cover"].between(0, 1).all()


def test_strict_filters_what_the_columns_say(ingested, folder, expected):
    table, report = ingested(folder, preset="strict")
    good = expected[
        (expected["quality_flag"] == 1) & (expected["degrade_flag"] == 0)
        & (expected["sensitivity"] >= 0.95) & (expected["solar_elevation"] < 0)
        & expected["beam"].isin(["BEAM0101", "BEAM0110", "BEAM1000", "BEAM1011"])
    ]  # fmt: skip
    assert table["shot_number"].tolist() == good["shot_number"].tolist()
    assert report.skipped == {"leaves": ("leaf_off_flag", 1)}
