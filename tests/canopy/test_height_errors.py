"""Height errors agree with scikit-learn and with sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest

from canopy.height_errors import block_errors, block_means, determination, height_errors


@pytest.fixture
def heights():
    rng = np.random.default_rng(0)
    reference = rng.gamma(2, 6, (40, 31)).astype(np.float32)
    prediction = reference + rng.normal(1, 3, reference.shape).astype(np.float32)
    return prediction, reference, rng.random(reference.shape) > 0.2


def test_errors_are_those_of_scikit_learn(heights):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs the extra train")
    prediction, reference, valid = heights
    errors = height_errors(prediction, reference, valid)
    true, predicted = reference[valid], prediction[valid]
    assert errors.count == valid.sum()
    assert errors.mae == pytest.approx(metrics.mean_absolute_error(true, predicted), rel=1e-5)
    assert errors.rmse == pytest.approx(metrics.root_mean_squared_error(true, predicted), rel=1e-5)
    assert errors.r2 == pytest.approx(metrics.r2_score(true, predicted), rel=1e-5)


def test_bias_is_prediction_minus_reference():
    assert height_errors(np.array([3.0, 5.0]), np.array([1.0, 1.0])).bias == 3


def test_what_is_not_valid_does_not_count(heights):
    prediction, reference, valid = heights
    spoiled = np.where(valid, prediction, np.float32(np.nan))
    assert height_errors(spoiled, reference, valid) == height_errors(prediction, reference, valid)
    assert height_errors(spoiled, reference) == height_errors(prediction, reference, valid)


def test_r2_of_a_flat_reference_is_not_a_number():
    assert np.isnan(determination(np.array([1.0, 2.0]), np.array([3.0, 3.0])))


def test_block_means_are_means_of_blocks(heights):
    _, reference, _ = heights
    means, kept = block_means(reference, np.ones(reference.shape, bool), size=3)
    assert means.shape == (14, 11)
    assert means[2, 4] == pytest.approx(reference[6:9, 12:15].mean(), rel=1e-6)
    # 40 = 13 * 3 + 1 and 31 = 10 * 3 + 1: the last row and column hold too little of a block.
    assert kept[:13, :10].all()
    assert not kept[13].any()
    assert not kept[:, 10].any()


def test_block_means_pass_over_what_is_not_valid():
    heights = np.arange(9.0).reshape(3, 3)
    means, kept = block_means(np.where(heights == 8, np.nan, heights), heights < 8, size=3)
    assert kept.all()
    assert means[0, 0] == pytest.approx(3.5)
    assert not block_means(heights, heights < 4, size=3)[1].any()


def test_block_errors_forgive_what_averages_out():
    reference = np.full((6, 6), 10.0)
    prediction = reference + np.tile([[1.0, -1.0, 0.0]], (6, 2))
    errors = block_errors(prediction, reference, np.ones((6, 6), bool))
    assert errors.mae == pytest.approx(0)
    assert height_errors(prediction, reference).mae == pytest.approx(2 / 3)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"shapes \(2,\), \(3,\)"):
        height_errors(np.zeros(2), np.zeros(3))


def test_nothing_valid_is_refused():
    with pytest.raises(ValueError, match="no valid height"):
        height_errors(np.zeros(2), np.zeros(2), np.zeros(2, bool))


def test_a_valid_height_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="NaN or infinite"):
        height_errors(np.array([np.nan, 1.0]), np.zeros(2), np.ones(2, bool))


def test_errors_become_json():
    assert set(height_errors(np.ones(2), np.zeros(2)).as_dict()) == {
        "count",
        "mae",
        "rmse",
        "bias",
        "r2",
    }
