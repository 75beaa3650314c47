"""A pixel has its true size on the ground in every CRS; pyproj's geodesics are the oracle."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from small_scenes import PLACES, Place, degrees

from geo.errors import GridError
from geo.grid import Grid
from geo.ground import crs_words, ground_pixel_m, keeps_metres, local_utm, model_grid

each_place = pytest.mark.parametrize(
    "place", [place for place in PLACES if place.crs], ids=lambda place: place.name
)


def grid_of(place):
    crs = CRS.from_string(place.crs) if place.crs else None
    return Grid(crs=crs, transform=place.transform, height=place.height, width=place.width)


def sides_on_the_ground(grid):
    """Geodesic length of the sides of the pixel at the centre [m]."""
    to_degrees = pyproj.Transformer.from_crs(grid.crs.to_wkt(), "EPSG:4326", always_xy=True)
    geod = pyproj.Geod(ellps="WGS84")
    row, column = grid.height // 2, grid.width // 2
    corner, right, below = (
        to_degrees.transform(*(grid.transform * (column + across, row + down)))
        for across, down in ((0, 0), (10, 0), (0, 10))
    )
    return geod.inv(*corner, *right)[2] / 10, geod.inv(*corner, *below)[2] / 10


@each_place
def test_a_pixel_has_its_geodesic_size(place):
    grid = grid_of(place)
    assert ground_pixel_m(grid) == pytest.approx(sides_on_the_ground(grid), rel=2e-4)


@each_place
def test_a_model_sees_true_metres(place):
    grid = model_grid(grid_of(place), 0.6)
    # UTM stretches by up to 0.1 %; a scene within one per cent is left as it is.
    assert sides_on_the_ground(grid) == pytest.approx((0.6, 0.6), rel=0.012)
    assert grid.is_north_up
    assert grid.crs == CRS.from_string(place.map_crs)


@each_place
def test_the_models_grid_covers_the_whole_scene_and_little_more(place):
    scene = grid_of(place)
    grid = model_grid(scene, 0.6)
    to_map = pyproj.Transformer.from_crs(scene.crs.to_wkt(), grid.crs.to_wkt(), always_xy=True)
    rows, columns = np.meshgrid([0, scene.height], np.linspace(0, scene.width, 20))
    x, y = to_map.transform(*scene.locate(rows.ravel(), columns.ravel()))
    west, south, east, north = grid.bounds
    assert west <= x.min() + 1e-6
    assert x.max() - 1e-6 <= east
    assert south <= y.min() + 1e-6
    assert y.max() - 1e-6 <= north
    assert x.min() - west < 0.61
    assert east - x.max() < 0.61
    assert y.min() - south < 0.61
    assert north - y.max() < 0.61


def test_web_mercator_metres_are_half_metres_at_sixty_degrees_north():
    x, y = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(25, 60)
    grid = Grid(
        crs=CRS.from_epsg(3857), transform=Affine(1, 0, x, 0, -1, y), height=100, width=100
    )  # fmt: skip
    assert ground_pixel_m(grid) == pytest.approx((0.5, 0.5), rel=0.005)


def test_a_us_survey_foot_is_a_third_of_a_metre():
    place = next(place for place in PLACES if place.crs == "EPSG:2263")
    assert ground_pixel_m(grid_of(place)) == pytest.approx((2 * 1200 / 3937,) * 2, rel=2e-4)


def test_a_plane_without_a_crs_is_in_metres():
    grid = Grid(crs=None, transform=Affine(0.1, 0, 0, 0, -0.1, 0), height=9, width=9)
    assert ground_pixel_m(grid) == (0.1, 0.1)


@pytest.mark.parametrize(
    ("crs", "longitude", "latitude", "kept"),
    [
        ("EPSG:32633", 15, 49, True),
        ("EPSG:27700", -1.5, 52, True),
        ("EPSG:3035", 10, 52, True),  # equal area, true to scale near its centre
        ("EPSG:2056", 8, 47, True),  # Swiss oblique Mercator
        ("EPSG:3857", 0, 0.01, False),
        ("EPSG:3857", 25, 60, False),
        ("EPSG:3395", 25, 0.01, False),
        ("EPSG:2263", -74, 40.8, False),  # feet
        ("EPSG:4326", 15, 49, False),
        ("EPSG:32633", 45, 49, False),  # far outside its zone
    ],
)
def test_a_crs_is_kept_if_its_metres_are_metres(crs, longitude, latitude, kept):
    assert keeps_metres(CRS.from_string(crs), longitude, latitude) is kept


@settings(max_examples=15)
@given(st.floats(-180, 180), st.floats(-79.9, 83.9))
def test_every_place_has_a_utm_zone_whose_metres_are_true(longitude, latitude):
    crs = local_utm(longitude, latitude)
    assert keeps_metres(crs, longitude, latitude)
    zone = pyproj.CRS.from_user_input(crs.to_wkt()).utm_zone
    # A place on the line between two zones lies in both; Norway and Svalbard have wider zones.
    west = (int(zone[:-1]) - 1) * 6 - 180
    assert abs((longitude - west - 3 + 180) % 360 - 180) <= 9
    assert zone.endswith("N" if latitude > 0 else "S") or latitude == 0


@pytest.mark.parametrize(
    ("longitude", "latitude", "code"),
    [(24.6, 60.4, 32635), (-71.2, -41.3, 32719), (15.0, 78.2, 32633),
     (0.0, 86.0, 32661), (0.0, -85.0, 32761), (179.99, 10.0, 32660), (-179.99, 10.0, 32601)],
)  # fmt: skip
def test_utm_zones_are_the_usual_ones(longitude, latitude, code):
    assert local_utm(longitude, latitude).to_epsg() == code


def test_a_scene_beyond_the_date_line_lies_where_it_lies():
    across, down = degrees(0.6, -17, east=True), degrees(0.6, -17)
    transform = Affine(across, 0, 180.01, 0, -down, -17)
    grid = Grid(crs=CRS.from_epsg(4326), transform=transform, height=50, width=60)
    assert model_grid(grid, 0.6).crs == CRS.from_epsg(32701)


def test_neighbouring_scenes_share_pixels():
    place = next(place for place in PLACES if place.name == "degrees, Finland")
    here = grid_of(place)
    there = here.part(37, 51, 60, 60)
    first, second = model_grid(here, 0.6), model_grid(there, 0.6)
    shift = (~first.transform * second.transform) * (0, 0)
    assert shift == pytest.approx(tuple(round(value) for value in shift), abs=1e-3)


@pytest.mark.parametrize("pixel", [0.5945, 0.6, 0.6055])
def test_pixels_within_one_per_cent_are_left_as_they_are(pixel):
    place = Place(
        name="", crs="EPSG:32633", map_crs="", transform=Affine(pixel, 0, 5e5, 0, -pixel, 5.4e6)
    )
    assert model_grid(grid_of(place), 0.6) == grid_of(place)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32633"])
def test_a_scene_outside_its_crs_is_refused(crs):
    transform = Affine(0.6, 0, 9e12, 0, -0.6, 9e12)
    grid = Grid(crs=CRS.from_string(crs), transform=transform, height=9, width=9)
    with pytest.raises(GridError, match=r"lie outside .*assign the right one"):
        model_grid(grid, 0.6)


def test_a_crs_that_lies_nowhere_on_earth_is_refused():
    local = CRS.from_wkt(
        'LOCAL_CS["Local Coordinates (m)",UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]'
    )
    grid = Grid(crs=local, transform=Affine(0.6, 0, 0, 0, -0.6, 9), height=9, width=9)
    with pytest.raises(GridError, match="Local Coordinates"):
        model_grid(grid, 0.6)


@pytest.mark.parametrize(
    ("crs", "words"),
    [
        (None, "no CRS"),
        (CRS.from_epsg(32617), "EPSG:32617"),
        (pyproj.CRS.from_epsg(4326), "EPSG:4326"),
        (CRS.from_proj4("+proj=tmerc +lon_0=15.3 +units=m"), "an unnamed Transverse Mercator CRS"),
    ],
)
def test_a_crs_is_named_in_a_few_words(crs, words):
    assert crs_words(crs) == words


def test_a_crs_that_only_has_a_name_is_called_by_it():
    wkt = CRS.from_proj4("+proj=tmerc +lon_0=15.3 +units=m").to_wkt()
    named = wkt.replace("unknown", "Survey of 2019", 1).replace("unnamed", "Survey of 2019", 1)
    assert crs_words(CRS.from_wkt(named)) == "Survey of 2019"
