"""How far a run over many cells is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What is told whenever a cell ends.

    Attributes:
        done: cells made.
        failed: cells given up.
        all: cells asked for; None where that is not known beforehand.
        pixels: pixels of the cells made.
    """

    done: int
    failed: int
    all: int | None
    pixels: int


TellProgress = Callable[[Progress], None]
