"""Pairs are read as rasterio reads them, and averaged by area."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

from canopy.errors import SettingsError
from canopy.supervision.pairs import (
    FIELD_DATA_VARIABLE,
    PairSettings,
    area_average,
    field_data_root,
    overlap_weights,
    read_pair,
    read_pairs,
)


def test_imagery_of_a_whole_factor_is_the_mean_of_blocks(plots):
    folder = plots / "pairs" / "A" / "A_0"
    pair = read_pair(folder, site="A", gsd_m=0.6)
    with rasterio.open(folder / "rgb.tif") as source:
        pixels = source.read().astype(float)
    blocks = pixels.reshape(3, 20, 6, 20, 6).mean(axis=(2, 4))
    np.testing.assert_allclose(pair.image, blocks, atol=1e-3)


def test_heights_keep_their_own_grid_and_their_gaps(plots):
    folder = plots / "pairs" / "A" / "A_0"
    pair = read_pair(folder, site="A", gsd_m=0.6)
    with rasterio.open(folder / "chm.tif") as source:
        surface = source.read(1, masked=True)
    np.testing.assert_array_equal(pair.heights_valid, ~surface.mask)
    np.testing.assert_array_equal(pair.heights[pair.heights_valid], surface.compressed())


def test_stored_centimetres_with_their_scale_are_metres(plots):
    folder = plots / "pairs" / "A" / "A_0"
    before = read_pair(folder, site="A", gsd_m=0.6).heights
    with rasterio.open(folder / "chm.tif", "r+") as source:
        source.write(source.read(1) * np.where(source.read_masks(1) > 0, 100, 1), 1)
        source.scales = (0.01,)
    after = read_pair(folder, site="A", gsd_m=0.6).heights
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_heights_are_interpolated_at_the_centres_of_the_imagery(plots):
    pair = read_pair(plots / "pairs" / "A" / "A_0", site="A", gsd_m=0.6)
    centres = (np.arange(20) + 0.5) * 0.6
    # Heights are 0, 1, 2 ... at 0.5 m, 1.5 m, 2.5 m ...; flat before the first centre.
    expected = np.maximum(centres - 0.5, 0)
    inside = centres <= 10.5
    np.testing.assert_allclose(pair.image_heights[3, inside], expected[inside], atol=1e-4)


def test_a_height_that_rests_on_a_gap_is_not_valid(plots):
    pair = read_pair(plots / "pairs" / "A" / "A_0", site="A", gsd_m=0.6)
    centres = (np.arange(20) + 0.5) * 0.6
    np.testing.assert_array_equal(pair.image_valid[0], centres <= 10.5)
    assert (pair.image_heights[~pair.image_valid] == 0).all()


def test_values_return_to_the_heights_grid_by_area(plots):
    pair = read_pair(plots / "pairs" / "A" / "A_0", site="A", gsd_m=0.6)
    constant = pair.on_height_grid(np.full((20, 20), 7.0))
    np.testing.assert_allclose(constant, 7)
    columns = np.broadcast_to(np.arange(20.0), (20, 20))
    # The first metre holds pixel 0 whole and two thirds of pixel 1.
    assert pair.on_height_grid(columns)[0, 0] == pytest.approx(0.4 / 1.0)


@pytest.mark.parametrize(
    ("length", "from_gsd", "to_gsd", "expected"),
    [(400, 0.1, 0.6, 66), (200, 0.1, 0.6, 33), (218, 0.5, 0.6, 181)],
)
def test_only_whole_pixels_come_out(length, from_gsd, to_gsd, expected):
    assert area_average(np.ones((1, length, length)), from_gsd=from_gsd, to_gsd=to_gsd).shape == (
        1,
        expected,
        expected,
    )


def test_weights_of_an_average_sum_to_one_also_beyond_the_source():
    weights = overlap_weights(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 0.6, 1.2]))
    np.testing.assert_allclose(weights, [[0.6, 0.4], [0, 1], [0, 1]])


def test_the_box_is_the_ground_of_the_imagery(plots):
    box = read_pair(plots / "pairs" / "A" / "A_1", site="A", gsd_m=0.6).box
    assert (box.left, box.right - box.left, box.top - box.bottom) == pytest.approx(
        (400_100, 12, 12)
    )


def test_pairs_are_sorted_by_site_and_plot(plots):
    found = read_pairs(plots, PairSettings(sites=("B", "A")))
    assert [pair.plot for pair in found] == ["B_0", "B_1", "A_0", "A_1"]


def test_a_site_without_plots_is_named(plots):
    with pytest.raises(SettingsError, match=r"no rgb.tif under .*NOWHERE"):
        read_pairs(plots, PairSettings(sites=("NOWHERE",)))


def test_a_missing_canopy_height_file_is_named(plots):
    (plots / "pairs" / "A" / "A_0" / "chm.tif").unlink()
    with pytest.raises(SettingsError, match=r"found no .*chm.tif"):
        read_pair(plots / "pairs" / "A" / "A_0", site="A", gsd_m=0.6)


def test_imagery_too_coarse_for_the_model_is_refused(plots):
    with pytest.raises(SettingsError, match=r"expected 0\.05 m or finer"):
        read_pair(plots / "pairs" / "A" / "A_0", site="A", gsd_m=0.05)


def test_a_torn_file_is_named(plots):
    (plots / "pairs" / "A" / "A_0" / "rgb.tif").write_bytes(b"torn")
    with pytest.raises(SettingsError, match=r"A_0/rgb.tif cannot be read"):
        read_pair(plots / "pairs" / "A" / "A_0", site="A", gsd_m=0.6)


def test_field_data_must_be_named_and_be_there(monkeypatch, tmp_path, plots):
    monkeypatch.delenv(FIELD_DATA_VARIABLE, raising=False)
    with pytest.raises(SettingsError, match="to the folder that holds pairs/"):
        field_data_root()
    monkeypatch.setenv(FIELD_DATA_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="found no folder pairs/"):
        field_data_root()
    assert field_data_root(plots) == plots


def test_no_site_is_learned_from_and_judged_by():
    with pytest.raises(ValueError, match="learned from, and elsewhere"):
        PairSettings(sites=("A", "CA_Kootenay"))


@pytest.mark.skipif(
    not os.environ.get(FIELD_DATA_VARIABLE), reason=f"needs field data in {FIELD_DATA_VARIABLE}"
)
def test_a_real_plot_agrees_with_rasterio():
    folder = Path(os.environ[FIELD_DATA_VARIABLE]) / "pairs" / "NEON_TEAK" / "TEAK_043"
    pair = read_pair(folder, site="NEON_TEAK", gsd_m=0.6)
    with rasterio.open(folder / "rgb.tif") as source:
        pixels = source.read()[:, :396, :396].astype(float)
    np.testing.assert_allclose(
        pair.image, pixels.reshape(3, 66, 6, 66, 6).mean(axis=(2, 4)), atol=1e-3
    )
    with rasterio.open(folder / "chm.tif") as source:
        assert pair.heights[pair.heights_valid].mean() == pytest.approx(
            source.read(1, masked=True).mean(), rel=1e-5
        )
