"""What makes cells: this process, one after the other, or something larger."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from canopy.region.task import Outcome, Task

Ended = tuple["Task", "Outcome | BaseException"]


class Pool(Protocol):
    """Something that makes cells."""

    @property
    def room(self) -> int:
        """Tasks that may be in flight at once."""

    def submit(self, task: Task) -> None:
        """Begin a task, or queue it."""

    def finished(self, patience_s: float) -> list[Ended]:
        """Return tasks that ended, each with its outcome or error; wait for one if need be.

        Args:
            patience_s: how long to wait [s]; the list is empty where nothing ended by then.
        """


class InProcessPool:
    """This process makes one cell after the other.

    Args:
        make: makes one.
    """

    def __init__(self, make: Callable[[Any], Outcome]) -> None:
        """Make nothing yet."""
        self._make = make
        self._queue: deque[Task] = deque()

    @property
    def room(self) -> int:
        """One task at a time."""
        return 1

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._queue.append(task)

    def finished(self, patience_s: float) -> list[Ended]:
        """Make the next task of the queue; wait where there is none."""
        if not self._queue:
            time.sleep(patience_s)
            return []
        task = self._queue.popleft()
        try:
            return [(task, self._make(task))]
        except Exception as error:  # noqa: BLE001 - whatever it is, the next cell is made
            return [(task, error)]
