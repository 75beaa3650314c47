"""An unfinished map survives a kill, and only what began it may go on with it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from geo.errors import ConnectionLostError, MapFileError, ResumeError, SceneError
from geo.grid import Grid
from geo.height_maps.partial_map import open_partial_map, partial_folder
from geo.height_maps.raw_raster import RawRaster

GRID = Grid(
    crs=CRS.from_epsg(32633), transform=Affine(0.6, 0, 5e5, 0, -0.6, 4e6), height=9, width=4
)
SETTINGS = {"model": "small 1", "stretch": [0.0, 255.0], "bands": None, "overlap": 16}
ROWS = np.arange(36, dtype=np.float32).reshape(9, 4)
CARRY = np.full((2, 4), 7.5, np.float32)


@pytest.fixture
def output(tmp_path):
    return tmp_path / "map.tif"


def run(output, error, *, rows):
    """Begin a map, write some rows and fail."""
    with open_partial_map(output, GRID, "float32", SETTINGS, resume=False) as partial:
        if rows:
            partial.append(ROWS[:rows], CARRY)
        raise error


def begin(output):
    """Begin a map and be interrupted."""
    with pytest.raises(KeyboardInterrupt):
        run(output, KeyboardInterrupt(), rows=3)


def resumed(output, **changes):
    return open_partial_map(output, GRID, "float32", SETTINGS | changes, resume=True)


def test_an_interrupted_map_goes_on_where_it_stopped(output):
    begin(output)
    with resumed(output) as partial:
        assert (partial.done, partial.rows) == (1, 3)
        np.testing.assert_array_equal(partial.carry, CARRY)
        partial.append(ROWS[3:], None)
        np.testing.assert_array_equal(partial.raster.read(0, 9), ROWS)
    assert not partial_folder(output).exists()


def test_rows_after_the_last_state_are_written_again(output):
    """A kill between the rows and the state leaves rows that the state does not know of."""
    begin(output)
    data = partial_folder(output) / "heights.raw"
    data.write_bytes(data.read_bytes() + b"half a row")
    with resumed(output) as partial:
        partial.append(ROWS[3:], None)
        np.testing.assert_array_equal(partial.raster.read(0, 9), ROWS)


def test_a_half_written_state_is_not_believed(output):
    begin(output)
    (partial_folder(output) / "state.npz.new").write_bytes(b"half")
    with resumed(output) as partial:
        assert partial.done == 1


def fail(output, error, *, rows):
    with pytest.raises(type(error)):
        run(output, error, rows=rows)


@pytest.mark.parametrize("error", [SceneError("truncated"), MapFileError("full")])
def test_a_failure_that_would_come_again_leaves_nothing(output, error):
    fail(output, error, rows=3)
    assert list(output.parent.iterdir()) == []


@pytest.mark.parametrize("error", [ConnectionLostError("away"), MemoryError(), KeyboardInterrupt()])
def test_after_a_failure_that_may_pass_the_map_can_go_on(output, error):
    fail(output, error, rows=3)
    with resumed(output) as partial:
        assert partial.rows == 3


@pytest.mark.parametrize("error", [ConnectionLostError("away"), MemoryError(), KeyboardInterrupt()])
def test_a_run_that_ends_before_its_first_rows_leaves_nothing(output, error):
    fail(output, error, rows=0)
    assert list(output.parent.iterdir()) == []


def test_a_finished_map_leaves_only_what_was_moved_away(output):
    with open_partial_map(output, GRID, "float32", SETTINGS, resume=False) as partial:
        partial.append(ROWS, None)
    assert list(output.parent.iterdir()) == []


def test_without_resume_a_map_begins_anew(output):
    begin(output)
    with open_partial_map(output, GRID, "float32", SETTINGS, resume=False) as partial:
        assert (partial.done, partial.rows, partial.carry) == (0, 0, None)
        assert not partial.raster.data.exists()


def test_resume_with_nothing_to_resume_begins(output):
    with resumed(output) as partial:
        assert partial.done == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "small 2"}, "model was small 1, now it is small 2"),
        ({"stretch": [0.0, 200.0]}, r"stretch was 0\.0,255\.0, now it is 0\.0,200\.0"),
        ({"bands": [3, 2, 1]}, "bands was not set, now it is 3,2,1"),
        ({"new": 1}, "new was not set, now it is 1"),
    ],
)
def test_a_change_is_refused_by_name_and_the_state_kept(output, changes, said):
    begin(output)
    with pytest.raises(ResumeError, match=said), resumed(output, **changes):
        pass
    with resumed(output) as partial:
        assert partial.done == 1


def test_tuples_and_lists_are_the_same_setting(output):
    begin(output)
    with resumed(output, stretch=(0.0, 255.0)) as partial:
        assert partial.done == 1


@pytest.mark.parametrize("damage", [b"", b"no zip at all", None])
def test_a_broken_state_is_refused_with_what_to_do(output, damage):
    begin(output)
    state = partial_folder(output) / "state.npz"
    state.write_bytes(state.read_bytes()[:-30] if damage is None else damage)
    with pytest.raises(ResumeError, match="run again without --resume") as error:
        resumed(output).__enter__()
    assert "\n" not in str(error.value)


def test_a_state_of_another_version_is_refused(output):
    begin(output)
    facts = json.dumps({"version": 0})
    np.savez(partial_folder(output) / "state.npz", facts=np.array(facts), carry=CARRY)
    with pytest.raises(ResumeError, match="another version"):
        resumed(output).__enter__()


def test_a_second_run_of_the_same_map_is_refused_and_the_first_goes_on(output):
    with open_partial_map(output, GRID, "float32", SETTINGS, resume=False) as partial:
        partial.append(ROWS[:3], CARRY)
        for resume in (False, True):
            with (
                pytest.raises(MapFileError, match="another run is writing"),
                open_partial_map(output, GRID, "float32", SETTINGS, resume=resume),
            ):
                pass
        partial.append(ROWS[3:], None)
        np.testing.assert_array_equal(partial.raster.read(0, 9), ROWS)


def test_rows_that_the_disk_does_not_take_are_one_line(output, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RawRaster, "write", full)
    with pytest.raises(MapFileError, match=r"No space left on device.*make room"):
        run(output, AssertionError(), rows=3)
    assert list(output.parent.iterdir()) == []
