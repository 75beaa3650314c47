"""A run over cells ends with every cell made or told, whatever breaks on the way."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import dask
import psutil
import pytest
from distributed import Client
from small_tasks import (
    CountingMaker,
    FailingMaker,
    KillingMaker,
    SmallMaker,
    tasks_of,
)

from canopy.errors import RunError, SettingsError
from canopy.region import cluster
from canopy.region.run import RunSettings, run_cells
from canopy.region.run_settings import RunSettings as Settings

ROOT = Path(__file__).parents[3]
HERE = RunSettings(backoff_s=0.05)


@pytest.fixture(scope="module")
def client():
    """A client of a local cluster as runs start it: two processes of two threads."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        with cluster.local_cluster(Settings(workers=2)) as found:
            yield found


def tries_of(folder):
    return Counter(path.name.split(".")[0] for path in folder.iterdir())


def begun(folder, task_id):
    names = sorted(path.name for path in folder.glob(f"{task_id}.*"))
    return [float(".".join(name.split(".")[2:4])) for name in names]


def test_cells_are_made_one_by_one_in_this_process(tmp_path):
    told, seen = [], []
    result = run_cells(
        tasks_of(5), SmallMaker(tmp_path), HERE,
        progress=told.append, on_done=lambda task, outcome: seen.append((task.id, outcome.process)),
    )  # fmt: skip
    assert (result.done, result.failed, result.pixels) == (5, {}, 500)
    assert result.dashboard is None
    assert seen == [(f"cell{number}", os.getpid()) for number in range(5)]
    assert [(p.done, p.failed, p.all, p.pixels) for p in told] == [
        (n, 0, 5, 100 * n) for n in range(1, 6)
    ]


def test_a_run_without_cells_ends_at_once(tmp_path):
    assert run_cells([], SmallMaker(tmp_path), HERE).done == 0


def test_no_time_is_lost_after_the_last_cell(tmp_path):
    assert run_cells(tasks_of(3), SmallMaker(tmp_path), HERE).seconds < 0.5


def test_failing_cells_are_tried_again_with_growing_waits_then_given_up(tmp_path):
    settings = RunSettings(retries=3, backoff_s=0.1)
    told = []
    result = run_cells(
        tasks_of(4), FailingMaker(tmp_path, times=99), settings, progress=told.append
    )
    assert result.done == 3
    assert result.failed == {"cell1": "what is wrong with cell1"}
    assert tries_of(tmp_path) == {"cell0": 1, "cell1": 4, "cell2": 1, "cell3": 1}
    times = begun(tmp_path, "cell1")
    waits = [later - earlier for earlier, later in pairwise(times)]
    for wait, least in zip(waits, (0.1, 0.2, 0.4), strict=True):
        assert least <= wait < least + 0.3
    assert (told[-1].done, told[-1].failed, told[-1].all) == (3, 1, 4)
    assert begun(tmp_path, "cell3")[0] < times[1]  # the others did not wait


@pytest.mark.parametrize("error", ["ConnectionLostError", "ValueError"])
def test_a_cell_that_is_made_at_its_second_try_is_done(tmp_path, error):
    result = run_cells(tasks_of(3), FailingMaker(tmp_path, error=error), HERE)
    assert (result.done, result.failed) == (3, {})
    assert tries_of(tmp_path)["cell1"] == 2


@pytest.mark.parametrize("error", ["SceneError", "ModelError"])
def test_what_no_try_can_mend_is_not_tried_again(tmp_path, error):
    result = run_cells(tasks_of(3), FailingMaker(tmp_path, error=error), HERE)
    assert result.failed == {"cell1": "what is wrong with cell1"}
    assert tries_of(tmp_path)["cell1"] == 1


def test_an_unforeseen_error_is_named(tmp_path):
    settings = RunSettings(retries=0)
    result = run_cells(tasks_of(2), FailingMaker(tmp_path, error="ValueError"), settings)
    assert result.failed == {"cell1": "ValueError: what is wrong with cell1"}


def test_a_region_that_fails_as_a_whole_is_not_drawn_into_memory(tmp_path):
    drawn = []

    def tasks():
        for task in tasks_of(500):
            drawn.append(task)
            yield task

    waiting = []

    class Failing(FailingMaker):
        def __call__(self, task):
            waiting.append(len(drawn))
            return super().__call__(task)

    names = tuple(task.id for task in tasks_of(500))
    settings = RunSettings(retries=1, backoff_s=0.01)
    result = run_cells(tasks(), Failing(tmp_path, times=9, failing=names), settings)
    assert len(result.failed) == 500
    assert all(ahead - made <= 6 for made, ahead in enumerate(waiting))


def test_cells_are_made_by_all_workers_and_told_here(client, tmp_path):
    seen = []
    result = run_cells(
        tasks_of(40), SmallMaker(tmp_path, seconds=0.02), HERE, client=client,
        on_done=lambda task, outcome: seen.append((task.id, outcome)),
    )  # fmt: skip
    assert (result.done, result.failed, result.pixels) == (40, {}, 4000)
    assert {task_id for task_id, _ in seen} == {task.id for task in tasks_of(40)}
    assert all(outcome.id == task_id for task_id, outcome in seen)
    assert len({outcome.process for _, outcome in seen}) == 2
    if find_spec("bokeh"):
        assert result.dashboard.startswith("http://127.0.0.1:")
    else:  # nothing draws it: no link that leads nowhere
        assert result.dashboard is None
    assert set(tries_of(tmp_path).values()) == {1}


