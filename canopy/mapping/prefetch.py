"""Doing the next thing while this one is used: one thread, one item ahead."""

from __future__ import annotations

import queue
import threading
from contextlib import closing, contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from contextlib import AbstractContextManager

Item = TypeVar("Item")

END = object()


@contextmanager
def prefetched(
    items: Generator[Item], turn: AbstractContextManager[object] | None = None
) -> Iterator[Iterator[Item]]:
    """Lend the items of a generator, which runs one item ahead in a thread of its own.

    An error in the generator is raised where its item would have come. When the block ends, the
    generator is closed and the thread is gone.

    Args:
        items: the generator.
        turn: entered while items are used, and left while one is waited for; it may be entered
            and left many times, as a lock.
    """
    ready: queue.Queue[object] = queue.Queue(maxsize=1)
    stop = threading.Event()
    thread = threading.Thread(target=fill, args=(items, ready, stop), daemon=True)
    thread.start()
    try:
        drained: Generator[Item] = drain(ready, turn or nullcontext())
        with closing(drained):
            yield drained
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


def drain(ready: queue.Queue[object], turn: AbstractContextManager[object]) -> Generator[Item]:
    """Yield items of a queue until their end, or raise their failure."""
    while (item := taken(ready)) is not END:
        with turn:
            yield item  # type: ignore[misc] # the queue holds what the generator gave
            while not ready.empty() and (item := taken(ready)) is not END:
                yield item  # type: ignore[misc]
        if item is END:
            return


def taken(ready: queue.Queue[object]) -> object:
    """Take the next item of a queue, or raise its failure."""
    item = ready.get()
    if isinstance(item, Failure):
        raise item.error
    return item


class Failure:
    """An error on its way from one thread to another."""

    def __init__(self, error: BaseException) -> None:
        """Keep the error."""
        self.error = error
