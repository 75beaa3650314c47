"""A smooth field from scattered ratios: robust, shrunk, and never judged on its own shots."""

from __future__ import annotations

import numpy as np
import pytest

from canopy.correction.factor_field import Ratios, choose_bandwidth, fit_field, outliers
from canopy.correction.folds import GUARD_M, blocks_of_ground, deal, far_from
from canopy.correction.settings import CorrectionSettings

LIMITS = (0.5, 2.0)


def ratios_of(log_factor, count=400, noise=0.1, side=2000.0, seed=0):
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, side, (count, 2))
    return Ratios(places=places, values=log_factor(places) + rng.normal(0, noise, count))


def test_noise_and_signal_are_told_apart():
    field = fit_field(ratios_of(lambda places: np.full(len(places), 0.3)), 300.0, LIMITS)
    assert field.noise == pytest.approx(0.1, rel=0.15)
    assert field.signal == pytest.approx(0.3, rel=0.05)


def test_the_posterior_mean_of_equal_shots_at_one_place_is_the_textbook_one():
    ratios = Ratios(places=np.zeros((8, 2)), values=np.array([0.1, 0.3] * 4))
    field = fit_field(ratios, 100.0, LIMITS)
    log, count = field.at(np.zeros((1, 2)))
    assert count[0] == pytest.approx(8)
    wanted = 0.2 * 8 / (8 + (field.noise / field.signal) ** 2)
    assert log[0] == pytest.approx(wanted)
    assert 0.1 < log[0] < 0.2


def test_far_from_shots_nothing_changes():
    field = fit_field(ratios_of(lambda places: np.full(len(places), 0.4)), 100.0, LIMITS)
    log, count = field.at(np.array([[1000.0, 1000.0], [9000.0, 9000.0]]))
    assert log[0] == pytest.approx(0.4, abs=0.05)
    assert log[1] == count[1] == 0


def test_ratios_that_are_noise_about_one_give_factors_of_one():
    field = fit_field(ratios_of(lambda places: np.zeros(len(places)), noise=0.25), 300.0, LIMITS)
    places = np.random.default_rng(1).uniform(0, 2000, (500, 2))
    assert np.abs(field.at(places)[0]).max() < 0.02


def test_factors_stay_within_limits():
    field = fit_field(ratios_of(lambda places: np.full(len(places), 1.5)), 300.0, LIMITS)
    assert np.exp(field.at(np.array([[1000.0, 1000.0]]))[0][0]) == pytest.approx(2.0)


def test_broken_shots_are_found_and_edges_of_regions_are_not():
    ratios = ratios_of(lambda places: np.where(places[:, 0] < 1000, 0.35, -0.2), count=800)
    broken = np.random.default_rng(5).random(len(ratios)) < 0.05
    values = np.where(broken, ratios.values + 1.2, ratios.values)
    found = outliers(Ratios(places=ratios.places, values=values))
    assert found[broken].mean() > 0.95
    assert found[~broken].mean() < 0.02


def test_a_field_that_varies_gets_a_narrower_kernel_than_one_that_does_not():
    settings = CorrectionSettings()
    widths = {}
    for name, log in {
        "even": lambda places: np.full(len(places), 0.3),
        "wavy": lambda places: 0.4 * np.sin(places[:, 0] / 120),
    }.items():
        ratios = ratios_of(log, count=900, noise=0.15)
        folds = deal(blocks_of_ground(ratios.places, 150.0, 5)[0], 5, 0)
        widths[name], _ = choose_bandwidth(ratios, folds, settings)
    assert widths["wavy"] < widths["even"]


def test_folds_share_no_block_and_hold_about_as_many_shots():
    places = np.random.default_rng(0).uniform(0, 3000, (1000, 2))
    blocks, side = blocks_of_ground(places, 300.0, 5)
    folds = deal(blocks, 5, 0)
    assert side == 300
    assert all(len(set(folds[blocks == block])) == 1 for block in set(blocks))
    assert np.bincount(folds).min() > 190


def test_little_ground_is_cut_into_smaller_blocks():
    places = np.random.default_rng(0).uniform(0, 400, (100, 2))
    blocks, side = blocks_of_ground(places, 300.0, 5)
    assert side < 300
    assert blocks.max() + 1 >= 10


def test_shots_beside_those_kept_aside_are_not_used():
    places = np.random.default_rng(0).uniform(0, 500, (200, 2))
    aside = places[:, 0] < 250
    used = far_from(places, aside)
    assert not (used & aside).any()
    distance = np.hypot(*(places[used][:, None] - places[aside][None]).transpose(2, 0, 1))
    assert distance.min() >= GUARD_M
