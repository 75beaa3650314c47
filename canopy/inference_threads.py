"""The threads that run networks: a batch each, and one thread of torch in each.

How a forward pass adds up, in its last bits, depends on the number of threads that share it, and
not on how many passes run beside it. With one thread each, the same comes out on any number of
cores.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    Use = Literal["heights", "colours"]

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


class Submit(Protocol):
    """Hands a call to threads."""

    def __call__(
        self,
        call: Callable[Arguments, Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Future[Result]:
        """Return what will be the result of the call."""
        ...


@contextmanager
def submitting(device: torch.device, use: Use = "heights") -> Iterator[Submit]:
    """Lend what hands calls to the threads of this process that run networks.

    When the block ends, no call of it runs, and what has not begun never does. Inside of it torch
    may have one thread in threads of others too.

    Args:
        device: where the networks are.
        use: what they predict; colours are wanted while heights stand in a long queue.
    """
    with SHARED:
        pool = SHARED.pool(use, device)
        begun: set[Future[Any]] = set()

        def submit(call: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:  # noqa: ANN401 - of any call
            future = pool.submit(alone, call, *args, **kwargs)
            begun.add(future)
            future.add_done_callback(begun.discard)
            return future

        try:
            yield submit
        finally:
            left = list(begun)
            for future in left:
                future.cancel()
            wait(left)


def alone(call: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Result:  # noqa: ANN401
    """Call something in a thread in which torch does not start others."""
    torch.set_num_threads(1)
    return call(*args, **kwargs)


def threads_on(device: torch.device) -> int:
    """Return how many batches run at once: as many as torch has threads, one on another device."""
    return SHARED.usual if device.type == "cpu" else 1


class SharedThreads:
    """The threads of a process, and what torch has outside of them.

    Part of what torch knows of its threads it knows once for a process: whoever sets it last
    decides. So it is set back when nobody predicts any more.
    """

    def __init__(self) -> None:
        """Begin without threads."""
        self.lock, self.users, self.before = Lock(), 0, 1
        self.pools: dict[tuple[Use, str, int], ThreadPoolExecutor] = {}

    @property
    def usual(self) -> int:
        """How many threads torch has when nobody predicts."""
        return self.before if self.users else torch.get_num_threads()

    def pool(self, use: Use, device: torch.device) -> ThreadPoolExecutor:
        """Return the threads for a use of a device."""
        key = (use, device.type, threads_on(device))
        with self.lock:
            if key not in self.pools:
                self.pools[key] = ThreadPoolExecutor(key[-1], "-".join(key[:-1]))
            return self.pools[key]

    def __enter__(self) -> None:
        """Count one who predicts."""
        with self.lock:
            self.before = self.usual
            self.users += 1

    def __exit__(self, *_: object) -> None:
        """Count one less, and give torch its threads back after the last one."""
        with self.lock:
            self.users -= 1
            if not self.users:
                torch.set_num_threads(self.before)


SHARED = SharedThreads()
