"""Dask clusters: one on this machine, or one that runs already."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import dask
from dask.system import CPU_COUNT
from distributed import Client, Nanny, Scheduler, SpecCluster, rpc
from distributed.system import MEMORY_LIMIT

from canopy.errors import RunError
from canopy.region.cluster_logs import quiet_cluster
from canopy.version import SOFTWARE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from canopy.region.run_settings import RunSettings

LOOPBACK = "127.0.0.1"
ANY_LOOPBACK_PORT = f"{LOOPBACK}:0"
"""Nothing of a local cluster can be reached from another machine: it runs what it is sent."""

LAST_WORDS_S = 0.2
"""How long a busy worker may go on when the user stops the run."""

CUDA_CLUSTER = "dask_cuda"

KEEP_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # the most that glibc takes
}
"""What glibc keeps in place of giving it back [bytes]. Dask has all of it given back at once
(64 KiB); tensors of some megabytes come and go with each batch, and making their pages anew each
time cost half of a worker's time."""

SELDOM = {
    "distributed.admin.tick.interval": "1s",  # 20 ms
    "distributed.worker.profile.interval": "100ms",  # 10 ms
    "distributed.worker.memory.monitor-interval": "500ms",  # 100 ms
    "distributed.admin.system-monitor.interval": "2s",  # 500 ms
}
"""How often processes of a local cluster look at themselves, and Dask's own choice: a twentieth of
all cores went into that where the network runs on them."""

logger = logging.getLogger(__name__)


@contextmanager
def local_cluster(settings: RunSettings) -> Iterator[Client]:
    """Start worker processes on this machine, and end them with the block.

    Each worker gets its share of the cores for the threads of torch and of the memory; a worker
    that dies is started again. With GPUs each worker sees one of them.

    Args:
        settings: how many workers, of how many threads.

    Yields:
        A client of the cluster.

    Raises:
        RunError: the workers do not start.
    """
    with (
        tempfile.TemporaryDirectory(prefix="canopy-workers-", ignore_cleanup_errors=True) as folder,
        quiet_cluster() as ending,
        dask.config.set(_config(_worker_count(settings))),
    ):
        cluster = _started(settings, folder)
        try:
            with Client(cluster, set_as_default=False) as client:
                yield client
        except BaseException:
            ending.set()
            cluster.sync(_end_workers, cluster)
            raise
        finally:
            ending.set()
            cluster.close()


