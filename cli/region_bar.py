"""How far a region is, on standard error: a bar on a terminal, elsewhere now and then a line."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cli.console import every, say
from geo.region_products.report import duration_in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from canopy.region.progress import Progress

    Tell = Callable[[Progress], None]


@contextmanager
def region_bar(*, quiet: bool) -> Iterator[Tell | None]:
    """Lend a callable that shows how many cells are made; None where quiet is asked."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with terminal_bar() as show:
            yield show
    else:
        yield line_now_and_then(seconds=10.0)


@contextmanager
def terminal_bar() -> Iterator[Tell]:
    """Lend a callable that moves a bar."""
    from rich.console import Console  # noqa: PLC0415 - help does not need it
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar  # noqa: PLC0415

    columns = (
        TextColumn("mapping"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("cells{task.fields[told]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), speed_estimate_period=600) as bar:
        task = bar.add_task("mapping", total=None, told="")
        began = time.monotonic()

        def show(progress: Progress) -> None:
            told = speed_and_failures(progress, time.monotonic() - began)
            ended = progress.done + progress.failed
            bar.update(task, completed=ended, total=progress.all, told=told)

        yield show


def line_now_and_then(*, seconds: float) -> Tell:
    """Return a callable that says how far a run is, at most every so many seconds."""
    due, began = every(seconds), time.monotonic()

    def show(progress: Progress) -> None:
        if not due():
            return
        passed = time.monotonic() - began
        ended = progress.done + progress.failed
        left = (
            f", {duration_in_words(passed / ended * (progress.all - ended))} left"
            if progress.all
            else ""
        )
        told = speed_and_failures(progress, passed)
        say(f"mapping: {ended} of {progress.all} cells{told}{left}")

    return show


def speed_and_failures(progress: Progress, passed_s: float) -> str:
    """Say how fast it goes, and how many cells failed if any did."""
    failed = f", {progress.failed} failed" if progress.failed else ""
    return f"{failed}, {progress.pixels / 1e6 / max(passed_s, 1e-3):.2f} Mpx/s"