def test_what_makes_cells_comes_once_to_each_worker_and_knows_its_threads(client):
    seen = []
    run_cells(
        tasks_of(30), CountingMaker(), HERE, client=client,
        on_done=lambda _, outcome: seen.append((outcome.process, *outcome.id.split())),
    )  # fmt: skip
    assert len({(process, maker) for process, maker, _, _ in seen}) == 2
    assert max(int(most) for _, _, most, _ in seen) == 2  # two threads of a worker at once
    share = str(max(1, dask.system.CPU_COUNT // 2))
    assert {threads for *_, threads in seen} == {share}


@pytest.mark.parametrize("ahead", [1, 2])
def test_only_a_few_cells_are_with_the_cluster_at_any_time(client, tmp_path, ahead):
    drawn, most = [0], [0]
    done = [0]

    def tasks():
        for task in tasks_of(60):
            drawn[0] += 1
            most[0] = max(most[0], drawn[0] - done[0])
            yield task

    def count(_task, _outcome):
        done[0] += 1

    run_cells(
        tasks(), SmallMaker(tmp_path, seconds=0.01), RunSettings(ahead=ahead), client=client,
        on_done=count,
    )  # fmt: skip
    assert done == [60]
    assert most[0] == 4 * ahead


def test_failing_cells_are_tried_again_on_a_cluster(client, tmp_path):
    maker = FailingMaker(tmp_path, times=99)
    settings = RunSettings(retries=2, backoff_s=0.05)
    result = run_cells(tasks_of(8), maker, settings, client=client)
    assert result.done == 7
    assert result.failed == {"cell1": "what is wrong with cell1"}
    assert tries_of(tmp_path)["cell1"] == 3


def test_errors_that_do_not_travel_are_still_told(client, tmp_path):
    class Local(SmallMaker):
        def __call__(self, task):
            class OwnError(Exception):
                def __init__(self, one, two):
                    super().__init__(f"{one} {two}")

            words = "worse"
            raise OwnError(words, task.id)

    result = run_cells(tasks_of(1), Local(tmp_path), RunSettings(retries=0), client=client)
    assert "worse cell0" in result.failed["cell0"]


def test_a_worker_that_is_killed_costs_no_cell(client, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    seen = Counter()
    before = set(client.run(os.getpid).values())
    result = run_cells(
        tasks_of(40), KillingMaker(tmp_path, seconds=0.05, others=0.05), HERE, client=client,
        on_done=lambda task, _: seen.update([task.id]),
    )  # fmt: skip
    assert (result.done, result.failed) == (40, {})
    assert seen == Counter(task.id for task in tasks_of(40))
    assert tries_of(tmp_path)["cell5"] == 2
    client.wait_for_workers(2, timeout=30)
    assert len(before & set(client.run(os.getpid).values())) == 1
    said = [record.getMessage() for record in caplog.records if record.name.startswith("canopy")]
    deaths = [message for message in said if "killed by signal 9" in message]
    assert len(deaths) == 1
    assert "\n" not in deaths[0]


def test_a_cell_that_kills_its_worker_each_time_is_given_up_and_the_rest_is_made(client, tmp_path):
    client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 0))
    maker = KillingMaker(tmp_path, seconds=0.5, always=True, victim="cell3")
    settings = RunSettings(retries=1, backoff_s=0.05)
    try:
        result = run_cells(tasks_of(12), maker, settings, client=client)
    finally:
        client.run_on_scheduler(
            lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 3)
        )
    assert set(result.failed) == {"cell3"}
    assert "its worker died" in result.failed["cell3"]
    assert result.done == 11
    assert tries_of(tmp_path)["cell3"] == 2
    client.wait_for_workers(2, timeout=30)


def test_a_running_scheduler_is_used_and_left_running(client, tmp_path):
    settings = RunSettings(scheduler=client.scheduler.address)
    assert run_cells(tasks_of(6), SmallMaker(tmp_path), settings).done == 6
    assert len(client.nthreads()) == 2
    plugins = client.run(lambda dask_worker: list(dask_worker.plugins))
    assert not [name for names in plugins.values() for name in names if name.startswith("canopy-")]


