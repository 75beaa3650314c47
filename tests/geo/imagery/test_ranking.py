"""Which image wins: by date, by cloud, by nearness to a date, and always the same one."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from shapely.affinity import translate
from shapely.geometry import box

from geo.cells import Cell
from geo.imagery.errors import PreferenceError
from geo.imagery.image import ColourSource, Image
from geo.imagery.ranking import Preference, ranked

CELL = Cell(epsg=32633, pixel_m=0.6, side_px=4096, column=203, row=2205)
WEST, SOUTH, EAST, NORTH = CELL.footprint.bounds
WHOLE = box(WEST, SOUTH, EAST, NORTH).buffer(0.01)
PART = box(WEST - 0.01, SOUTH - 0.01, (WEST + EAST) / 2, NORTH + 0.01)
START = datetime(2020, 1, 1, tzinfo=UTC)


def image(name, footprint=WHOLE, day=0, cloud=None):
    acquired = None if day is None else START + timedelta(days=day)
    sources = (ColourSource(f"{name}.tif", None),)
    return Image(
        id=name, footprint=footprint, acquired=acquired, cloud=cloud, sources=sources,
        link=name, identity={},
    )  # fmt: skip


def names(images, preference=None):
    shuffled = list(images)
    random.Random(1).shuffle(shuffled)  # noqa: S311 - no secret
    found = [each.id for each in ranked(shuffled, CELL, preference or Preference())]
    assert found == [each.id for each in ranked(images, CELL, preference or Preference())]
    return found


def test_the_newest_comes_first_and_what_has_no_date_last():
    images = [image("old", day=0), image("none", day=None), image("new", day=9)]
    assert names(images) == ["new", "old", "none"]


def test_images_that_cover_the_whole_cell_come_before_those_that_cover_a_part():
    images = [image("part", PART, day=9), image("whole", day=0), image("other", PART, day=10)]
    assert names(images) == ["whole", "other", "part"]


def test_a_footprint_that_is_the_cell_covers_it():
    images = [image("exact", CELL.footprint, day=0), image("part", PART, day=5)]
    assert names(images) == ["exact", "part"]


def test_the_least_cloud_comes_first_then_the_newest():
    images = [
        image("cloudy", cloud=40, day=9), image("clear", cloud=0, day=1),
        image("clear too", cloud=0, day=2), image("unknown", day=20),
    ]  # fmt: skip
    assert names(images, Preference(by="cloud")) == ["clear too", "clear", "cloudy", "unknown"]


def test_the_nearest_date_comes_first_whatever_side_it_is_on():
    images = [image("before", day=4), image("after", day=8), image("far", day=90)]
    nearest = Preference(by="nearest", date=START + timedelta(days=7))
    assert names([*images, image("none", day=None)], nearest) == ["after", "before", "far", "none"]
    between = Preference(by="nearest", date=START + timedelta(days=6))
    assert names(images, between) == ["after", "before", "far"]


def test_ties_are_broken_by_id():
    assert names([image("b"), image("a"), image("c")]) == ["a", "b", "c"]


def test_images_elsewhere_change_nothing():
    away = image("away", translate(WHOLE, 1), day=99)
    beside = image("beside", box(EAST + 1e-4, SOUTH, EAST + 1, NORTH), day=99)
    assert names([away, image("here"), beside]) == ["here"]
    assert names([away]) == []
    assert names([]) == []


def test_a_date_without_a_zone_is_utc():
    naive = datetime(2020, 1, 8)  # noqa: DTZ001 - what is tested
    images = [image("near", day=6), image("far", day=0)]
    assert names(images, Preference(by="nearest", date=naive)) == ["near", "far"]


@pytest.mark.parametrize(
    "choices", [{"by": "best"}, {"by": "nearest"}, {"by": "newest", "date": START}]
)
def test_what_is_no_preference_is_refused(choices):
    with pytest.raises(PreferenceError, match="images preferred by"):
        Preference(**choices)
