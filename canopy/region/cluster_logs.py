"""What a local cluster says of itself, reduced to what its user should know."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LOUD = (
    "distributed", "distributed.client", "distributed.gc", "bokeh", "tornado",
    "tornado.application", "asyncio",
)  # fmt: skip
"""Loggers that write whole tracebacks while a cluster loses a worker or ends."""

DEATH = "was killed by"

logger = logging.getLogger(__name__)


@contextmanager
def quiet_cluster() -> Iterator[threading.Event]:
    """Let a cluster of this process say in a line that a worker died, and nothing else.

    Yields:
        An event to set before the cluster ends: that workers end then is no news.
    """
    ending = threading.Event()
    handler = _Deaths(ending)
    before = [(log, log.handlers, log.propagate) for log in map(logging.getLogger, LOUD)]
    for log, _, _ in before:
        log.handlers, log.propagate = [handler], False
    try:
        yield ending
    finally:
        for log, handlers, propagate in before:
            log.handlers, log.propagate = handlers, propagate


class _Deaths(logging.Handler):
    """Passes on that a worker process died."""

    def __init__(self, ending: threading.Event) -> None:
        super().__init__()
        self._ending = ending

    def emit(self, record: logging.LogRecord) -> None:
        """Say in a line what a nanny says of its process."""
        text = record.getMessage()
        if record.name == "distributed.nanny" and DEATH in text and not self._ending.is_set():
            logger.warning("%s; another takes its place and its cells are made again", text)