def test_what_workers_cannot_load_is_told_in_a_line(client, tmp_path):
    (tmp_path / "only_here.py").write_text(
        "class Maker:\n    def __call__(self, task):\n        return None\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        import only_here  # noqa: PLC0415 - made above

        with pytest.raises(RunError, match="the workers cannot load the work") as caught:
            run_cells(tasks_of(2), only_here.Maker(), HERE, client=client)
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("only_here")
    assert "\n" not in str(caught.value)


def test_nothing_of_a_local_cluster_listens_to_other_machines(client):
    pids = [os.getpid(), *client.run(os.getpid).values()]
    heard = {
        connection.laddr.ip
        for pid in pids
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert heard == {"127.0.0.1"}


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:9", "nonsense", "tcp://no.such.host.invalid:8786"]
)
def test_a_scheduler_that_does_not_answer_is_told_in_a_line(tmp_path, address):
    settings = RunSettings(scheduler=address, connect_timeout_s=0.5)
    with pytest.raises(RunError, match=r"does not answer .*tcp://10") as caught:
        run_cells(tasks_of(1), SmallMaker(tmp_path), settings)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_no_scheduler_is_told_in_a_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        settings = RunSettings(scheduler=address, connect_timeout_s=0.5)
        with pytest.raises(RunError, match="does not answer"):
            run_cells(tasks_of(1), SmallMaker(tmp_path), settings)


def versions(**there):
    same = {"python": "3.12.1.final.0", "distributed": "2026.8.0", "canopy-height": "0.1.0"}
    return {
        "client": {"packages": same},
        "scheduler": {"packages": same | {"canopy-height": None}},
        "workers": {"tcp://10.0.0.7:4000": {"packages": same | there}},
    }


def test_a_cluster_of_the_same_versions_is_taken():
    cluster.refuse_versions("tcp://a:1", versions(python="3.12.9.final.0"))


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ({"python": "3.11.1.final.0"}, r"has python 3\.11: expected 3\.12"),
        ({"distributed": "2025.1.0"}, r"has distributed 2025\.1\.0: expected 2026\.8\.0"),
        ({"canopy-height": None}, r"has canopy-height not installed"),
    ],
)
def test_a_cluster_of_other_versions_is_refused_in_a_line(there, message):
    with pytest.raises(RunError, match=message) as caught:
        cluster.refuse_versions("tcp://a:1", versions(**there))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "choices",
    [
        {"workers": -1},
        {"retries": -1},
        {"ahead": 0},
        {"threads_per_worker": 0},
        {"backoff_s": float("nan")},
        {"workers": 2, "scheduler": "tcp://a:1"},
        {"workers": 3, "gpus": 2},
    ],
)
def test_settings_that_make_no_sense_are_refused(choices):
    with pytest.raises(SettingsError):
        RunSettings(**choices)


def test_a_client_and_settings_of_another_cluster_are_refused(client, tmp_path):
    with pytest.raises(SettingsError, match="client"):
        run_cells(tasks_of(1), SmallMaker(tmp_path), RunSettings(workers=2), client=client)


def test_each_worker_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,3")
    with cluster.local_cluster(RunSettings(gpus=2)) as gpu_client:
        seen = gpu_client.run(lambda: os.environ["CUDA_VISIBLE_DEVICES"])
    assert sorted(seen.values()) == ["3", "5"]


def test_dask_cuda_is_used_where_it_is_installed(monkeypatch, tmp_path):
    (tmp_path / "dask_cuda.py").write_text(
        "from distributed import LocalCluster\n"
        "asked = {}\n"
        "def LocalCUDACluster(**choices):\n"
        "    asked.update(choices)\n"
        "    return LocalCluster(n_workers=0, processes=False, dashboard_address=None)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with cluster.local_cluster(RunSettings(gpus=2)):
        import dask_cuda  # noqa: PLC0415 - made above
    assert dask_cuda.asked["CUDA_VISIBLE_DEVICES"] == ["0", "1"]
    assert dask_cuda.asked["n_workers"] == 2
    assert dask_cuda.asked["dashboard_address"].startswith("127.0.0.1")


SCRIPT = """
import logging, sys, time
from pathlib import Path
from canopy.region.run import RunSettings, run_cells
from small_tasks import SmallMaker, tasks_of
if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    try:
        run_cells(tasks_of(9), SmallMaker(Path(sys.argv[1]), 60.0), RunSettings(workers=2))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize(("sign", "says"), [(signal.SIGINT, "interrupted\n"), (signal.SIGKILL, "")])
def test_a_run_that_is_stopped_ends_quickly_and_leaves_no_process(tmp_path, sign, says):
    (tmp_path / "tries").mkdir()
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    process = subprocess.Popen(
        [sys.executable, script, tmp_path / "tries"], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "tries").iterdir())) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    began = time.monotonic()
    if sign == signal.SIGINT:  # a terminal sends it to the whole group
        os.killpg(process.pid, sign)
    else:
        os.kill(process.pid, sign)
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert out == says
    if sign == signal.SIGINT:  # of a killed run Python itself says what it clears away
        assert err == ""
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_a_scheduler_that_goes_away_ends_the_run_in_a_line(tmp_path):
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    info = tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    scheduler = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
         "--scheduler-file", info],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while not info.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        address = json.loads(info.read_text())["address"]
        (tmp_path / "tries").mkdir()
        with (
            dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
            Client(address, set_as_default=False) as own,
        ):
            own.loop.call_later(1.0, scheduler.kill)
            with pytest.raises(RunError, match=r"is gone: .*run the same command again"):
                run_cells(tasks_of(3), SmallMaker(tmp_path / "tries"), HERE, client=own)
    finally:
        scheduler.kill()
        scheduler.wait()
