"""What is known of an image: encoded with flags, defaults where it is missing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from canopy.correction_network.metadata import DEFAULTS, ENCODED, Metadata, unknown
from canopy.correction_network.place_facts import (
    ViewFacts,
    facts_of_item,
    metadata_at,
    slope_or_terrain,
)
from canopy.errors import SettingsError
from geo.grid import Grid

GRID = Grid(
    crs=CRS.from_epsg(32633), transform=Affine(0.6, 0, 500_000, 0, -0.6, 5_400_000), height=500,
    width=500,
)  # fmt: skip


def test_a_missing_fact_is_its_default_and_a_flag():
    whole = Metadata(**{name: np.array([value]) for name, value in DEFAULTS.items()})
    known, missing = whole.encoded()[0], unknown(1).encoded()[0]
    assert known.shape == (ENCODED,)
    np.testing.assert_array_equal(known[:-5], missing[:-5])
    assert known[-5:].tolist() == [0] * 5
    assert missing[-5:].tolist() == [1] * 5
    assert unknown(1).missing == tuple(DEFAULTS)


def test_both_sides_of_the_date_line_are_alike():
    west, east = (unknown(1).columns | {"longitude": np.array([side])} for side in (-180.0, 180.0))
    np.testing.assert_allclose(Metadata(**west).encoded(), Metadata(**east).encoded(), atol=1e-6)


def test_places_and_view_become_facts():
    facts = metadata_at(GRID, np.array([[0.0, 0.0]]), ViewFacts(sun_elevation=40.0))
    assert facts.longitude[0] == pytest.approx(15.0)
    assert facts.latitude[0] == pytest.approx(48.75, abs=0.01)
    assert facts.missing == ("off_nadir", "slope")


def test_a_raster_of_elevations_tells_slopes(tmp_path):
    columns = np.arange(400)[None] * np.ones((400, 1))
    with rasterio.open(
        tmp_path / "dtm.tif", "w", driver="GTiff", dtype="float32", count=1, height=400, width=400,
        crs="EPSG:32633", transform=Affine(1, 0, 499_950, 0, -1, 5_400_050),
    ) as dataset:  # fmt: skip
        dataset.write((0.5 * columns).astype("float32"), 1)
    told = slope_or_terrain(str(tmp_path / "dtm.tif"))
    facts = metadata_at(GRID, np.array([[200.0, 200.0], [450.0, 450.0]]), told)
    assert facts.slope[0] == pytest.approx(np.degrees(np.arctan(0.5)), abs=1.5)
    assert slope_or_terrain("12").slope == 12


def test_an_item_tells_sun_and_view_and_what_is_said_wins(tmp_path):
    path = tmp_path / "item.json"
    told = {"view:sun_elevation": 33.0, "view:off_nadir": 12.0}
    path.write_text(json.dumps({"properties": told}))
    said = ViewFacts(sun_elevation=60.0).over(facts_of_item(path))
    assert (said.sun_elevation, said.off_nadir) == (60.0, 12.0)


@pytest.mark.parametrize("wrong", [{"sun_elevation": 91.0}, {"off_nadir": -1.0}, {"slope": 100.0}])
def test_angles_that_are_none_are_refused(wrong):
    with pytest.raises(SettingsError, match="expected 0 to 90 degrees"):
        ViewFacts(**wrong)