@contextmanager
def connected(address: str, timeout_s: float) -> Iterator[Client]:
    """Connect to a scheduler that runs already; it goes on after the block.

    Args:
        address: ``tcp://host:port``, or what else Dask takes.
        timeout_s: how long it may take to answer [s].

    Yields:
        A client of the cluster.

    Raises:
        RunError: it does not answer, or runs other versions of Python, Dask or canopy-height.
    """
    try:
        _greet(address, timeout_s)
        with warnings.catch_warnings():
            # Dask's own table of versions; ours is a line about those that matter.
            warnings.simplefilter("ignore")
            client = Client(address, timeout=timeout_s, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        msg = (
            f"scheduler {address} does not answer ({reason}): expected the address that a Dask "
            "scheduler shows when it starts, such as tcp://10.0.0.5:8786"
        )
        raise RunError(msg) from error
    with client:
        versions: Any = client.get_versions(packages=[SOFTWARE])
        refuse_versions(address, versions)
        yield client


def _greet(address: str, timeout_s: float) -> None:
    """Ask a scheduler who it is: a client would wait forever for a server that says nothing.

    Raises:
        OSError: it does not answer in time.
    """

    async def ask() -> None:
        async with rpc(address, timeout=timeout_s) as scheduler:
            await asyncio.wait_for(scheduler.identity(), timeout_s)

    # A notebook's thread has a loop that runs already; another thread has none.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, ask()).result()


def dashboard_of(client: Client) -> str | None:
    """Return the URL of a cluster's dashboard; None where there is nothing to draw it with."""
    ours = client.cluster is not None
    if ours and find_spec("bokeh") is None:
        return None
    link: str | None = client.dashboard_link
    return link


def refuse_versions(address: str, versions: dict[str, Any]) -> None:
    """Refuse a cluster that does not understand what this process sends, or would map otherwise.

    Args:
        address: of its scheduler, for messages.
        versions: what `distributed.Client.get_versions` returns, with canopy-height.

    Raises:
        RunError: as said.
    """
    here = _wanted(versions["client"]["packages"])
    places = {"scheduler": versions["scheduler"]} if versions["scheduler"] else {}
    places |= {f"worker {name}": told for name, told in versions["workers"].items()}
    for place, told in places.items():
        there = _wanted(told["packages"])
        wanted = dict(here)
        if place == "scheduler":  # it passes cells on and needs nothing of ours
            del wanted[SOFTWARE]
        for name, version in wanted.items():
            if there.get(name) != version:
                msg = (
                    f"{place} at {address} has {name} {there.get(name) or 'not installed'}: "
                    f"expected {version or 'not installed'}, as here; install the same versions "
                    "on the cluster"
                )
                raise RunError(msg)


def _wanted(packages: dict[str, str | None]) -> dict[str, str | None]:
    """Return the versions that must agree."""
    python = packages.get("python")
    return {
        "python": ".".join(python.split(".")[:2]) if python else None,
        "distributed": packages.get("distributed"),
        SOFTWARE: packages.get(SOFTWARE),
    }


def _worker_count(settings: RunSettings) -> int:
    """Return how many workers a local cluster has: one for each GPU where nobody says."""
    return settings.workers or max(1, settings.gpus)


def _config(workers: int) -> dict[str, Any]:
    """Return Dask's configuration for worker processes on this machine."""
    threads = str(max(1, CPU_COUNT // workers))
    ours = KEEP_MEMORY | {
        # torch and the linear algebra below it read these when they are loaded.
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads),
        # What fails is told by the run, in a line each.
        "DASK_LOGGING__DISTRIBUTED": "critical",
    }
    return SELDOM | {
        "distributed.nanny.pre-spawn-environ": dask.config.get(
            "distributed.nanny.pre-spawn-environ"
        )
        | ours,
        # A new process on a busy machine may need longer than the 15 s after which Dask would give
        # its worker up for good.
        "distributed.deploy.lost-worker-timeout": "10 minutes",
    }


def _started(settings: RunSettings, folder: str) -> Any:  # noqa: ANN401 - one of two classes
    """Return a running cluster."""
    workers = _worker_count(settings)
    devices = _cuda_devices(workers) if settings.gpus else []
    try:
        if devices and find_spec(CUDA_CLUSTER):
            return _cuda_cluster(settings, devices, folder)
        return SpecCluster(
            scheduler={"cls": Scheduler, "options": _scheduler_options()},
            workers={
                number: {
                    "cls": Nanny,
                    "options": _worker_options(settings, folder)
                    | {"env": _worker_environment(folder, devices[number : number + 1])},
                }
                for number in range(workers)
            },
            silence_logs=logging.CRITICAL,
        )
    except Exception as error:  # whatever a process that does not start raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        msg = (
            f"{workers} workers do not start ({reason}): a script that starts them must do its "
            'work under if __name__ == "__main__":'
        )
        raise RunError(msg) from error


def _scheduler_options() -> dict[str, Any]:
    """Return the options of a scheduler on this machine."""
    return {
        "host": LOOPBACK,
        "port": 0,
        "dashboard": find_spec("bokeh") is not None,
        "dashboard_address": ANY_LOOPBACK_PORT,
    }


def _worker_options(settings: RunSettings, folder: str) -> dict[str, Any]:
    """Return the options of a worker on this machine."""
    return {
        "host": LOOPBACK,
        "nthreads": settings.threads_per_worker,
        "memory_limit": MEMORY_LIMIT // _worker_count(settings),
        "local_directory": folder,
        "dashboard": False,  # that of the scheduler shows all workers
        "dashboard_address": ANY_LOOPBACK_PORT,
        "silence_logs": logging.CRITICAL,
    }


def _worker_environment(folder: str, device: list[str]) -> dict[str, str]:
    """Return what a worker finds in its environment, beside what this process has."""
    # What a killed worker was making goes with the cluster's own folder.
    return {"TMPDIR": folder} | ({"CUDA_VISIBLE_DEVICES": device[0]} if device else {})


def _cuda_devices(workers: int) -> list[str]:
    """Return the GPU of each worker, of those that this process may use."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = told.split(",") if told else [str(number) for number in range(workers)]
    return names[:workers]


def _cuda_cluster(settings: RunSettings, devices: list[str], folder: str) -> Any:  # noqa: ANN401
    """Return the cluster of dask-cuda, which also binds workers to the cores near their GPU."""
    return importlib.import_module(CUDA_CLUSTER).LocalCUDACluster(
        CUDA_VISIBLE_DEVICES=devices,
        n_workers=len(devices),
        threads_per_worker=settings.threads_per_worker,
        host=LOOPBACK,
        dashboard_address=ANY_LOOPBACK_PORT,
        local_directory=folder,
        silence_logs=logging.CRITICAL,
    )


async def _end_workers(cluster: Any) -> None:  # noqa: ANN401 - one of two classes
    """End worker processes whatever they are doing."""
    nannies = list(cluster.workers.values())
    await asyncio.gather(
        *(nanny.close(timeout=LAST_WORDS_S) for nanny in nannies), return_exceptions=True
    )
