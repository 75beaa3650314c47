"""How a raster is cut into pieces, files and windows changes no error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_heights import EAST, NORTH, forest, write_heights

import canopy.evaluation.area_means
import canopy.evaluation.raster_sums
from canopy.evaluation.area_means import Cells
from canopy.evaluation.counts import HeightCounts, Residuals
from canopy.evaluation.height_source import open_heights
from canopy.evaluation.raster_sums import sum_pair
from canopy.evaluation.read_pairs import plan_pair
from canopy.evaluation.settings import EvaluationSettings
from canopy.evaluation.sums import LENGTH, Heights, Sampling, errors_of, sums_of_piece


def pair_of(folder, rows=140, columns=190, pixel=0.5):
    rng = np.random.default_rng(3)
    true = forest(rows, columns)
    predicted = 0.8 * forest(2 * rows, 2 * columns, 5) + 2
    predicted[rng.random(predicted.shape) > 0.9] = np.nan
    true[30:45, 60:90] = np.nan
    source = open_heights(write_heights(folder / "map.tif", predicted, pixel=pixel / 2))
    chm = write_heights(folder / "chm.tif", true, pixel=pixel)
    return plan_pair("chm", source, str(chm), EvaluationSettings())


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return pair_of(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def at_once(pair):
    """Sums, shifts, counts and residuals of the pair as one piece."""
    return summed(pair, 1000.0)


def summed(pair, tile_m):
    counts, residuals = HeightCounts(), Residuals(pair.grid.shape)
    choices = EvaluationSettings(tile_m=tile_m, shift_m=0.5)
    return sum_pair(pair, choices, counts=counts, residuals=residuals), counts, residuals


@pytest.mark.parametrize("tile_m", [25.0, 31.0, 44.5])
@pytest.mark.parametrize("read_px", [50, 130])
def test_the_size_of_pieces_changes_nothing(monkeypatch, pair, at_once, tile_m, read_px):
    monkeypatch.setattr(canopy.evaluation.raster_sums, "READ_PX", read_px)
    monkeypatch.setattr(canopy.evaluation.area_means, "SEGMENT_PX", 64)
    sums, counts, residuals = summed(pair, tile_m)
    whole, all_counts, all_residuals = at_once
    assert len(sums.pieces) > 4
    assert len(whole.pieces) == 1
    assert sums.total == pytest.approx(whole.total, rel=1e-9, abs=1e-9)
    assert sums.shifts.sums == pytest.approx(whole.shifts.sums, rel=1e-9)
    assert (counts.pairs == all_counts.pairs).all()
    assert (counts.differences == all_counts.differences).all()
    assert residuals.picture == pytest.approx(all_residuals.picture, nan_ok=True)


def test_sites_with_too_many_pieces_get_larger_ones(monkeypatch, pair):
    monkeypatch.setattr(canopy.evaluation.raster_sums, "MOST_PIECES", 5)
    sums, _, _ = summed(pair, 25.0)
    assert len(sums.pieces) <= 5
    assert sums.piece_m == pytest.approx(50, rel=1e-3)


@settings(max_examples=60)
@given(
    rows=st.integers(1, 130), columns=st.integers(1, 130), side=st.integers(1, 140),
    pixel=st.sampled_from([0.4, 1.0, 2.0, 10.0]), seed=st.integers(0, 5),
)  # fmt: skip
def test_sums_of_pieces_are_the_sums_of_the_whole(rows, columns, side, pixel, seed):
    true, predicted = forest(rows, columns, seed), forest(rows, columns, seed + 1)
    valid = np.random.default_rng(seed).random((rows, columns)) > 0.3
    sampling = Sampling(pixel_m=(pixel, pixel), shape=(rows, columns))
    down, right = sampling.halo_px
    margins = ((1, down), (1, right))
    around = Heights(
        cells=Cells(row=-1, column=-1, height=rows + 1 + down, width=columns + 1 + right),
        predicted=np.pad(predicted, margins), true=np.pad(true, margins),
        valid=np.pad(valid, margins),
    )  # fmt: skip
    grid = Cells(row=0, column=0, height=rows, width=columns)
    side = max(side, 20)
    total = np.sum([sums_of_piece(around, piece, sampling) for piece in grid.parts(side)], axis=0)
    whole = sums_of_piece(around, grid, sampling)
    assert total.shape == (LENGTH,)
    assert total == pytest.approx(whole, rel=1e-9, abs=1e-9)
    # Single blocks vary by rounding alone, or not at all.
    for name, value in errors_of(whole).items():
        if "r2" not in name:
            assert errors_of(total)[name] == pytest.approx(value, nan_ok=True, abs=1e-6)


@pytest.mark.parametrize("cut", [30, 60])
def test_a_reference_in_two_files_is_the_reference_in_one(evaluate, tmp_path, cut):
    true, predicted = forest(60, 90), 0.7 * forest(60, 90, 2) + 3
    here = write_heights(tmp_path / "map.tif", predicted)
    whole = write_heights(tmp_path / "whole.tif", true)
    west = write_heights(tmp_path / "west.tif", true[:, :cut])
    east = write_heights(tmp_path / "east.tif", true[:, cut:], place=(EAST + cut, NORTH))
    one, two = (evaluate(here, *files)["comparisons"][0] for files in ((whole,), (west, east)))
    assert two["count"] == one["count"]
    assert two["area_ha"] == pytest.approx(one["area_ha"])
    for name, value in one["errors"].items():
        if not name.startswith(("edge", "block_50px")):  # neighbours across the cut are lost
            assert two["errors"][name] == pytest.approx(value), name
    assert two["differences_m"] == one["differences_m"]
    for here_class, there_class in zip(one["height_classes"], two["height_classes"], strict=True):
        assert here_class == pytest.approx(there_class)
