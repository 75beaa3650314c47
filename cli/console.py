"""How the command speaks: results on standard output, all else on standard error."""

from __future__ import annotations

import json
import logging
import sys
import textwrap
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from geo.height_maps.map_facts import HeightSummary


FILE_COLUMNS = 160
"""Width of a table that goes to a file or another program."""


def say(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def print_json(value: dict[str, Any]) -> None:
    """Write one JSON object to standard output."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")
    sys.stdout.flush()


def show_notes(*, quiet: bool) -> None:
    """Send what the library has to say to standard error; where quiet is asked, only warnings."""
    logging.basicConfig(
        stream=sys.stderr, format="%(message)s", level=logging.WARNING if quiet else logging.INFO
    )
    # What libraries warn of is for developers; --debug shows what went wrong.
    logging.captureWarnings(capture=True)
    for noisy in (
        "py.warnings", "rasterio", "matplotlib", "httpx", "urllib3", "stac_geoparquet",
    ):  # fmt: skip
        logging.getLogger(noisy).setLevel(logging.ERROR)


@contextmanager
def progress_bar(
    label: str, *, quiet: bool, unit: str = "tiles"
) -> Iterator[Callable[[int, int], None] | None]:
    """Lend a callable that shows how many of all tiles, say, are finished, on standard error.

    On a terminal it is a bar with the time left; elsewhere a line every ten seconds, so that logs
    stay readable.
    """
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with terminal_bar(label, unit) as show:
            yield show
    else:
        yield line_every(label, seconds=10.0, unit=unit)


@contextmanager
def terminal_bar(label: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Lend a callable that moves a bar."""
    from rich.console import Console  # noqa: PLC0415 - help does not need it
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show


def line_every(label: str, *, seconds: float, unit: str = "tiles") -> Callable[[int, int], None]:
    """Return a callable that says how far a run is, at most every so many seconds."""
    due = every(seconds)

    def show(done: int, total: int) -> None:
        if due():
            say(f"{label}: {done} of {total} {unit}")

    return show


def every(seconds: float) -> Callable[[], bool]:
    """Return a callable that is true at most once in so many seconds, and not at first."""
    last = time.monotonic()

    def due() -> bool:
        nonlocal last
        if time.monotonic() - last < seconds:
            return False
        last = time.monotonic()
        return True

    return due


@contextmanager
def download_bar(label: str, *, quiet: bool) -> Iterator[Callable[[int, int | None], None] | None]:
    """Lend a callable that shows how many bytes have come, of how many, on standard error.

    Nothing is shown before it is first called: what is on the machine already shows no bar.
    """
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with terminal_download_bar(label) as show:
            yield show
    else:
        due = every(10.0)

        def show(done: int, total: int | None) -> None:
            if due() or done == total:
                say(f"{label}: {in_bytes(done)} of {in_bytes(total) if total else 'unknown size'}")

        yield show


@contextmanager
def terminal_download_bar(label: str) -> Iterator[Callable[[int, int | None], None]]:
    """Lend a callable that moves a bar of bytes."""
    from rich.console import Console  # noqa: PLC0415 - help does not need it
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:

        def show(done: int, total: int | None) -> None:
            task = bar.task_ids[0] if bar.task_ids else bar.add_task(label)
            bar.update(task, completed=done, total=total)

        yield show


def in_bytes(count: int) -> str:
    """Return a size in words: 12 MB, 2.9 GB."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 999.5:  # noqa: PLR2004 - what rounds to a thousand is said in the next unit
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def say_heights(heights: HeightSummary, *, none: str, more: str = "") -> None:
    """Say how high a map is, or why it has no heights."""
    if not heights.valid_percent:
        say(f"heights  none: {none}")
        return
    low, middle, high = (heights.percentiles_m[share] for share in (5, 50, 95))
    say(
        f"heights  mean {heights.mean_m:.1f} m, median {middle:.1f} m, 5 to 95 % "
        f"{low:.1f} to {high:.1f} m, highest {heights.maximum_m:.1f} m{more}"
    )


def print_table(rows: Sequence[Mapping[str, str]]) -> None:
    """Write a table to standard output: one line a row, its last column wrapped where need be."""
    from rich.console import Console  # noqa: PLC0415 - help does not need it
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    names = list(rows[0])
    for name in names:
        table.add_column(name, no_wrap=name != names[-1], overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    width = None if sys.stdout.isatty() else FILE_COLUMNS
    Console(file=sys.stdout, width=width, highlight=False, markup=False).print(table)


def print_lines(facts: Mapping[str, str]) -> None:
    """Write names and what is said of them to standard output, the names in one column."""
    width = max(map(len, facts))
    for name, text in facts.items():
        lines = textwrap.wrap(text, 96 - width) or [""]
        for index, line in enumerate(lines):
            sys.stdout.write(f"{name if index == 0 else '':{width}}  {line}\n")
    sys.stdout.flush()
