"""The right to write an output, while it is held."""

from __future__ import annotations

import getpass
import os
import socket
from typing import Protocol


class HeldLock(Protocol):
    """A lock of a store that this run holds."""

    def confirm(self) -> None:
        """See that the lock is still held; BusyError where another run has taken it over."""


def this_process() -> str:
    """Return how a lock names who holds it: person, machine and process."""
    try:
        person = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        person = "someone"
    return f"{person} on {socket.gethostname()}, process {os.getpid()}"
