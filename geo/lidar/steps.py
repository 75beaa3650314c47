"""How far the work is, for whoever wants to show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(kw_only=True)
class Steps:
    """Counts steps and tells a callable.

    Attributes:
        total: how many there will be, as far as is known.
        done: how many are done.
        progress: called with (done, total) after each; None to tell nobody.
    """

    total: int
    done: int = 0
    progress: Callable[[int, int], None] | None = None

    def advance(self) -> None:
        """Note one more step."""
        self.done += 1
        self.total = max(self.total, self.done)
        if self.progress:
            self.progress(self.done, self.total)

    def expect(self, more: int) -> None:
        """Set the total to what is done and so many more."""
        self.total = self.done + more
