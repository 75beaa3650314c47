"""How the command speaks: results on standard output, all else on standard error."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
    for noisy in ("rasterio", "matplotlib", "httpx", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


@contextmanager
def progress_bar(label: str, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Lend a callable that shows how many of all tiles are finished, on standard error.

    On a terminal it is a bar with the time left; elsewhere a line every ten seconds, so that logs
    stay readable.
    """
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with terminal_bar(label) as show:
            yield show
    else:
        yield line_every(label, seconds=10.0)


@contextmanager
def terminal_bar(label: str) -> Iterator[Callable[[int, int], None]]:
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
        TextColumn("tiles"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show


def line_every(label: str, *, seconds: float) -> Callable[[int, int], None]:
    """Return a callable that says how far a run is, at most every so many seconds."""
    last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            say(f"{label}: {done} of {total} tiles")

    return show
