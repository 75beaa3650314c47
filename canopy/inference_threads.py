"""The threads that run networks: a batch each, and one thread of torch in each.

How a forward pass adds up, in its last bits, depends on the number of threads that share it, and
not on how many passes run beside it. With one thread each, the same comes out on any number of
cores.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from threading import Barrier, Lock
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    Use = Literal["heights", "colours"]
    Key = tuple[Use, torch.device, int]

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

    When the block ends, no call of it runs, and what has not begun never does.

    Args:
        device: where the networks are.
        use: what they predict; colours are wanted while heights stand in a long queue.
    """
    pool = THREADS.pool(use, device)
    begun: set[Future[Any]] = set()

    def submit(call: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:  # noqa: ANN401 - of any call
        future = pool.submit(call, *args, **kwargs)
        begun.add(future)
        future.add_done_callback(begun.discard)
        return future

    try:
        yield submit
    finally:
        wait([future for future in list(begun) if not future.cancel()])


def threads_on(device: torch.device) -> int:
    """Return how many batches run at once: as many as torch has threads, one on another device."""
    return torch.get_num_threads() if device.type == "cpu" else 1


class InferenceThreads:
    """The threads of a process, by their use, their device and their number."""

    def __init__(self) -> None:
        """Begin without threads."""
        self.lock = Lock()
        self.pools: dict[Key, ThreadPoolExecutor] = {}

    def pool(self, use: Use, device: torch.device) -> ThreadPoolExecutor:
        """Return the threads for a use of a device."""
        if device.type == "cuda" and device.index is None:
            # The device that is meant is the caller's: each thread has one of its own.
            device = torch.device("cuda", torch.cuda.current_device())
        key = (use, device, threads_on(device))
        with self.lock:
            if key not in self.pools:
                self.pools[key] = started(*key)
            return self.pools[key]


def started(use: Use, device: torch.device, count: int) -> ThreadPoolExecutor:
    """Start threads that have one thread of torch each; others keep what they have."""
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, f"{use}-{device}", partial(prepare_thread, device))
    together = Barrier(count)
    wait([pool.submit(together.wait) for _ in range(count)])
    # Torch gives a new thread the number that any thread has set last.
    torch.set_num_threads(before)
    return pool


def prepare_thread(device: torch.device) -> None:
    """Give a thread one thread of torch, and the device whose tensors it will see."""
    # Asked first: torch sets the number in each thread once, when that first needs it.
    torch.get_num_threads()
    torch.set_num_threads(1)
    if device.type == "cuda":
        torch.cuda.set_device(device)


THREADS = InferenceThreads()

if hasattr(os, "register_at_fork"):
    # A process that is forked has none of the threads.
    os.register_at_fork(after_in_child=THREADS.__init__)  # type: ignore[misc]
