"""A Dask cluster as what makes cells: a few tasks at a time, results as they come."""

from __future__ import annotations

import itertools
import queue
import secrets
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from distributed import Future, WorkerPlugin, get_worker

from canopy.errors import RunError
from canopy.region.retrying import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from distributed import Client, Worker

    from canopy.region.pool import Ended
    from canopy.region.task import Outcome, Task

LOOK_EVERY_S = 2.0
"""How often the threads of the cluster are counted: workers come and go."""


class DaskPool:
    """The workers of a cluster make cells; opened with `opened`.

    Args:
        client: of the cluster.
        job: what `make` is called on the workers.
        ahead: tasks for each of their threads.
    """

    def __init__(self, client: Client, job: str, ahead: int) -> None:
        """Make nothing yet."""
        self._client = client
        self._job = job
        self._ahead = ahead
        self._numbers = itertools.count()
        self._running: dict[Future[Any], Task] = {}
        self._ended: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._threads, self._looked = 1, -LOOK_EVERY_S

    @classmethod
    @contextmanager
    def opened(
        cls, client: Client, make: Callable[[Any], Outcome], ahead: int
    ) -> Iterator[DaskPool]:
        """Bring `make` to all workers, those that come later too, and cancel what is left over.

        Args:
            client: of the cluster.
            make: makes one cell; travels once to each worker, not with each cell.
            ahead: tasks for each thread of the workers.

        Raises:
            RunError: the workers cannot load it.
        """
        job = f"canopy-{secrets.token_hex(4)}"
        try:
            client.register_plugin(_Job(make, job))
        except Exception as error:  # whatever unpickling on a worker raises
            msg = (
                f"the workers cannot load the work ({reason_of(error)}): install the same "
                "canopy-height on them as here"
            )
            raise RunError(msg) from error
        pool = cls(client, job, ahead)
        try:
            yield pool
        finally:
            with suppress(Exception):  # the cluster may be gone
                client.cancel(list(pool._running), force=True)
                client.unregister_worker_plugin(job)

    @property
    def room(self) -> int:
        """Tasks that may be with the cluster: so many for each thread it has just now.

        Raises:
            RunError: the scheduler is gone.
        """
        now = time.monotonic()
        if now - self._looked > LOOK_EVERY_S:
            self._refuse_gone()
            try:
                threads = sum(self._client.nthreads().values())
            except (OSError, RuntimeError) as error:
                raise self._gone() from error
            # With no worker yet, tasks wait in the scheduler and call for one.
            self._threads, self._looked = max(1, threads), now
        return self._ahead * self._threads

    def submit(self, task: Task) -> None:
        """Give a task to the cluster."""
        key = f"cell-{self._job}-{next(self._numbers)}-{task.id}"
        future = self._client.submit(_make_cell, self._job, task, key=key, pure=False)
        self._running[future] = task
        future.add_done_callback(self._ended.put)

    def finished(self, patience_s: float) -> list[Ended]:
        """Return tasks that ended, with outcomes or errors; wait for one if need be.

        Raises:
            RunError: the scheduler is gone.
        """
        futures: list[Future[Any]] = []
        with suppress(queue.Empty):
            futures.append(self._ended.get(timeout=patience_s))
            while True:
                futures.append(self._ended.get_nowait())
        self._refuse_gone()
        good = [future for future in futures if future.status == "finished"]
        came = self._outcomes(good)
        came |= {future: _error(future) for future in futures if future not in came}
        return [(self._running.pop(future), came[future]) for future in futures]

    def _outcomes(self, futures: list[Future[Any]]) -> dict[Future[Any], Any]:
        """Return the outcomes of tasks that were made, fetched in one request."""
        if not futures:
            return {}
        try:
            return dict(zip(futures, self._client.gather(futures), strict=True))
        except Exception:  # noqa: BLE001 - a worker died with what it had made: one by one
            return {future: _outcome(future) for future in futures}

    def _refuse_gone(self) -> None:
        """Refuse to go on with a scheduler that is gone."""
        if self._client.status != "running":
            raise self._gone()

    def _gone(self) -> RunError:
        """Return the error of a scheduler that is gone."""
        place = self._client.scheduler.address if self._client.scheduler else "the cluster"
        return RunError(
            f"the scheduler at {place} is gone: what was made is kept, run the same command again"
        )


class _Job(WorkerPlugin):
    """What a run makes cells with, on each worker."""

    def __init__(self, make: Callable[[Any], Outcome], name: str) -> None:
        self.make = make
        self.name = name

    def setup(self, worker: Worker) -> None:
        """Need nothing of the worker: what is heavy is loaded with the first cell."""


def _make_cell(job: str, task: Task) -> Outcome:
    """Make a cell on a worker."""
    plugin: Any = get_worker().plugins[job]
    outcome: Outcome = plugin.make(task)
    return outcome


def _outcome(future: Future[Any]) -> Any:  # noqa: ANN401 - what make returned
    """Return what came of one task, or its error."""
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001 - whatever it is, the next cell is made
        return error


def _error(future: Future[Any]) -> BaseException:
    """Return why a task was not made."""
    error = future.exception() if future.status == "error" else None
    return error or RuntimeError(f"the cluster gave the cell up ({future.status})")
