"""Many cells, made one by one here or by the workers of a Dask cluster, whatever breaks."""

from __future__ import annotations

import logging
import time
from collections.abc import Sized
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from canopy.errors import SettingsError
from canopy.region.cluster import connected, dashboard_of, local_cluster
from canopy.region.dask_pool import DaskPool
from canopy.region.pool import InProcessPool
from canopy.region.progress import Progress
from canopy.region.retrying import Retries, may_mend, reason_of
from canopy.region.run_settings import RunSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from distributed import Client

    from canopy.region.pool import Pool
    from canopy.region.progress import TellProgress
    from canopy.region.task import Outcome, Task

__all__ = ["RunResult", "RunSettings", "reached", "run_cells"]

LONGEST_WAIT_S = 1.0
MOST_WAITING = 4
"""Failed tasks that may wait, in tasks that may be in flight: a dead server must not draw a whole
region into memory."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What came of a run.

    Attributes:
        done: cells made.
        failed: why a cell was given up, in a line, by its id.
        pixels: pixels of the cells made.
        seconds: how long it took, the start of a local cluster included.
        dashboard: URL of the cluster's dashboard; None where there was none.
    """

    done: int
    failed: dict[str, str]
    pixels: int
    seconds: float
    dashboard: str | None


def run_cells(
    tasks: Iterable[Task],
    make: Callable[[Any], Outcome],
    settings: RunSettings,
    *,
    client: Client | None = None,
    progress: TellProgress | None = None,
    on_done: Callable[[Any, Any], None] | None = None,
) -> RunResult:
    """Make cells, here or on a Dask cluster, and go on where some fail.

    Workers of a local cluster are new processes that import the script that started them: its own
    work belongs under ``if __name__ == "__main__":``, as with everything that uses
    `multiprocessing`. Notebooks and the command need nothing.

    A task that fails is tried again after a while if that may help, and given up after
    `settings.retries` further tries; the others go on meanwhile. A task whose worker dies runs on
    another. Only a few tasks for each thread are with the cluster at any time, so that `tasks` may
    be an endless generator as far as memory is concerned.

    Args:
        tasks: what to make; their order is kept as far as workers allow.
        make: makes one: picklable; unpickled once on each worker, so it may keep on itself what it
            loads (weights), and is called by `threads_per_worker` threads at once.
        settings: how.
        client: a client of the cluster to use, instead of what the settings say; it stays open.
        progress: told whenever a cell ends.
        on_done: told of each cell made, in this process, in the order in which they end.

    Returns:
        What came of it: failed cells are told there and raise nothing.

    Raises:
        SettingsError: a client is given, and settings of another cluster.
        RunError: the scheduler cannot be reached, does not fit or goes away.
        KeyboardInterrupt: the user stops it; tasks are cancelled and a local cluster is closed.
    """
    began = time.monotonic()
    with reached(settings, client) as (rest, cluster), ExitStack() as stack:
        pool, dashboard = _pool(stack, make, rest, cluster)
        run = _Run(
            pool=pool,
            retries=Retries(most=settings.retries, backoff_s=settings.backoff_s),
            progress=progress,
            on_done=on_done,
            total=len(tasks) if isinstance(tasks, Sized) else None,
        )
        run.all(iter(tasks))
    return RunResult(
        done=run.done,
        failed=run.failed,
        pixels=run.pixels,
        seconds=time.monotonic() - began,
        dashboard=dashboard,
    )


@contextmanager
def reached(
    settings: RunSettings, client: Client | None
) -> Iterator[tuple[RunSettings, Client | None]]:
    """Connect to the scheduler that settings name, if they name one.

    Yields:
        Settings without it, and the client of its cluster or the given one; None without either.

    Raises:
        SettingsError: a client is given, and settings of another cluster.
        RunError: the scheduler cannot be reached, or does not fit.
    """
    if client is not None and (settings.starts_cluster or settings.scheduler):
        msg = "a client names the cluster: leave workers, gpus and scheduler out of the settings"
        raise SettingsError(msg)
    if not settings.scheduler:
        yield settings, client
        return
    with connected(settings.scheduler, settings.connect_timeout_s) as found:
        yield replace(settings, scheduler=None), found


def _pool(
    stack: ExitStack, make: Callable[[Any], Outcome], settings: RunSettings, client: Client | None
) -> tuple[Pool, str | None]:
    """Return what makes cells, and the dashboard; both end with the stack."""
    if client is None and settings.starts_cluster:
        client = stack.enter_context(local_cluster(settings))
    if client is None:
        return InProcessPool(make), None
    dashboard = dashboard_of(client)
    if dashboard:
        logger.info("Dask dashboard: %s", dashboard)
    return stack.enter_context(DaskPool.opened(client, make, settings.ahead)), dashboard


@dataclass(kw_only=True)
class _Run:
    """A run while it goes on."""

    pool: Pool
    retries: Retries
    progress: TellProgress | None
    on_done: Callable[[Any, Any], None] | None
    total: int | None
    done: int = 0
    pixels: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    in_flight: int = 0

    def all(self, tasks: Iterator[Task]) -> None:
        """Make all tasks."""
        more = True
        while more or self.in_flight or self.retries:
            more = self._submit(tasks) and more
            if not (self.in_flight or self.retries):
                continue  # nothing to wait for
            for task, came in self.pool.finished(self._patience()):
                self.in_flight -= 1
                self._take(task, came)

    def _submit(self, tasks: Iterator[Task]) -> bool:
        """Give the pool what it has room for, tries that are due first; False at the end."""
        room = self.pool.room
        while self.in_flight < room:
            task = self.retries.due(time.monotonic())
            if task is None and len(self.retries) < MOST_WAITING * room:
                task = next(tasks, None)
                if task is None:
                    return False
            if task is None:
                return True
            self.in_flight += 1
            self.pool.submit(task)
        return True

    def _patience(self) -> float:
        """Return how long to wait for the next task to end [s]: no longer than a retry may."""
        wait = self.retries.next_in(time.monotonic())
        return LONGEST_WAIT_S if wait is None else min(wait, LONGEST_WAIT_S)

    def _take(self, task: Task, came: Outcome | BaseException) -> None:
        """Note what came of a task."""
        if isinstance(came, BaseException):
            if self._again(task, came):
                return
            self.failed[task.id] = reason_of(came)
        else:
            self.done += 1
            self.pixels += came.pixels
            if self.on_done:
                self.on_done(task, came)
        self.retries.forget(task)
        if self.progress:
            told = Progress(
                done=self.done, failed=len(self.failed), all=self.total, pixels=self.pixels
            )
            self.progress(told)

    def _again(self, task: Task, error: BaseException) -> bool:
        """Let a failed task wait for another try, if that may help."""
        wait = self.retries.add(task, time.monotonic()) if may_mend(error) else None
        if wait is not None:
            logger.info("%s: %s; again in %g s", task.id, reason_of(error), wait)
        return wait is not None
