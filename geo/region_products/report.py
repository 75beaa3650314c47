"""What came of a run over the cells of a region, for people and for programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

CellState = Literal["done", "kept", "empty", "failed"]
STATES: tuple[CellState, ...] = ("done", "kept", "empty", "failed")


@dataclass(frozen=True, kw_only=True)
class RegionReport:
    """What came of a run.

    Attributes:
        title: one line.
        states: what came of each cell, by its id.
        failed: why cells were given up, in a line each, by their ids.
        pixels: pixels that were mapped in this run.
        seconds: how long it took.
        settings: all that was chosen, as JSON values.
        software: names and versions.
        finished: when it ended.
    """

    title: str
    states: Mapping[str, CellState]
    failed: Mapping[str, str]
    pixels: int
    seconds: float
    settings: Mapping[str, Any]
    software: Mapping[str, str]
    finished: datetime

    @property
    def counts(self) -> dict[CellState, int]:
        """How many cells are in each state."""
        found = Counter(self.states.values())
        return {state: found[state] for state in STATES}

    @property
    def megapixels_per_second(self) -> float:
        """Pixels mapped in this run over the time it took [million / s]."""
        return self.pixels / 1e6 / max(self.seconds, 1e-3)

    @property
    def speed(self) -> str:
        """How long the run took, and how fast it was, in words."""
        fast = f", {self.megapixels_per_second:.2f} Mpx/s" if self.pixels else ""
        return f"{duration_in_words(self.seconds)}{fast}"

    @property
    def sentence(self) -> str:
        """The run in a line."""
        told = ", ".join(f"{count:,} {state}" for state, count in self.counts.items() if count)
        return f"{len(self.states):,} cells: {told}; {self.speed}"

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "title": self.title,
            "finished": self.finished.isoformat(timespec="seconds"),
            "software": dict(self.software),
            "cells": {"all": len(self.states), **self.counts},
            "failed": dict(sorted(self.failed.items())),
            "empty": sorted(name for name, state in self.states.items() if state == "empty"),
            "megapixels": round(self.pixels / 1e6, 3),
            "seconds": round(self.seconds, 3),
            "megapixels_per_second": round(self.megapixels_per_second, 3),
            "settings": dict(self.settings),
        }


def duration_in_words(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 90:  # noqa: PLR2004 - a minute and a half
        return f"{seconds:.0f} s"
    minutes, hours = round(seconds / 60), seconds / 3600
    return f"{minutes} min" if hours < 2 else f"{hours:.1f} h"  # noqa: PLR2004
