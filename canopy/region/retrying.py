"""What is tried again, when, and what is said of what is given up."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from distributed import KilledWorker

from canopy.errors import CanopyError, FetchError
from geo.catalog.errors import CatalogDownError
from geo.errors import ConnectionLostError, GeoError, StoreDownError

if TYPE_CHECKING:
    from canopy.region.task import Task

MENDABLE = (ConnectionLostError, CatalogDownError, StoreDownError, FetchError)
"""Errors of ours that another try may mend: a network or a server is to blame."""

LONGEST_REASON = 300


def may_mend(error: BaseException) -> bool:
    """Whether another try may help.

    Our own errors say what is wrong with the input or the settings, and the next try would find the
    same; those of networks and servers pass. What nobody foresaw is tried again: a worker that was
    killed, a full memory, a library's mood.
    """
    return isinstance(error, MENDABLE) or not isinstance(error, (GeoError, CanopyError))


def reason_of(error: BaseException) -> str:
    """Return in a line why a cell failed."""
    if isinstance(error, KilledWorker):
        return "its worker died each time it was made: it may need more memory than there is"
    text = str(error).strip()
    line = text.splitlines()[0][:LONGEST_REASON] if text else ""
    if line and isinstance(error, (GeoError, CanopyError)):
        return line
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


@dataclass(kw_only=True)
class Retries:
    """Tasks that failed and wait for their next try.

    Attributes:
        most: tries after the first.
        backoff_s: wait before the second try [s]; doubled before each further one.
    """

    most: int
    backoff_s: float
    _tries: dict[str, int] = field(default_factory=dict)
    _waiting: list[tuple[float, int, Task]] = field(default_factory=list)
    _count: int = 0

    def __len__(self) -> int:
        """Return how many tasks wait."""
        return len(self._waiting)

    def add(self, task: Task, now: float) -> float | None:
        """Let a task that failed wait.

        Args:
            task: the task.
            now: the time [s].

        Returns:
            How long it waits [s]; None where it has been tried often enough.
        """
        tries = self._tries.get(task.id, 0)
        if tries >= self.most:
            return None
        self._tries[task.id] = tries + 1
        wait = self.backoff_s * 2.0**tries
        self._count += 1  # heaps compare: tasks need no order
        heapq.heappush(self._waiting, (now + wait, self._count, task))
        return wait

    def forget(self, task: Task) -> None:
        """Forget the tries of a task that is made."""
        self._tries.pop(task.id, None)

    def due(self, now: float) -> Task | None:
        """Return a task whose wait is over, no longer waiting then; None where there is none."""
        if self._waiting and self._waiting[0][0] <= now:
            return heapq.heappop(self._waiting)[2]
        return None

    def next_in(self, now: float) -> float | None:
        """Return how long until the next task is due [s]; None where none waits."""
        return max(0.0, self._waiting[0][0] - now) if self._waiting else None
