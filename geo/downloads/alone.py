"""One process at a time: whoever comes second to a download waits until the first has ended."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)


@contextmanager
def alone(lock: Path, what: str) -> Iterator[None]:
    """Hold a lock, which ends with its process; wait for it, saying so, where another has it.

    Args:
        lock: file that stands for it; the folder exists.
        what: is fetched.

    Raises:
        OSError: the file cannot be written.
    """
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        logger.info("another process is fetching %s: waiting for it", what)
        held.acquire()
    try:
        yield
    finally:
        held.release()
