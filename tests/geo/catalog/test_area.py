"""The ground of a search: boxes, files in any CRS, the antimeridian, and what has no ground."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import LineString, Point, Polygon, box

from geo.catalog.area import MOST_POINTS, equal_area_m2, read_area, simplified
from geo.catalog.errors import CatalogError


def geodesic_m2(geometry):
    """Return an area by geodesics, another way than any projection."""
    geod = pyproj.Geod(ellps="WGS84")
    fine = shapely.segmentize(geometry, 0.01)
    return abs(geod.geometry_area_perimeter(shapely.orient_polygons(fine))[0])


def save(path, geometries, crs):
    gpd.GeoDataFrame(geometry=geometries, crs=crs).to_file(path)
    return str(path)


def test_a_box_is_read():
    area = read_area("10,50,10.5,51")
    assert area.geometry.equals(box(10, 50, 10.5, 51))
    assert area.name == "10,50,10.5,51"


def test_a_box_over_the_antimeridian_is_cut():
    area = read_area("179,-10,-178,-9")
    assert area.geometry.equals(box(179, -10, 180, -9).union(box(-180, -10, -178, -9)))


@pytest.mark.parametrize(
    "text",
    ["10,51,11,50", "10,50,10,51", "200,0,201,1", "0,80,1,91", "a,b,c,d", "nan,0,1,1", "1,2,3",
     "nowhere.gpkg", ""],
)  # fmt: skip
def test_what_is_no_area_gives_one_line(text):
    with pytest.raises(CatalogError, match="--area") as refusal:
        read_area(text)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg"])
def test_polygons_of_a_file_are_united(tmp_path, suffix):
    parts = [box(10, 50, 10.2, 50.1), box(10.1, 50, 10.3, 50.1), Point(0, 0)]
    area = read_area(save(tmp_path / f"area{suffix}", parts, "EPSG:4326"))
    assert area.geometry.equals(box(10, 50, 10.3, 50.1))
    assert area.name == f"area{suffix}"


def test_geoparquet_is_read(tmp_path):
    path = tmp_path / "area.parquet"
    gpd.GeoDataFrame(geometry=[box(10, 50, 11, 51)], crs="EPSG:4326").to_parquet(path)
    assert read_area(str(path)).geometry.equals(box(10, 50, 11, 51))


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:3857", "EPSG:2056", "EPSG:4258"])
def test_another_crs_is_the_same_ground(tmp_path, crs):
    wide = shapely.segmentize(box(7, 46, 8, 47), 0.01)
    moved = gpd.GeoSeries([wide], crs="EPSG:4326").to_crs(crs)
    area = read_area(save(tmp_path / "area.gpkg", moved, crs))
    assert area.geometry.symmetric_difference(wide).area < 1e-6
    assert area.km2 * 1e6 == pytest.approx(geodesic_m2(wide), rel=1e-5)


def test_a_projected_area_over_the_antimeridian_is_cut(tmp_path):
    square = box(700_000, 8_000_000, 1_000_000, 8_300_000)  # UTM 1 south starts at -180
    area = read_area(
        save(tmp_path / "fiji.gpkg", [shapely.affinity.translate(square, -600_000)], 32701)
    )
    assert area.geometry.bounds[0] == -180
    assert area.geometry.bounds[2] == 180
    assert area.km2 == pytest.approx(300 * 300, rel=0.01)
    assert len(shapely.get_parts(area.geometry)) == 2


def test_longitudes_beyond_180_are_turned_round(tmp_path):
    area = read_area(save(tmp_path / "area.gpkg", [box(179, 0, 181, 1)], "EPSG:4326"))
    assert area.geometry.equals(box(179, 0, 180, 1).union(box(-180, 0, -179, 1)))


@pytest.mark.parametrize(
    ("geometries", "crs", "reason"),
    [
        ([Point(10, 50)], "EPSG:4326", "no ground"),
        ([LineString([(10, 50), (11, 51)])], "EPSG:4326", "no ground"),
        ([Polygon()], "EPSG:4326", "no ground"),
        ([box(0, 0, 1, 1)], None, "no CRS"),
        ([box(-1e6, -1e6, 1e6, 1e6)], "EPSG:3031", "pole"),
        ([box(1e9, 1e9, 2e9, 2e9)], "EPSG:2056", "CRS"),
    ],
)
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_a_file_without_ground_is_refused(tmp_path, geometries, crs, reason):
    path = save(tmp_path / "area.gpkg", geometries, crs)
    with pytest.raises(CatalogError, match=reason):
        read_area(path)


def test_a_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "area.gpkg"
    path.write_text("nothing")
    with pytest.raises(CatalogError, match="cannot be read"):
        read_area(str(path))


@given(st.floats(-170, 170), st.floats(-80, 79), st.floats(0.001, 5), st.floats(0.001, 5))
def test_ground_is_measured_as_geodesics_do(west, south, width, height):
    ground = box(west, south, west + width, south + height)
    assert equal_area_m2(ground) == pytest.approx(geodesic_m2(ground), rel=1e-4)


@given(st.integers(0, 10_000), st.integers(100, 500))
def test_an_outline_for_a_request_is_short_and_holds_the_area(seed, points):
    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(0, 2 * np.pi, points))
    radii = random.uniform(0.2, 1, points)
    centre = random.uniform([-179.5, -80], [179.5, 80])
    star = Polygon(np.column_stack([radii * np.cos(angles), radii * np.sin(angles)]) + centre)
    star = shapely.make_valid(star).intersection(box(-180, -90, 180, 90))
    held = simplified(star)
    assert shapely.get_num_coordinates(held) <= MOST_POINTS
    assert star.difference(held).area < 1e-12
