"""Intervals hold on plots that had no part in their calibration, and say where they cannot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_plots_of_errors import FACTS, draw_plots, sample_of

from canopy.calibration.conformal import calibrate, factors, merged_edges, worth
from canopy.calibration.coverage import coverage_of, leave_groups_out
from canopy.errors import SettingsError
from canopy.intervals import LEVELS

REPEATS = 8


@pytest.fixture(scope="module")
def calibrations():
    """Calibrations on 200 plots each."""
    return [calibrate(draw_plots(seed, 200), FACTS) for seed in range(REPEATS)]


def share_inside(interval, sample):
    lower, upper = interval.ends(sample.heights, sample.scale)
    return ((sample.true >= lower) & (sample.true <= upper)).mean()


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_marginal_coverage_is_within_three_points_on_new_plots(calibrations, level):
    new = draw_plots(10_000, 400)
    found = [
        np.mean([share_inside(made.at(level), sample) for sample in new]) for made in calibrations
    ]
    assert abs(np.mean(found) - level) <= 0.03


def test_each_class_of_predicted_height_is_covered_and_low_forest_gets_no_wider_for_it(
    calibrations,
):
    made = calibrations[0]
    assert len(made.classes) > 1
    new = draw_plots(20_000, 400)
    for entry in made.classes:
        inside = total = 0
        for sample in new:
            of_it = sample.heights >= entry.from_m
            of_it &= sample.heights < (np.inf if entry.to_m is None else entry.to_m)
            lower, upper = made.at(0.9).ends(sample.heights[of_it], sample.scale[of_it])
            true = sample.true[of_it]
            inside += ((true >= lower) & (true <= upper)).sum()
            total += of_it.sum()
        assert inside / total >= 0.86


def test_an_end_reaches_further_on_the_side_on_which_errors_do():
    made = calibrate(draw_plots(1, 200), FACTS).at(0.9)
    assert all(above > below for below, above in zip(made.below, made.above, strict=True))


def test_one_pixel_a_plot_is_ordinary_split_conformal_prediction():
    scores = np.random.default_rng(0).normal(size=99)
    found = factors(scores, np.ones(99), 99.0)
    # The quantile with the correction of one more draw: the k-th smallest, k = ceil(t (n + 1)).
    for level, factor in zip(LEVELS, found, strict=True):
        rank = int(np.ceil((1 + level) / 2 * 100 - 1e-9))
        if rank > 99:
            assert factor is None
        else:
            assert factor == pytest.approx(max(0, np.sort(scores)[rank - 1]), abs=2e-5)


def test_plots_weigh_the_same_whatever_their_pixels():
    """A plot of many pixels all alike moves nothing more than one of few."""
    few = [sample_of(n, [5.0] * 4, [1.0] * 4, [5.0 + n % 7] * 4) for n in range(60)]
    many = [
        sample_of(n, [5.0] * (400 if n < 9 else 4), [1.0] * (400 if n < 9 else 4),
                  [5.0 + n % 7] * (400 if n < 9 else 4))
        for n in range(60)
    ]  # fmt: skip
    assert calibrate(few, FACTS).at(0.9).above == calibrate(many, FACTS).at(0.9).above


def test_worth_counts_plots_wholly_inside_and_plots_that_share_alike():
    assert worth(np.array([1.0, 1.0, 0.0, 1.0])) == pytest.approx(3)
    assert worth(np.full(10, 0.2)) == pytest.approx(10)
    assert worth(np.zeros(3)) == 0


def test_classes_with_few_plots_are_merged():
    shares = np.zeros((140, 7))
    shares[:70, 0] = 1
    shares[70:137, 4] = 1
    shares[137:, 6] = 1
    edges = merged_edges(shares)
    assert edges[0] == 0
    assert edges[-1] == np.inf
    assert len(edges) == 3  # low, and all that is taller
    assert merged_edges(shares[:20]) == (0.0, np.inf)


@pytest.mark.parametrize(("plots", "highest"), [(3, 0.5), (19, 0.9), (39, 0.95)])
def test_the_highest_level_is_what_so_many_plots_support(plots, highest):
    made = calibrate(draw_plots(0, plots), FACTS)
    assert made.highest_level == highest
    made.at(highest)
    with pytest.raises(SettingsError, match=f"{highest:g} at the most"):
        made.at(round(highest + 0.01, 2))


def test_two_plots_are_too_few():
    with pytest.raises(SettingsError, match="found 2 plots"):
        calibrate(draw_plots(0, 2), FACTS)


@given(st.permutations(range(50)))
def test_the_order_of_plots_changes_nothing(order):
    plots = draw_plots(3, 50)
    assert calibrate([plots[index] for index in order], FACTS) == calibrate(plots, FACTS)


def test_coverage_of_left_out_groups_is_counted_where_they_had_no_part():
    """A group that errs otherwise than all others is not covered, and is seen not to be."""
    plots = draw_plots(5, 120)
    odd = [sample_of(1000 + n, [10.0] * 50, [1.0] * 50, [40.0] * 50, site="odd") for n in range(30)]
    groups = [f"fold {n % 3}" for n in range(120)] + ["odd"] * 30
    report = {entry["level"]: entry for entry in coverage_of(
        leave_groups_out([*plots, *odd], groups, FACTS))}  # fmt: skip
    by_group = {entry["group"]: entry for entry in report[0.8]["by_group"]}
    assert by_group["odd"]["coverage"] < 0.05
    assert by_group["odd"]["above"] > 0.95
    assert by_group["fold 0"]["coverage"] > 0.75
    assert report[0.8]["plots"] == 150
