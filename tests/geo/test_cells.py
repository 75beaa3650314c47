"""Cells are the same for everybody, cover every area, and are named so that they can be found."""

from __future__ import annotations

import time

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Point, box

from geo.cells import Cell, CellGrid
from geo.errors import GridError

SMALL = CellGrid(pixel_m=0.6, side_px=4096)


@st.composite
def cells(draw):
    return Cell(
        epsg=draw(st.sampled_from([32600, 32700])) + draw(st.integers(1, 60)),
        pixel_m=draw(st.one_of(st.sampled_from([0.6, 1.0, 0.5971, 10.0]), st.floats(0.01, 100))),
        side_px=draw(st.sampled_from([512, 4096, 32768])),
        column=draw(st.integers(-5, 10**6)),
        row=draw(st.integers(-5, 10**7)),
    )


@given(cells())
def test_an_id_gives_back_its_cell_and_is_fit_for_files_and_objects(cell):
    assert Cell.from_id(cell.id) == cell
    assert set(cell.id) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-")


def test_an_id_reads_as_documented():
    cell = Cell(epsg=32617, pixel_m=0.6, side_px=4096, column=120, row=1034)
    assert cell.id == "utm17n_0.6m_4096px_e120_n1034"
    whole = Cell(epsg=32701, pixel_m=1.0, side_px=512, column=1, row=2)
    assert whole.id == "utm01s_1m_512px_e1_n2"


@pytest.mark.parametrize(
    "text",
    [
        "", "utm17n", "utm17n_0.6m_4096px_e120_n1034 ", "../utm17n_0.6m_4096px_e120_n1034",
        "utm61n_0.6m_4096px_e120_n1034", "utm00n_0.6m_4096px_e120_n1034",
        "utm17n_0.60m_4096px_e120_n1034", "utm17n_0.6m_4000px_e120_n1034",
        "utm17n_0.6m_4096px_e0120_n1034", "utm17n_0m_4096px_e120_n1034",
        "utm17n_0.6m_4096px_e120_n-0", "utm17n_nanm_4096px_e120_n1",
    ],
)  # fmt: skip
def test_what_is_no_id_is_refused(text):
    with pytest.raises(GridError, match="is no id of a cell"):
        Cell.from_id(text)


def test_borders_lie_on_multiples_of_the_side_and_pixels_on_one_endless_grid():
    cell = Cell(epsg=32633, pixel_m=0.6, side_px=4096, column=203, row=2205)
    west, south, east, north = cell.grid.bounds
    np.testing.assert_allclose(
        (west, south, east, north),
        (203 * 2457.6, 2205 * 2457.6, 204 * 2457.6, 2206 * 2457.6), rtol=0, atol=1e-6,
    )  # fmt: skip
    row, column = cell.origin_px
    assert (row, column) == (-2206 * 4096, 203 * 4096)
    assert cell.grid.transform.c == column * 0.6
    assert cell.grid.transform.f == -row * 0.6


def test_a_footprint_is_the_ground_that_pyproj_finds():
    cell = Cell(epsg=32633, pixel_m=0.6, side_px=4096, column=203, row=2205)
    back = pyproj.Transformer.from_crs(32633, 4326, always_xy=True)
    west, south, east, north = cell.grid.bounds
    corners = [back.transform(x, y) for x in (west, east) for y in (south, north)]
    found = shapely.get_coordinates(cell.footprint)
    for corner in corners:
        assert np.abs(found - corner).max(axis=1).min() < 1e-6


areas = st.tuples(
    st.floats(-200, 200), st.floats(-79.9, 83.7), st.floats(0.001, 0.2), st.floats(0.001, 0.2)
)


