"""Cutting and sewing lose nothing, whatever the size, the tiles, the overlap and the holes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import plans, plans_with_holes

from geo.errors import GridError
from geo.tiles import Mosaic, TilePlan, endless_axis, moved, plan_axis, plan_tiles

NOTHING = frozenset()


def surface(plan, seed=0):
    """Heights (height, width) with full mantissas."""
    return np.random.default_rng(seed).uniform(0, 60, (plan.height, plan.width)).astype(np.float32)


def cut(heights, plan, row, column):
    """One tile of a map, extended with what never belongs into it."""
    down, across = plan.rows[row], plan.columns[column]
    tile = np.full((down.stop - down.start, across.stop - across.start), -99, np.float32)
    part = heights[down.start : down.stop, across.start : across.stop]
    tile[: part.shape[0], : part.shape[1]] = part
    return tile


def sew(plan, tile_of, left_out=NOTHING, rows=None, mosaic=None):
    """Sew the tiles that ``tile_of(row, column)`` gives."""
    mosaic = mosaic or Mosaic(plan)
    parts = [
        mosaic.add_row(
            row,
            (
                (column, tile_of(row, column))
                for column in range(len(plan.columns))
                if (row, column) not in left_out
            ),
        ).copy()
        for row in (range(len(plan.rows)) if rows is None else rows)
    ]
    return np.concatenate(parts)


@given(plans())
def test_sewing_what_was_cut_gives_the_same_map(plan):
    heights = surface(plan)
    np.testing.assert_array_equal(sew(plan, lambda *at: cut(heights, plan, *at)), heights)


@given(plans_with_holes())
def test_tiles_left_out_leave_holes_only_where_no_other_tile_writes(case):
    plan, left_out = case
    heights = surface(plan)
    written = np.zeros(heights.shape, bool)
    for row, down in enumerate(plan.rows):
        for column, across in enumerate(plan.columns):
            if (row, column) not in left_out:
                written[down.written, across.written] = True
    sewn = sew(plan, lambda *at: cut(heights, plan, *at), left_out)
    np.testing.assert_array_equal(sewn, np.where(written, heights, np.nan))


@given(plans(), st.data())
def test_a_mosaic_goes_on_from_its_carry_as_if_never_stopped(plan, data):
    stop = data.draw(st.integers(0, len(plan.rows)))
    # Tiles that disagree, so that the seams count.
    side = plan.rows[0].stop - plan.rows[0].start, plan.columns[0].stop - plan.columns[0].start
    values = np.random.default_rng(0).uniform(0, 60, (len(plan.rows), len(plan.columns), *side))
    tiles = values.astype(np.float32)
    whole = sew(plan, lambda *at: tiles[at])
    first = Mosaic(plan)
    parts = [np.empty((0, plan.width), np.float32)]
    if stop:
        parts.append(sew(plan, lambda *at: tiles[at], rows=range(stop), mosaic=first))
    carry = None if first.carry is None or not first.carry.size else first.carry.copy()
    if stop < len(plan.rows):
        rest = range(stop, len(plan.rows))
        parts.append(sew(plan, lambda *at: tiles[at], rows=rest, mosaic=Mosaic(plan, carry)))
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@given(plans())
def test_the_sewn_map_lies_between_the_tiles_it_is_made_of(plan):
    tiles = {
        (row, column): np.float32(10 + (row + column) % 3)
        for row in range(len(plan.rows))
        for column in range(len(plan.columns))
    }
    sewn = sew(plan, lambda *at: np.full_like(cut(surface(plan), plan, *at), tiles[at]))
    assert sewn.shape == (plan.height, plan.width)
    assert sewn.min() >= min(tiles.values())
    assert sewn.max() <= max(tiles.values())


def test_a_seam_is_a_straight_ramp_from_one_tile_to_the_next():
    plan = plan_tiles(10, 48, tile=32, overlap=16)
    sewn = sew(plan, lambda _, column: np.full((32, 32), 100.0 * column, np.float32))
    low, high = plan.columns[1].rise
    width = high - low
    expected = np.interp(np.arange(48) + 0.5, [low, high], [0, 100])
    np.testing.assert_allclose(sewn, np.tile(expected, (10, 1)), atol=1e-4)
    assert width >= 8


@given(plans())
def test_a_plan_covers_every_pixel_in_order_and_seams_meet(plan):
    for spans, length in ((plan.rows, plan.height), (plan.columns, plan.width)):
        assert spans[0].rise == (0, 0)
        assert spans[-1].fall == (length, length)
        assert len({span.stop - span.start for span in spans}) == 1
        for before, after in pairwise(spans):
            assert before.start < after.start
            assert before.fall == after.rise
            assert before.stop - after.start >= 0
            assert after.start <= after.rise[0] <= after.rise[1] <= before.stop
        for span in spans:
            assert span.rise[1] <= span.fall[0]
            assert span.start >= 0
            assert span.used == slice(
                span.written.start - span.start, span.written.stop - span.start
            )
        covered = sum(span.fall[1] - span.rise[1] for span in spans)
        assert covered == length


@given(plans())
def test_no_tile_lies_outside_the_map(plan):
    for spans, length in ((plan.rows, plan.height), (plan.columns, plan.width)):
        if len(spans) > 1:
            assert spans[-1].stop == length
        else:
            assert spans[0].start == 0
            assert spans[0].stop >= length


@given(st.integers(1, 400), st.integers(1, 12), st.sampled_from([1, 4, 8]), st.data())
def test_tiles_are_multiples_and_overlap_at_least_as_asked(length, count, multiple, data):
    tile = count * multiple
    overlap = data.draw(st.integers(0, tile // 2))
    spans = plan_axis(length, tile, overlap, multiple)
    assert all((span.stop - span.start) % multiple == 0 for span in spans)
    overlaps = [before.stop - after.start for before, after in pairwise(spans)]
    assert all(found >= overlap for found in overlaps)
    # One tile fewer could not do it.
    if len(spans) > 1:
        assert (len(spans) - 1) * (tile - overlap) + overlap < length


@given(st.integers(65, 400), st.integers(8, 32))
def test_the_outer_quarter_of_an_overlap_is_never_used(length, overlap):
    """Where a tile ends it sees no neighbours: a model of small radius then needs no borders."""
    spans = plan_axis(length, 64, overlap, 32)
    for before, after in pairwise(spans):
        assert after.rise[0] - after.start >= overlap // 4
        assert before.stop - before.fall[1] >= overlap // 4


def test_a_plan_depends_on_nothing_but_its_sizes():
    assert plan_tiles(300, 500, tile=64, overlap=16) == plan_tiles(300, 500, tile=64, overlap=16)


def test_a_map_smaller_than_a_tile_is_one_tile_of_a_smaller_multiple():
    plan = plan_tiles(20, 33, tile=64, overlap=16, multiple=32)
    assert plan.count == 1
    assert (plan.rows[0].stop, plan.columns[0].stop) == (32, 64)
    assert plan.pixels == 32 * 64


def test_one_pixel_over_a_tile_takes_a_second_tile():
    assert len(plan_axis(64, 64, 16, 32)) == 1
    assert len(plan_axis(65, 64, 16, 32)) == 2


@pytest.mark.parametrize(
    ("tile", "overlap", "said"),
    [
        (60, 16, "multiples of 32"),
        (0, 0, "multiples of 32"),
        (64, 33, "0 to 32"),
        (64, -1, "0 to 32"),
    ],
)
def test_tiles_that_cannot_be_planned_are_refused(tile, overlap, said):
    with pytest.raises(GridError, match=said):
        plan_tiles(100, 100, tile=tile, overlap=overlap, multiple=32)


@given(st.integers(-300, 300), st.integers(1, 200), st.integers(1, 200), st.data())
def test_two_windows_of_an_endless_axis_have_the_same_tiles_where_they_meet(
    start, length, more, data
):
    tile = data.draw(st.integers(3, 40))
    overlap = data.draw(st.integers(0, tile // 2))
    small = endless_axis(range(start, start + length), tile, overlap)
    large = endless_axis(range(start - more, start + length + more), tile, overlap)
    assert set(small) <= set(large)
    # Those that are left out of the small window write nothing in it.
    for span in set(large) - set(small):
        assert span.fall[1] <= start or span.rise[0] >= start + length


@given(st.integers(-300, 300), st.integers(1, 200), st.data())
def test_tiles_of_an_endless_axis_sew_back_what_was_cut(start, length, data):
    tile = data.draw(st.integers(3, 40))
    spans = endless_axis(range(start, start + length), tile, data.draw(st.integers(0, tile // 2)))
    first = spans[0].start
    down = moved(spans, -first)
    plan = TilePlan(
        height=down[-1].stop, width=tile, rows=down, columns=plan_axis(tile, tile, 0, 1)
    )
    heights = surface(plan)
    sewn = sew(plan, lambda *at: cut(heights, plan, *at))
    top = down[0].rise[0]
    kept = slice(start - first - top, start + length - first - top)
    assert kept.start >= 0
    np.testing.assert_array_equal(sewn[kept], heights[start - first : start + length - first])
