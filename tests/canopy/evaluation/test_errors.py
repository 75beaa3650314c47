"""Every error is that of scikit-learn, torchmetrics, SciPy or a formula on the same pixels."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import ndimage
from small_heights import forest, write_heights

from canopy.height_errors import (
    block_errors,
    block_r2,
    class_errors,
    cover_iou,
    edge_error,
    height_errors,
    normalised_mae,
    slope_on_reference,
)


@pytest.fixture(scope="module")
def heights():
    """Map and reference [m] (130, 173), and where both are valid."""
    true = forest(130, 173)
    rng = np.random.default_rng(1)
    predicted = np.clip(0.7 * true + 2 + rng.normal(0, 2, true.shape), 0, None)
    valid = rng.random(true.shape) > 0.1
    valid[40:60, 100:140] = False
    return predicted, true, valid


@pytest.fixture(scope="module")
def compared(heights, tmp_path_factory):
    """The comparison of these heights, tile by tile."""
    from canopy.evaluation.evaluate import evaluate_map  # noqa: PLC0415
    from canopy.evaluation.settings import EvaluationSettings  # noqa: PLC0415

    predicted, true, valid = heights
    folder = tmp_path_factory.mktemp("compared")
    here = write_heights(folder / "map.tif", predicted)
    there = write_heights(folder / "chm.tif", np.where(valid, true, np.nan))
    settings = EvaluationSettings(tile_m=60, replicates=50)
    return evaluate_map(here, [there], folder / "report", settings=settings).content["comparisons"][
        0
    ]


def test_pixel_errors_are_those_of_scikit_learn(heights, compared):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs the extra train")
    predicted, true, valid = heights
    predicted, true = predicted[valid], true[valid]
    errors = compared["errors"]
    assert compared["count"] == valid.sum()
    assert compared["area_ha"] == pytest.approx(valid.sum() / 1e4, rel=2e-3)
    assert errors["mae_m"] == pytest.approx(metrics.mean_absolute_error(true, predicted))
    assert errors["rmse_m"] == pytest.approx(metrics.root_mean_squared_error(true, predicted))
    assert errors["r2"] == pytest.approx(metrics.r2_score(true, predicted))
    assert errors["bias_m"] == pytest.approx((predicted - true).mean())
    for least in (2, 5):
        expected = metrics.jaccard_score(true >= least, predicted >= least)
        assert errors[f"cover_{least}m_iou"] == pytest.approx(expected)


def test_errors_are_those_of_torchmetrics(heights, compared):
    regression = pytest.importorskip("torchmetrics.regression", reason="needs the extra dev")
    torch = pytest.importorskip("torch")
    predicted, true, valid = (torch.from_numpy(part) for part in heights)
    for name, metric in (
        ("mae_m", regression.MeanAbsoluteError()),
        ("rmse_m", regression.MeanSquaredError(squared=False)),
        ("r2", regression.R2Score()),
    ):
        value = float(metric(predicted[valid], true[valid]))
        assert compared["errors"][name] == pytest.approx(value, rel=1e-5)


def test_the_line_is_that_of_polyfit(heights, compared):
    predicted, true, valid = heights
    slope, intercept = np.polyfit(true[valid], predicted[valid], 1)
    assert compared["errors"]["slope"] == pytest.approx(slope)
    assert compared["errors"]["intercept_m"] == pytest.approx(intercept)
    assert slope_on_reference(predicted[valid], true[valid]) == pytest.approx((slope, intercept))


def test_the_normalised_error_is_that_of_open_canopy(heights, compared):
    predicted, true, valid = heights
    tall = valid & (true >= 2)
    expected = np.mean(np.abs(predicted - true)[tall] / (1 + np.abs(true[tall])))
    assert compared["errors"]["nmae"] == pytest.approx(expected)
    assert normalised_mae(predicted, true, valid) == pytest.approx(expected)


def test_the_edge_error_is_that_of_sobel_gradients(heights, compared):
    predicted, true, valid = heights
    whole = ndimage.minimum_filter(valid.astype(int), 3, mode="constant", cval=0) == 1

    def gradient(surface):
        return np.hypot(ndimage.sobel(surface, 0), ndimage.sobel(surface, 1)) / 8

    expected = np.abs(gradient(predicted) - gradient(true))[whole].mean()
    assert edge_error(predicted, true, valid) == pytest.approx(expected)
    # Metres of UTM are not quite those of the ground.
    assert compared["errors"]["edge_error"] == pytest.approx(expected, rel=2e-3)
    relative = np.abs(gradient(predicted) - gradient(true))[whole].sum()
    relative /= gradient(true)[whole].sum()
    assert compared["errors"]["edge_error_relative"] == pytest.approx(relative)


def test_a_ramp_of_one_in_one_is_as_steep_as_that():
    ramp = np.tile(np.arange(9.0), (9, 1))
    flat, valid = np.zeros((9, 9)), np.ones((9, 9), bool)
    assert edge_error(ramp, flat, valid) == pytest.approx(1)
    assert edge_error(ramp, flat, valid, pixel_m=(0.5, 2.0)) == pytest.approx(2)


@pytest.mark.parametrize(("name", "size"), [("block_50px", 50), ("block_30m", 30)])
def test_block_r2_is_that_of_the_means_of_whole_blocks(heights, compared, name, size):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs the extra train")
    predicted, true, valid = heights
    means = [
        (predicted[place][valid[place]].mean(), true[place][valid[place]].mean())
        for row in range(0, 130 - size + 1, size)
        for column in range(0, 173 - size + 1, size)
        for place in [(slice(row, row + size), slice(column, column + size))]
        if valid[place].mean() >= 0.5
    ]
    here, there = np.array(means).T
    assert compared[f"blocks_{name.removeprefix('block_')}"] == len(means)
    assert compared["errors"][f"{name}_r2"] == pytest.approx(metrics.r2_score(there, here))
    assert block_r2(predicted, true, valid, size=size) == pytest.approx(
        compared["errors"][f"{name}_r2"]
    )


def test_errors_after_a_mean_are_those_of_block_means(heights, compared):
    expected = block_errors(*heights, size=3)
    for name in ("mae", "rmse", "bias", "r2"):
        key = f"mean_3m_{name}" + ("" if name == "r2" else "_m")
        assert compared["errors"][key] == pytest.approx(getattr(expected, name))


def test_errors_by_class_are_those_of_the_pixels_in_it(heights, compared):
    expected = class_errors(*heights)
    assert [entry["from_m"] for entry in compared["height_classes"]] == [0, 2, 5, 10, 15, 20, 30]
    for entry, errors in zip(compared["height_classes"], expected, strict=True):
        assert entry["count"] == (errors.count if errors else 0)
        if errors:
            found = entry["mae_m"], entry["rmse_m"], entry["bias_m"]
            assert found == pytest.approx((errors.mae, errors.rmse, errors.bias))


def test_a_class_holds_its_lower_edge():
    errors = class_errors(np.array([1.0, 2.0, 3.0, 40.0]), np.array([1.9, 2.0, 5.0, 30.0]))
    assert [error.count if error else 0 for error in errors] == [1, 1, 1, 0, 0, 0, 1]


def test_differences_are_those_of_percentiles(heights, compared):
    predicted, true, valid = heights
    for share in (5, 50, 95):
        expected = np.percentile((predicted - true)[valid], share)
        assert compared["differences_m"][f"p{share}"] == pytest.approx(expected, abs=0.06)


def test_a_perfect_map_has_no_error(compare):
    true = forest(70, 90)
    found = compare(true, true)
    errors = found["errors"]
    for name in ("mae_m", "rmse_m", "bias_m", "nmae", "edge_error", "mean_3m_mae_m"):
        assert errors[name] == 0
    for name in ("r2", "slope", "cover_2m_iou", "cover_5m_iou", "block_30m_r2", "mean_3m_r2"):
        assert errors[name] == pytest.approx(1)
    assert errors["intercept_m"] == pytest.approx(0, abs=1e-9)
    shift = found["shift"]["one_for_all"]
    assert (shift["east_m"], shift["north_m"], shift["at_best"]["rmse_m"]) == (0, 0, 0)


def test_a_map_two_metres_too_tall_has_a_bias_of_two(compare):
    true = forest(70, 90)
    errors = compare(true + 2, true)["errors"]
    assert errors["bias_m"] == pytest.approx(2)
    assert errors["mae_m"] == errors["rmse_m"] == pytest.approx(2)
    assert errors["slope"] == pytest.approx(1)
    assert errors["edge_error"] == pytest.approx(0, abs=1e-9)
    assert errors["mean_3m_bias_m"] == pytest.approx(2)
    assert compare(np.full((9, 9), 3.0), np.full((9, 9), 7.0))["errors"]["bias_m"] == -4


def test_cover_is_counted_by_hand(compare):
    true = np.array([[0.0, 2.0, 5.0, 1.9], [10.0, 0.0, 3.0, 0.0]])
    predicted = np.array([[3.0, 2.0, 4.9, 1.0], [0.0, 0.0, 6.0, 0.0]])
    errors = compare(predicted, true)["errors"]
    assert errors["cover_2m_iou"] == 3 / 5
    assert errors["cover_5m_iou"] == 0
    assert math.isnan(cover_iou(np.zeros(3), np.zeros(3)))


def test_what_is_not_defined_is_null_in_json(evaluate, tmp_path):
    flat = write_heights(tmp_path / "flat.tif", np.full((4, 5), 1.0))
    content = evaluate(flat, flat)
    errors = content["comparisons"][0]["errors"]
    for name in ("r2", "slope", "nmae", "cover_2m_iou", "block_50px_r2", "edge_error_relative"):
        assert errors[name] is None, name
    text = (tmp_path / "report0" / "report.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == content
    words = (tmp_path / "report0" / "report.md").read_text()
    assert "undefined" in words
    assert "nan" not in words.lower()


def test_one_pixel_is_enough(compare):
    found = compare(np.array([[7.0]]), np.array([[5.0]]))
    assert found["count"] == 1
    assert found["errors"]["bias_m"] == 2
    assert found["intervals"] == {}


def test_a_flat_reference_has_no_r2_though_sums_are_rounded(compare):
    true = np.full((57, 91), 7.3)
    assert compare(forest(57, 91), true)["errors"]["r2"] is None


def test_bounded_values_of_a_worse_than_constant_map(compare):
    true = forest(60, 60)
    assert compare(30 - true, true)["errors"]["r2"] < 0
    assert height_errors(30 - true, true).r2 < 0