@given(areas, st.integers(0, 2**32 - 1))
def test_every_point_of_an_area_lies_in_a_cell_of_its_zone(area, seed):
    west, south, width, height = area
    area = box(west, south, west + width, south + height)
    found = CellGrid(pixel_m=0.6, side_px=8192).cells_over(area)
    assert len(set(found)) == len(found)
    assert found == sorted(found)
    rng = np.random.default_rng(seed)
    for _ in range(5):
        longitude = west + width * rng.random()
        latitude = south + height * rng.random()
        longitude = (longitude + 180) % 360 - 180
        zone = int((longitude + 180) // 6) + 1
        epsg = (32600 if latitude >= 0 else 32700) + zone
        x, y = pyproj.Transformer.from_crs(4326, epsg, always_xy=True).transform(
            longitude, latitude
        )
        side = 0.6 * 8192
        home = (epsg, int(x // side), int(y // side))
        assert home in {(cell.epsg, cell.column, cell.row) for cell in found}


def test_each_cell_of_an_area_meets_it():
    area = Point(10.0, 50.0).buffer(0.2)
    found = SMALL.cells_over(area)
    assert all(cell.footprint.intersects(area) for cell in found)
    boxes = len(SMALL.cells_over(box(*area.bounds)))
    assert len(found) < 0.85 * boxes


def test_a_cell_is_the_same_whatever_the_area():
    one = set(SMALL.cells_over(box(9.9, 49.9, 10.2, 50.1)))
    other = set(SMALL.cells_over(box(10.0, 50.0, 10.4, 50.3)))
    both = set(SMALL.cells_over(box(10.0, 50.0, 10.2, 50.1)))
    assert both == one & other


def test_an_area_is_cut_at_zones_the_equator_and_the_antimeridian():
    across = SMALL.cells_over(box(5.99, -0.01, 6.01, 0.01))
    assert {cell.epsg for cell in across} == {32631, 32632, 32731, 32732}
    beyond = SMALL.cells_over(box(179.99, 10, 180.01, 10.02))
    assert {cell.epsg for cell in beyond} == {32660, 32601}
    cut = MultiPolygon([box(179.99, 10, 180, 10.02), box(-180, 10, -179.99, 10.02)])
    assert SMALL.cells_over(cut) == beyond


def test_an_area_that_is_a_cell_gives_that_cell_alone():
    cell = Cell(epsg=32633, pixel_m=1.0, side_px=1024, column=488, row=5300)
    inner = cell.footprint.buffer(-1e-7)
    assert CellGrid(pixel_m=1.0, side_px=1024).cells_over(inner) == [cell]


def test_an_area_that_ends_at_a_zone_has_no_cells_beyond():
    assert {cell.epsg for cell in SMALL.cells_over(box(5.9, 50, 6.0, 50.1))} == {32631}
    assert {cell.epsg for cell in SMALL.cells_over(box(7, -0.1, 7.1, 0.0))} == {32732}


@pytest.mark.parametrize("area", [box(0, 80, 1, 84.5), box(0, -80.5, 1, -79)])
def test_the_poles_are_refused(area):
    with pytest.raises(GridError, match="cells lie in UTM, from -80 to 84; cut it"):
        SMALL.cells_over(area)


def test_too_many_cells_are_refused_at_once():
    began = time.perf_counter()
    with pytest.raises(GridError, match="more than 1,000,000 cells"):
        CellGrid(pixel_m=0.01, side_px=512).cells_over(box(-20, 0, 40, 60))
    assert time.perf_counter() - began < 10


def test_hundred_thousand_cells_take_seconds():
    began = time.perf_counter()
    found = SMALL.cells_over(Point(15, 50).buffer(5.5))
    assert len(found) > 100_000
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize("sizes", [(0.6, 4000), (0.6, 256), (0.6, 65536), (0, 4096), (101, 512)])
def test_sizes_that_no_cell_has_are_refused(sizes):
    with pytest.raises(GridError, match="expected"):
        CellGrid(pixel_m=sizes[0], side_px=sizes[1])
    with pytest.raises(GridError, match="expected"):
        CellGrid(pixel_m=float("nan"))


def test_nothing_has_no_cells():
    assert SMALL.cells_over(shapely.Polygon()) == []
