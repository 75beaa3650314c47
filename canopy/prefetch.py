"""Doing the next thing while this one is used: one thread, one item ahead."""

from __future__ import annotations

import queue
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

Item = TypeVar("Item")

END = object()


@contextmanager
def prefetched(items: Generator[Item]) -> Iterator[Iterator[Item]]:
    """Lend the items of a generator, which runs one item ahead in a thread of its own.

    An error in the generator is raised where its item would have come. When the block ends, the
    generator is closed and the thread is gone.
    """
    ready: queue.Queue[object] = queue.Queue(maxsize=1)
    stop = threading.Event()
    thread = threading.Thread(target=fill, args=(items, ready, stop), daemon=True)
    thread.start()
    try:
        yield drain(ready)
    finally:
        stop.set()
        thread.join()


def fill(items: Generator[Item], ready: queue.Queue[object], stop: threading.Event) -> None:
    """Put items into a queue until they end or are no longer wanted."""
    try:
        for item in items:
            if not put(ready, item, stop):
                break
        else:
            put(ready, END, stop)
    except BaseException as error:  # noqa: BLE001 - raised again where the items are used
        put(ready, Failure(error), stop)
    finally:
        items.close()


def put(ready: queue.Queue[object], item: object, stop: threading.Event) -> bool:
    """Put an item as soon as there is room; return whether it is still wanted."""
    while not stop.is_set():
        try:
            ready.put(item, timeout=0.05)
        except queue.Full:
            continue
        return True
    return False


def drain(ready: queue.Queue[object]) -> Iterator[Item]:
    """Yield items of a queue until their end, or raise their failure."""
    while (item := ready.get()) is not END:
        if isinstance(item, Failure):
            raise item.error
        yield item  # type: ignore[misc] # the queue holds what the generator gave


class Failure:
    """An error on its way from one thread to another."""

    def __init__(self, error: BaseException) -> None:
        """Keep the error."""
        self.error = error
