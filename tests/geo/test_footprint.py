import math

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.crs import CRS
from shapely.geometry import Point, shape

from geo.footprint import Footprint, Ring, grid_footprint
from geo.grid import Grid


def grid(crs: str | None, transform: Affine, height: int = 100, width: int = 200) -> Grid:
    found = crs and CRS.from_user_input(crs)
    return Grid(crs=found, transform=transform, height=height, width=width)


def rings(footprint: Footprint) -> list[Ring]:
    coordinates = footprint.geometry["coordinates"]
    if footprint.geometry["type"] == "Polygon":
        coordinates = [coordinates]
    return [polygon[0] for polygon in coordinates]


def signed_area(ring: Ring) -> float:
    x, y = np.array(ring).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2


def test_geographic_grid_is_its_own_footprint() -> None:
    found = grid_footprint(grid("EPSG:4326", Affine(1e-5, 0, -82, 0, -1e-5, 29.7)))
    assert found.bbox == [-82, 29.699, -81.998, 29.7]
    corners = [[-82, 29.7], [-82, 29.699], [-81.998, 29.699], [-81.998, 29.7], [-82, 29.7]]
    assert found.geometry == {"type": "Polygon", "coordinates": [corners]}


@pytest.mark.parametrize(
    "transform",
    [
        Affine(0.6, 0, 404000, 0, -0.6, 3285000),
        Affine(0.6, 0, 404000, 0, 0.6, 3285000),
        Affine.translation(404000, 3285000) @ Affine.rotation(33) @ Affine.scale(0.6, -0.6),
    ],
    ids=["north-up", "south-up", "rotated"],
)
def test_corners_agree_with_proj_and_run_counter_clockwise(transform: Affine) -> None:
    found = grid_footprint(grid("EPSG:32617", transform))
    (ring,) = rings(found)
    assert ring[0] == ring[-1]
    assert signed_area(ring) > 0
    pixel_corners = np.array([(0, 0), (0, 100), (200, 100), (200, 0)])
    xs, ys = zip(*[transform @ tuple(corner) for corner in pixel_corners.tolist()], strict=True)
    longitudes, latitudes = Transformer.from_crs(32617, 4326, always_xy=True).transform(xs, ys)
    expected = {(round(x, 7), round(y, 7)) for x, y in zip(longitudes, latitudes, strict=True)}
    assert {tuple(point) for point in ring} == expected
    west, south, east, north = found.bbox
    assert (west, east) == pytest.approx((min(longitudes), max(longitudes)), abs=1e-6)
    assert (south, north) == pytest.approx((min(latitudes), max(latitudes)), abs=1e-6)


def test_long_sides_bend() -> None:
    found = grid_footprint(grid("EPSG:32633", Affine(1000, 0, 0, 0, -1000, 7.8e6), 1000, 1000))
    outline = shape(found.geometry)
    assert outline.is_valid
    to_globe = Transformer.from_crs(32633, 4326, always_xy=True)
    middle_of_top = Point(*to_globe.transform(500_000, 7.8e6))
    # The plain chord between the corners misses this point by more than a degree.
    assert outline.exterior.distance(middle_of_top) < 0.01


@pytest.mark.parametrize("column", [10, 100, 190])
def test_crossing_the_antimeridian_makes_two_parts(column: int) -> None:
    step = 1e-3
    transform = Affine(step, 0, 180 - column * step, 0, -step, -16)
    found = grid_footprint(grid("EPSG:4326", transform))
    assert found.geometry["type"] == "MultiPolygon"
    western, eastern = rings(found)
    assert all(signed_area(ring) > 0 for ring in (western, eastern))
    assert max(x for x, _ in western) == 180
    assert min(x for x, _ in eastern) == -180
    area = signed_area(western) + signed_area(eastern)
    assert area == pytest.approx(200 * 100 * step**2)
    assert found.bbox == pytest.approx(
        [180 - 0.001 * column, -16.1, -180 + 0.2 - 0.001 * column, -16]
    )


def test_crossing_in_a_projected_grid() -> None:
    found = grid_footprint(grid("EPSG:32701", Affine(1000, 0, 100_000, 0, -1000, 8.2e6)))
    assert found.geometry["type"] == "MultiPolygon"
    assert found.bbox[0] > 170
    assert found.bbox[2] < -170


@given(
    longitude=st.floats(-540, 540),
    latitude=st.floats(-80, 80),
    angle=st.floats(0, 360),
    size=st.floats(1e-4, 1),
)
def test_every_part_is_valid_and_inside_the_globe(
    longitude: float, latitude: float, angle: float, size: float
) -> None:
    middle = Affine.translation(longitude, latitude)
    transform = middle @ Affine.rotation(angle) @ Affine.scale(size / 200, -size / 200)
    found = grid_footprint(grid("EPSG:4326", transform))
    for ring in rings(found):
        assert all(-180 <= x <= 180 for x, _ in ring)
        assert signed_area(ring) >= 0
    total = sum(signed_area(ring) for ring in rings(found))
    assert total == pytest.approx(size * size / 2, rel=0.02)
    assert all(math.isfinite(number) for number in found.bbox)


def test_no_place_no_footprint() -> None:
    assert grid_footprint(grid(None, Affine.identity())) is None
    assert grid_footprint(grid('LOCAL_CS["here",UNIT["metre",1]]', Affine.identity())) is None


def test_a_grid_around_a_pole_has_none() -> None:
    transform = Affine(1000, 0, -100_000, 0, -1000, 50_000)
    assert grid_footprint(grid("EPSG:3031", transform)) is None
