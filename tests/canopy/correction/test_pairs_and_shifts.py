"""What a map says in a footprint, and how far a track lies off."""

from __future__ import annotations

import numpy as np
import pytest
from small_forest import forest, shoot, weighted_percentile, write_map, write_shots

from canopy.correction.footprint_pairs import (
    RADIUS_M,
    SIGMA_M,
    Lookup,
    energy_points,
    pair_with_map,
    shifts_within,
    usable,
)
from canopy.correction.footprints import read_footprints, tracks_of
from canopy.correction.settings import CorrectionSettings
from canopy.correction.track_shifts import find_shifts, pieces_of
from canopy.evaluation.height_source import open_heights

SETTINGS = CorrectionSettings()


@pytest.fixture(scope="module")
def paired(tmp_path_factory):
    """Pairs of a forest whose tracks lie 7 m off along each axis, over a map 0.8 times too low."""
    folder = tmp_path_factory.mktemp("forest")
    heights = forest()
    shots = shoot(heights, track_m=7.0, shot_m=0.5, along_m=20, across_m=160)
    source = open_heights(write_map(folder / "m.tif", 0.8 * heights))
    found = read_footprints(write_shots(folder / "s.parquet", shots), source, SETTINGS)
    return pair_with_map(found, source, SETTINGS)[0], shots


def test_points_lie_as_the_energy_does():
    points = energy_points(20_000)
    radius = np.hypot(*points.T)
    assert radius.max() <= RADIUS_M
    within = 1 - np.exp(-0.5 * (RADIUS_M / SIGMA_M) ** 2)
    for reach in (3.0, 5.5, 9.0):
        share = (1 - np.exp(-0.5 * (reach / SIGMA_M) ** 2)) / within
        assert (radius <= reach).mean() == pytest.approx(share, abs=1e-3)
    assert np.abs(points.mean(axis=0)).max() < 0.02


def test_percentiles_are_those_of_weighted_pixels(tmp_path):
    heights = forest(300)
    source = open_heights(write_map(tmp_path / "m.tif", heights))
    look = Lookup.on(source, shifts_within(0, 4), 90.0)
    places = np.random.default_rng(0).uniform(40, 260, (30, 2))
    with source.open() as reader:
        found = [look(reader, x * source.pixel_m[0], y * source.pixel_m[1])[0] for x, y in places]
    wanted = [weighted_percentile(heights, x, y, 90) for x, y in places]
    assert np.abs(np.subtract(found, wanted)).mean() < 0.15


def test_a_footprint_half_beyond_the_map_has_no_percentile(tmp_path):
    source = open_heights(write_map(tmp_path / "m.tif", np.full((100, 100), 9, np.float32)))
    look = Lookup.on(source, shifts_within(0, 4), 98.0)
    with source.open() as reader:
        assert np.isnan(look(reader, 1.0, 50.0)[0])
        assert look(reader, 50.0, 50.0)[0] == 9


def test_the_least_height_treats_map_and_footprint_alike():
    rh, heights = np.array([9.0, 1.0, 2.0, 20.0]), np.array([1.0, 9.0, 2.0, 0.0])
    assert usable(rh, heights, 3.0).tolist() == [True, True, False, False]


def test_shifts_of_tracks_are_found_though_the_map_is_biased(paired):
    pairs, shots = paired
    every = np.ones(len(pairs), bool)
    chosen, found = find_shifts(pairs, every, np.zeros(len(pairs)), SETTINGS)
    believed = [piece for piece in found if piece.believed]
    assert len(believed) >= 4
    for piece in believed:
        on = pairs.track == piece.track
        moved = pairs.shifts[chosen[on][0]]
        assert (piece.right_m, piece.up_m) == tuple(moved)
    x = np.array([np.abs(shots["right"] - right).argmin() for right in pairs.right])
    true = np.stack([-shots["off"][0], shots["off"][1]], axis=1)[x]
    at = chosen != 0
    off = np.hypot(*(true[at] - pairs.shifts[chosen[at]]).T)
    assert np.median(off) < 4.0
    assert np.median(off) < 0.5 * np.median(np.hypot(*true[at].T))


def test_tracks_at_their_place_stay_there(tmp_path):
    heights, rng = forest(), np.random.default_rng(4)
    shots = shoot(heights, along_m=40, across_m=100, shot_m=3.0)
    shots["rh"] = shots["rh"] * np.exp(rng.normal(0, 0.1, len(shots["rh"])))
    source = open_heights(write_map(tmp_path / "m.tif", heights))
    found = read_footprints(write_shots(tmp_path / "s.parquet", shots), source, SETTINGS)
    pairs, _ = pair_with_map(found, source, SETTINGS)
    chosen, pieces = find_shifts(pairs, np.ones(len(pairs), bool), np.zeros(len(pairs)), SETTINGS)
    assert len(pieces) == 11
    assert sum(piece.believed for piece in pieces) <= 1
    assert (chosen == 0).mean() > 0.9


def test_shots_kept_aside_have_no_part_in_a_shift(paired):
    pairs, _ = paired
    learn = np.arange(len(pairs)) % 2 == 0
    before, _ = find_shifts(pairs, learn, np.zeros(len(pairs)), SETTINGS)
    spoilt = type(pairs)(**(vars(pairs) | {"rh": np.where(learn, pairs.rh, 99.0)}))
    after, _ = find_shifts(spoilt, learn, np.zeros(len(pairs)), SETTINGS)
    assert (before == after).all()
    assert (before != 0).any()


def test_long_tracks_are_cut_into_pieces(paired):
    pairs, _ = paired
    pieces = pieces_of(pairs, 400.0)
    for number in range(pieces.max() + 1):
        on = pieces == number
        assert np.ptp(pairs.down[on]) < 450
        assert len(set(pairs.track[on])) == 1


def test_a_beam_alone_is_no_track_but_shot_numbers_tell_it():
    import pandas as pd  # noqa: PLC0415

    table = pd.DataFrame({"beam": ["BEAM0000"] * 3})
    assert tracks_of(table, ["beam"]).number.tolist() == [-1] * 3
    # Orbits 8222 and 8223, beams 5 and 6: OOOOOBBFFFNNNNNNNN.
    table["shot_number"] = [82220500200000001, 82220500200000002, 82220600200000001]
    assert tracks_of(table, ["beam", "shot_number"]).number.tolist() == [0, 0, 1]
    table["granule"] = ["a", "b", "b"]
    assert tracks_of(table, ["beam", "granule"]).number.tolist() == [0, 1, 1]
