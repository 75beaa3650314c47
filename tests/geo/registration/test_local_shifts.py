"""A field of shifts follows what is sure, and goes back to the one shift where nothing is."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geo.registration.bent_raster import write_bent
from geo.registration.local_shifts import register_locally
from geo.registration.shift_field import MOST_LOCAL_M, ShiftField, draw_field
from geo.registration.shift_grid import ShiftGrid
from geo.registration.single_shift import Registration, RegistrationSettings
from geo.registration.window_shifts import WindowShift, agreeing

SPACING_M, SIDE = 60.0, 6
GRID = ShiftGrid(reach=12, pixel_m=0.5)
BASE = (1.5, -1.0)


def window(row, column, east, north, *, strong=True, spread=0.2):
    """A window whose image is explained best under one shift, and less the farther from it."""
    shifts = np.array(GRID.shifts) * GRID.pixel_m
    away = np.hypot(shifts[:, 1] - east, -shifts[:, 0] - north)
    return WindowShift(
        row=row, column=column, x_m=row_x(column), y_m=-row_x(row), east_m=east, north_m=north,
        spread_m=spread, strong=strong, known_m2=3600.0,
        scores=(0.5 * np.exp(-away)).reshape(GRID.side, GRID.side),
    )  # fmt: skip


def row_x(number):
    return 30.0 + SPACING_M * number


def board(east_of, north_of=lambda _row, _column: BASE[1], **changes):
    places = [(row, column) for row in range(SIDE) for column in range(SIDE)]
    return [window(*place, east_of(*place), north_of(*place), **changes) for place in places]


def estimate(verdict="shifted"):
    return Registration(
        east_m=BASE[0], north_m=BASE[1], score=0.4, score_unmoved=0.1, score_elsewhere=0.1,
        spread_m=0.1, sun_azimuth_deg=140.0, sun_elevation_deg=45.0, verdict=verdict, reason="",
    )  # fmt: skip


def judged(windows, verdict="shifted"):
    return register_locally(windows, GRID, estimate(verdict), SPACING_M, RegistrationSettings())


def slope(_row, column):
    return BASE[0] + 0.6 * (column - 2.5)


def test_a_slope_is_followed():
    found = judged(board(slope))
    assert found.better, found.reason
    assert (found.windows, found.strong, found.agreeing) == (36, 36, 36)
    assert found.east_m == pytest.approx((0.0, 3.0))
    middles = np.array([[row_x(column), -row_x(2)] for column in range(SIDE)])
    assert found.field.at(middles)[:, 0] == pytest.approx(
        [slope(0, column) for column in range(SIDE)], abs=0.2
    )


def test_noise_is_no_field():
    rng = np.random.default_rng(2)
    found = judged(board(lambda _row, _column: BASE[0] + rng.normal(0, 0.1)))
    assert not found.better
    assert "within what imagery and lidar are good for" in found.reason
    assert found.field.at(np.array([[100.0, -100.0]]))[0] == pytest.approx(BASE, abs=0.15)


def test_what_held_aside_windows_do_not_confirm_is_not_believed():
    """Every window has a shift of its own, of which its neighbours know nothing."""
    rng = np.random.default_rng(5)
    found = judged(board(lambda _row, _column: BASE[0] + rng.normal(0, 0.8)))
    assert not found.better
    assert "not better by enough" in found.reason


def test_a_false_match_is_left_out():
    windows = board(lambda *place: BASE[0] - (3.5 if place == (2, 3) else 0.0))
    kept = agreeing(windows, SPACING_M, BASE, MOST_LOCAL_M)
    assert len(kept) == 35
    assert all((one.row, one.column) != (2, 3) for one in kept)


def test_a_strong_window_far_from_all_others_is_left_out():
    windows = [
        window(row, column, *BASE, strong=column < 2 or (row, column) == (0, 5))
        for row in range(SIDE)
        for column in range(SIDE)
    ]
    assert len(agreeing(windows, SPACING_M, BASE, MOST_LOCAL_M)) == 12


def test_too_few_strong_windows_make_no_field():
    found = judged(board(slope, strong=False))
    assert (found.strong, found.agreeing, found.better) == (0, 0, False)
    assert "too few" in found.reason


def test_an_unclear_global_shift_does_not_hide_sure_windows():
    found = judged(board(slope), "unclear")
    assert found.better
    assert found.field.base == pytest.approx(BASE, abs=0.01)
    assert found.score_local > 2 * found.score_one, "the one shift that is applied is none"


def test_far_from_all_windows_the_field_is_the_base():
    field = draw_field(board(slope), BASE, SPACING_M)
    np.testing.assert_allclose(field.at(np.array([[9e3, 9e3]])), [BASE])
    weak = draw_field(board(slope, spread=5.0), BASE, SPACING_M)
    edge = np.array([[row_x(5), -row_x(2)]])
    assert abs(weak.at(edge)[0, 0] - BASE[0]) < abs(field.at(edge)[0, 0] - BASE[0])
    np.testing.assert_allclose(draw_field([], BASE, SPACING_M).at(edge), [BASE])


def test_the_field_is_bounded():
    wild = ShiftField(
        base=BASE, places=np.zeros((1, 2)), weights=np.array([[30.0, 40.0]]), length_m=90.0
    )
    ((east, north),) = wild.at(np.zeros((1, 2)))
    assert (east - BASE[0], north - BASE[1]) == pytest.approx(
        (0.6 * MOST_LOCAL_M, 0.8 * MOST_LOCAL_M)
    )


@pytest.mark.parametrize(("dtype", "nodata"), [("float32", np.nan), ("int16", -1), ("uint8", None)])
def test_a_raster_is_resampled_once(tmp_path, dtype, nodata):
    """Of a plane every shift is exact: its values say where they come from."""
    rows, columns = np.mgrid[:80, :100]
    plane = (columns + rows).astype(dtype)
    known = np.ones(plane.shape, bool)
    if nodata is not None:
        known[20:30, 40:60] = False
        plane[~known] = nodata
    source, path = tmp_path / "plane.tif", tmp_path / "bent.tif"
    with rasterio.open(
        source, "w", driver="GTiff", width=100, height=80, count=1, dtype=dtype, nodata=nodata,
        crs="EPSG:32617", transform=Affine(0.5, 0, 400_000, 0, -0.5, 4_000_000),
    ) as target:  # fmt: skip
        target.write(plane, 1)
        target.scales = (0.01,)
    field = ShiftField(
        base=(2.0, 1.0), places=np.array([[400_027.0, 3_999_981.0]]),
        weights=np.array([[1.5, -1.0]]), length_m=40.0,
    )  # fmt: skip
    write_bent(source, path, field, CRS.from_epsg(32617), {"REGISTRATION": "bent"})
    with rasterio.open(path) as bent:
        found, valid = bent.read(1).astype(float), bent.read_masks(1) > 0
        assert bent.dtypes == (dtype,)
        assert bent.scales == (0.01,)
        assert bent.tags()["REGISTRATION"] == "bent"
        x, y = bent.transform * (columns + 0.5, rows + 0.5)
    east, north = field.at(np.stack([x.ravel(), y.ravel()], axis=1)).T
    true = ((x.ravel() - east - 400_000) - (y.ravel() - north - 4_000_000)) / 0.5 - 1
    inside = valid & (np.abs(found - true.reshape(80, 100)) < np.inf)
    inner = (slice(8, -8), slice(8, -8))
    error = np.abs(found - true.reshape(80, 100))[inner]
    # Whole numbers are rounded; between knots of the field it is interpolated.
    limit = 0.1 if dtype == "float32" else 0.6
    assert (error[inside[inner]] < limit).mean() > (0.97 if nodata is not None else 0.999)
    assert valid[inner].mean() > (0.9 if nodata is not None else 0.999)
    assert not valid.all(), "what comes in beyond an edge is not known"
    if nodata is not None:
        assert (~valid[inner]).sum() == pytest.approx((~known).sum(), abs=40)
