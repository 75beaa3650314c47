"""One cell to make, and what came of it: small things that travel between client and workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from geo.cells import Cell
    from geo.imagery.image import Image

State = Literal["done", "empty", "kept"]


@dataclass(frozen=True, kw_only=True)
class CellTask:
    """What one cell is made from.

    Attributes:
        cell: the ground.
        images: every image that may show some of what is read for it, in no order.
        fingerprint: tells this state of inputs, model and settings from any other.
    """

    cell: Cell
    images: tuple[Image, ...]
    fingerprint: str

    @property
    def id(self) -> str:
        """The name of the cell."""
        return self.cell.id


@dataclass(frozen=True, kw_only=True)
class CellOutcome:
    """What came of a cell.

    Attributes:
        id: its name.
        state: ``done``; ``empty`` where no image shows anything; ``kept`` where it stood already.
        pixels: pixels that were mapped.
        seconds: how long it took.
    """

    id: str
    state: State
    pixels: int
    seconds: float
