"""The scheduler alone: many empty cells through a local cluster; cells a second, and memory.

    python bench/scheduler.py --cells 100000 --workers 2

Scheduler and client share this process, as they do with `canopy map --workers`. A cell does nothing
and returns a number: what is measured is all that a run costs besides its cells. Cells that take
time keep fewer of them in hand (`ahead`), which costs throughput that nobody then needs.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from canopy.region.run import RunSettings, run_cells

if TYPE_CHECKING:
    from collections.abc import Iterator

    from canopy.region.progress import Progress

MIB = 1 << 20


@dataclass(frozen=True)
class EmptyCell:
    """A cell by name."""

    id: str


@dataclass(frozen=True)
class Nothing:
    """What comes of it."""

    pixels: int = 0


@dataclass(frozen=True)
class MakeNothing:
    """Makes an empty cell."""

    seconds: float = 0.0

    def __call__(self, _task: EmptyCell) -> Nothing:
        """Do nothing for a while."""
        if self.seconds:
            time.sleep(self.seconds)
        return Nothing()


@dataclass
class Watch:
    """Notes time and memory while cells end."""

    every: int
    began: float = field(default_factory=time.monotonic)
    rows: list[dict[str, float]] = field(default_factory=list)

    def __call__(self, progress: Progress) -> None:
        """Note how far the run is, every so many cells."""
        if progress.done % self.every and progress.done != 1:
            return
        process = psutil.Process(os.getpid())
        workers = [
            child.memory_info().rss / MIB
            for child in process.children(recursive=True)
            if "resource_tracker" not in " ".join(child.cmdline())
        ]
        row = {
            "cells": progress.done,
            "seconds": round(time.monotonic() - self.began, 2),
            "here_mib": round(process.memory_info().rss / MIB, 1),
            "largest_worker_mib": round(max(workers, default=0), 1),
        }
        self.rows.append(row)
        print(json.dumps(row), flush=True)


def cells(count: int) -> Iterator[EmptyCell]:
    """Yield cells with names like those of real ones."""
    for number in range(count):
        yield EmptyCell(f"utm17n_0.6m_4096px_e{number % 400}_n{number // 400}")


def main() -> None:
    """Run and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ahead", type=int, default=2, help="cells in hand for each thread")
    parser.add_argument("--every", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=0.0, help="that each cell takes")
    chosen = parser.parse_args()
    settings = RunSettings(workers=chosen.workers, ahead=chosen.ahead)
    watch = Watch(every=chosen.every)
    result = run_cells(cells(chosen.cells), MakeNothing(chosen.seconds), settings, progress=watch)
    first, last = watch.rows[0], watch.rows[-1]
    took = last["seconds"] - first["seconds"]
    print(
        json.dumps(
            {
                "cells": result.done,
                "failed": len(result.failed),
                "cells_per_second": round((last["cells"] - first["cells"]) / took, 1),
                "start_s": first["seconds"],
            }
        )
    )


if __name__ == "__main__":
    main()
