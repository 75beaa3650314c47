"""Cells that need no pixels, and what makes, fails and kills on the way; importable by workers."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - a field of a data class

from canopy.errors import ModelError
from geo.errors import ConnectionLostError, SceneError


@dataclass(frozen=True)
class SmallTask:
    """A cell by name."""

    id: str


@dataclass(frozen=True)
class SmallOutcome:
    """Where a cell was made."""

    id: str
    process: int
    pixels: int = 100


def tasks_of(count):
    """Return so many tasks."""
    return [SmallTask(f"cell{number}") for number in range(count)]


@dataclass
class SmallMaker:
    """Makes cells in a while, and keeps in a folder how often each was begun."""

    folder: Path
    seconds: float = 0.0

    def __call__(self, task):
        """Make a cell."""
        self.begin(task)
        time.sleep(self.seconds)
        return SmallOutcome(task.id, os.getpid())

    def begin(self, task):
        """Note a try, and return which it is."""
        tries = len(list(self.folder.glob(f"{task.id}.*")))
        (self.folder / f"{task.id}.{tries}.{time.monotonic():.6f}.{os.getpid()}").touch()
        return tries


@dataclass
class FailingMaker(SmallMaker):
    """Fails some cells, some of them for good."""

    error: str = "ConnectionLostError"
    times: int = 1
    failing: tuple[str, ...] = ("cell1",)

    def __call__(self, task):
        """Make a cell, or fail."""
        tries = self.begin(task)
        if task.id in self.failing and tries < self.times:
            kinds = {
                "ConnectionLostError": ConnectionLostError, "SceneError": SceneError,
                "ModelError": ModelError, "ValueError": ValueError,
            }  # fmt: skip
            msg = f"what is wrong with {task.id}\nand more that no line needs"
            raise kinds[self.error](msg)
        return SmallOutcome(task.id, os.getpid())


@dataclass
class KillingMaker(SmallMaker):
    """Kills its own worker in the middle of one cell, once or whenever it is tried."""

    victim: str = "cell5"
    always: bool = False
    others: float = 0.0

    def __call__(self, task):
        """Make a cell, or die."""
        tries = self.begin(task)
        time.sleep(self.seconds if task.id == self.victim else self.others)
        if task.id == self.victim and (self.always or not tries):
            os.kill(os.getpid(), signal.SIGKILL)
        return SmallOutcome(task.id, os.getpid())


@dataclass
class CountingMaker:
    """Counts how often it was unpickled and how many threads call it at once."""

    def __post_init__(self):
        self.lock, self.now, self.most, self.loads = threading.Lock(), 0, 0, 0

    def __getstate__(self):
        return {}

    def __setstate__(self, state):
        self.__post_init__()

    def __call__(self, _task):
        """Make a cell."""
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.loads += 1
        time.sleep(0.05)
        with self.lock:
            self.now -= 1
        return SmallOutcome(
            f"{id(self)} {self.most} {os.environ.get('OMP_NUM_THREADS')}", os.getpid()
        )
