"""What a run over cells asks of a task and of what comes of it."""

from __future__ import annotations

from typing import Protocol


class Task(Protocol):
    """One cell to make; small and picklable."""

    @property
    def id(self) -> str:
        """The cell's name, unlike that of every other task of the run."""


class Outcome(Protocol):
    """What came of it; small and picklable: what was made is in the store."""

    @property
    def pixels(self) -> int:
        """Pixels of the cell that were made."""
