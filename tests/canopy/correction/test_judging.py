"""When a map is corrected: shots kept aside judge it, and each condition counts for itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_forest import forest, shoot, write_map, write_shots

from canopy.correction.calibration import calibrate, judge
from canopy.correction.correct import decide
from canopy.correction.footprint_pairs import pair_with_map, usable
from canopy.correction.footprints import read_footprints
from canopy.correction.settings import CorrectionSettings
from canopy.evaluation.height_source import open_heights

SETTINGS = CorrectionSettings(max_shift_m=0.0)


def paired(folder, factor):
    """Pairs of a forest at their places, over a map that is low by a factor."""
    source = open_heights(write_map(folder / "m.tif", factor * forest()))
    found = read_footprints(write_shots(folder / "s.parquet", shoot(forest())), source, SETTINGS)
    return pair_with_map(found, source, SETTINGS)[0]


def found_and_judged(pairs):
    """The field of all shots, and errors on those kept aside."""
    judged, folds = judge(pairs, SETTINGS)
    return calibrate(pairs, np.ones(len(pairs), bool), folds, SETTINGS), judged


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Over a map 0.8 times too low."""
    return paired(tmp_path_factory.mktemp("low"), 0.8)


def test_shots_kept_aside_have_no_part_in_what_judges_them(pairs):
    before, folds = judge(pairs, SETTINGS)
    tall = usable(pairs.rh, pairs.heights[:, 0], SETTINGS.least_height_m)
    aside = folds == 0
    spoilt = replace(pairs, rh=np.where(aside & tall, 1.5 * pairs.rh, pairs.rh))
    after, again = judge(spoilt, SETTINGS)
    assert (again == folds).all()
    assert (after.after[aside] == before.after[aside]).all()
    assert (after.after[~aside] != before.after[~aside]).any()


def test_a_map_without_a_sure_gain_is_left(pairs):
    found, judged = found_and_judged(pairs)
    assert decide(found, judged, SETTINGS)[1]
    reason, wanted = decide(found, replace(judged, after=judged.before), SETTINGS)
    assert not wanted
    assert "no sure gain" in reason


def test_a_change_as_small_as_what_tells_footprints_from_maps_is_left(tmp_path):
    found, judged = found_and_judged(paired(tmp_path, 0.97))
    assert judged.is_better
    reason, wanted = decide(found, judged, SETTINGS)
    assert not wanted
    assert "less than the 5%" in reason
    assert decide(found, judged, replace(SETTINGS, least_change=0.01))[1]
