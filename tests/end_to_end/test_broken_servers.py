"""Servers that fail, stall and break off: a region is undisturbed, or says what it lacks."""

from __future__ import annotations

import json
import time

import pytest
from small_products import counts_of, refuse_differences
from small_watch import watching

TRIES = ("--retries", "2")
FAR_EAST = "cells/utm33n_0.6m_512px_e836_n9033"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "faults",
    [
        ["503", None, "503", None, None, None, "503"],
        ["cut", None, None, None, None, "cut"],
        [None, None, None, "mute", None, "stall"],
    ],
    ids=["busy", "cut", "silent"],
)
def test_faults_that_pass_leave_no_trace(place, output, here, faults):
    for name in ("old.tif", "new.tif"):
        place.server.faults[name] = list(faults)
    with watching(output):
        code, said = here(*place.arguments(output, *TRIES))
    assert code == 0, said
    assert len(place.server.failed) == 2 * sum(fault is not None for fault in faults)
    refuse_differences(output, place.expected)


@pytest.mark.usefixtures("quick")
def test_cells_that_fail_are_told_and_made_when_the_server_is_mended(place, output, here):
    place.server.always["new.tif"] = "503"
    with watching(output) as watch:
        code, said = here(*place.arguments(output, "--retries", "0"))
    assert code == 1
    lines = [line for line in said.splitlines() if line.startswith("failed ")]
    assert len(lines) == 4
    assert all("new.tif cannot be read: the server answers 503" in line for line in lines)
    assert "Traceback" not in said
    assert counts_of(output) == {"done": 2, "failed": 4}
    report = json.loads((output / "report.json").read_text())
    assert sorted(report["failed"]) == sorted(line.split()[1].rstrip(":") for line in lines)
    assert not any(name.startswith(FAR_EAST) for name in watch.names())

    stand = {path: path.stat().st_mtime_ns for path in output.glob("cells/*/height.tif")}
    place.server.always.clear()
    with watching(output):
        assert here(*place.arguments(output))[0] == 0
    assert counts_of(output) == {"done": 4, "kept": 2}
    assert stand == {path: path.stat().st_mtime_ns for path in stand}
    refuse_differences(output, place.expected)


@pytest.mark.usefixtures("quick")
def test_a_file_that_is_not_there_is_given_up_at_once(place, output, here):
    place.server.always["new.tif"] = "404"
    began = time.monotonic()
    code, said = here(*place.arguments(output, *TRIES))
    assert code == 1
    assert "the server answers 404" in said
    assert counts_of(output) == {"done": 2, "failed": 4}
    # Of each cell one request by GDAL and one that asks why: it is not tried again.
    assert place.server.asked.count("new.tif") <= 3 * 4
    assert time.monotonic() - began < 60


@pytest.mark.usefixtures("quick")
def test_an_asset_that_stalls_for_good_holds_a_run_for_a_bounded_time(place, output, here):
    place.server.always["new.tif"] = "mute"
    code, said = here(*place.arguments(output, "--retries", "0"))
    assert code == 1
    assert "the server cannot be reached (timed out)" in said
    assert counts_of(output) == {"done": 2, "failed": 4}
    # The silences that were waited through: two of GDAL and one of ours a cell.
    assert len(place.server.failed) <= 3 * 4
