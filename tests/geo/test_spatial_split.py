"""Folds by blocks of ground keep overlapping plots together."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.spatial_split import PlotBox, ground_blocks, leave_one_out, spatial_folds


def square(left: float, bottom: float, side: float = 20, site: str = "A") -> PlotBox:
    return PlotBox(site=site, left=left, bottom=bottom, right=left + side, top=bottom + side)


boxes_of_ground = st.lists(
    st.builds(
        square,
        left=st.integers(0, 300),
        bottom=st.integers(0, 300),
        side=st.integers(1, 60),
        site=st.sampled_from(["A", "B"]),
    ),
    max_size=40,
)


def test_boxes_that_overlap_are_one_block():
    assert ground_blocks([square(0, 0), square(100, 0), square(10, 10)]) == [0, 1, 0]


def test_a_chain_of_overlaps_is_one_block():
    assert ground_blocks([square(0, 0), square(36, 0), square(18, 0)]) == [0, 0, 0]


def test_boxes_that_only_touch_are_two_blocks_until_there_is_a_guard():
    touching = [square(0, 0), square(20, 0)]
    assert ground_blocks(touching) == [0, 1]
    assert ground_blocks(touching, guard=0.1) == [0, 0]


def test_a_guard_reaches_as_far_as_it_says():
    apart = [square(0, 0), square(29, 0)]
    assert ground_blocks(apart, guard=9) == [0, 1]
    assert ground_blocks(apart, guard=10) == [0, 0]


def test_sites_do_not_share_ground():
    assert ground_blocks([square(0, 0), square(0, 0, site="B")], guard=5) == [0, 1]


def test_folds_hold_about_the_same_area_of_every_site():
    boxes = [square(100 * i, 0, site=site) for site in "AB" for i in range(25)]
    folds = spatial_folds(boxes, folds=5)
    for site in "AB":
        of_site = [fold for fold, box in zip(folds, boxes, strict=True) if box.site == site]
        assert set(Counter(of_site).values()) == {5}


def test_the_same_seed_gives_the_same_folds_and_another_seed_others():
    boxes = [square(100 * i, 0) for i in range(30)]
    assert spatial_folds(boxes, seed=3) == spatial_folds(boxes, seed=3)
    assert spatial_folds(boxes, seed=3) != spatial_folds(boxes, seed=4)


def test_folds_that_cannot_be_filled_are_refused():
    with pytest.raises(ValueError, match="2 separate blocks of ground for 5 folds"):
        spatial_folds([square(0, 0), square(100, 0)])
    with pytest.raises(ValueError, match="expected at least 2"):
        spatial_folds([square(0, 0)], folds=1)


def test_a_box_without_ground_is_refused():
    with pytest.raises(ValueError, match="left < right"):
        PlotBox(site="A", left=1, bottom=0, right=1, top=1)


def test_a_negative_guard_is_refused():
    with pytest.raises(ValueError, match="guard distance of -1"):
        ground_blocks([square(0, 0)], guard=-1)


def test_leaving_one_site_out_holds_out_each_plot_once():
    assert leave_one_out(["B", "A", "B"]) == {"A": [1], "B": [0, 2]}


@given(
    boxes=boxes_of_ground, guard=st.integers(0, 30), folds=st.integers(2, 5), seed=st.integers(0, 9)
)
def test_no_two_near_boxes_are_in_different_folds(boxes, guard, folds, seed):
    if len(set(ground_blocks(boxes, guard=guard))) < folds:
        return
    dealt = spatial_folds(boxes, folds=folds, guard=guard, seed=seed)
    assert len(dealt) == len(boxes)
    assert all(0 <= fold < folds for fold in dealt)
    for one, fold_of_one in zip(boxes, dealt, strict=True):
        for other, fold_of_other in zip(boxes, dealt, strict=True):
            if one.is_near(other, guard):
                assert fold_of_one == fold_of_other
