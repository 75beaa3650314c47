"""Workers and clients are killed in the middle: the undisturbed region comes out at last."""

from __future__ import annotations

import os
import signal
import sys

import psutil
import pytest
from dask.distributed import LocalCluster
from small_products import (
    counts_of,
    ended,
    owner_of,
    refuse_differences,
    start_map,
    until,
)
from small_watch import watching


def made_in(output):
    """Return the cells that are whole."""
    return list(output.glob("cells/*/item.json"))


def leftovers(output):
    """Return what of a run is left in the folder where cells are made."""
    return list(output.glob(".making/*"))


@pytest.mark.slow
def test_a_worker_that_is_killed_in_the_middle_leaves_no_trace(place, output):
    with watching(output), place.server.gate("new.tif", lambda: made_in(output)) as gate:
        run = start_map(*place.arguments(output, "--workers", "2"))
        until(gate.reached.is_set, run)
        workers = psutil.Process(run.pid).children(recursive=True)
        victim = until(lambda: owner_of(gate.ports[0], workers), run)
        victim.send_signal(signal.SIGKILL)
        psutil.wait_procs([victim], timeout=30)
        gate.open.set()
        code, _, said = ended(run)
    assert code == 0, said
    # The worker's nanny may not come to say it before the run ends; never more than a line.
    assert said.count("killed by signal 9") <= 1
    assert "Traceback" not in said
    # A cell that was whole but not reported when its worker died is kept when it is tried again.
    counts = counts_of(output)
    assert counts.pop("kept", 0) + counts.pop("done") == 6
    assert not counts
    refuse_differences(output, place.expected)
    assert not leftovers(output)


def test_a_client_that_is_killed_leaves_whole_cells_and_the_next_run_keeps_them(
    place, output, here
):
    with watching(output):
        with place.server.gate("new.tif", lambda: made_in(output)) as gate:
            run = start_map(*place.arguments(output))
            until(gate.reached.is_set, run)
            run.kill()
            code, out, _ = ended(run)
        assert (code, out) == (-signal.SIGKILL, "")
        made = {path: path.stat().st_mtime_ns for path in output.glob("cells/*/*")}
        assert 0 < len(made) < 18
        assert here(*place.arguments(output))[0] == 0
    assert made == {path: path.stat().st_mtime_ns for path in made}
    assert counts_of(output)["kept"] == len(made) // 3
    refuse_differences(output, place.expected)
    assert not leftovers(output)


@pytest.mark.slow
def test_the_client_of_a_cluster_that_runs_already_is_killed(place, output, here, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    options = {"n_workers": 1, "threads_per_worker": 2, "dashboard_address": None}
    with (
        LocalCluster(**options, host="127.0.0.1", silence_logs=50) as cluster,
        watching(output),
    ):
        arguments = place.arguments(output, "--scheduler", cluster.scheduler_address)
        with place.server.gate("new.tif", lambda: made_in(output)) as gate:
            run = start_map(*arguments)
            until(gate.reached.is_set, run)
            run.kill()
            ended(run)
        code, said = here(*arguments)
        assert code == 0, said
        assert len(cluster.scheduler.workers) == 1
    assert sum(counts_of(output).values()) == 6
    refuse_differences(output, place.expected)


@pytest.mark.slow
def test_a_person_who_stops_a_run_finds_no_process_and_can_go_on(place, output, here):
    with watching(output):
        with place.server.gate("new.tif", lambda: made_in(output)) as gate:
            run = start_map(*place.arguments(output, "--workers", "1"))
            until(gate.reached.is_set, run)
            children = psutil.Process(run.pid).children(recursive=True)
            os.killpg(run.pid, signal.SIGINT)  # as a terminal does: all of the group
            code, out, said = ended(run)
            _, alive = psutil.wait_procs(children, timeout=30)
        assert (code, out, alive) == (130, "", [])
        last = said.splitlines()[-1]
        assert last.startswith("interrupted: no half-written file was left")
        assert "Traceback" not in said
        assert here(*place.arguments(output))[0] == 0
    assert counts_of(output).get("kept")
    refuse_differences(output, place.expected)


def test_sigterm_to_one_map_ends_it_like_ctrl_c(place, tmp_path):
    scene, output = f"{place.server.url}/old.tif", tmp_path / "out" / "map.tif"
    output.parent.mkdir()
    with place.server.gate("old.tif", lambda: list(output.parent.iterdir())) as gate:
        run = start_map(scene, "-o", output, "--model", place.model, "--device", "cpu")
        until(gate.reached.is_set, run)
        run.terminate()
        gate.open.set()
        code, out, said = ended(run)
    assert (code, out) == (143, "")
    assert said.splitlines()[-1].startswith("interrupted: no half-written file was left")
    assert not list(output.parent.iterdir())


@pytest.mark.slow
def test_sigterm_to_a_region_ends_its_workers_and_leaves_whole_cells(place, output):
    with watching(output), place.server.gate("new.tif", lambda: made_in(output)) as gate:
        run = start_map(*place.arguments(output, "--workers", "1"))
        until(gate.reached.is_set, run)
        children = psutil.Process(run.pid).children(recursive=True)
        run.terminate()  # of this process alone, as job schedulers and containers do
        code, out, said = ended(run)
        _, alive = psutil.wait_procs(children, timeout=30)
    assert (code, out, alive) == (143, "", [])
    assert "Traceback" not in said
    assert {path.name for path in output.iterdir() if path.name[0] != "."} == {"cells"}
    assert all(len(list(cell.iterdir())) == 3 for cell in output.glob("cells/*"))
