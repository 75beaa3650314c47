"""What an encoder gives: taps, and the promise of how many channels each has at which stride."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from decoders.levels import Levels

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Levels", "Tap"]


class Tap(NamedTuple):
    """One level of features for the decoder."""

    features: Tensor
    """Feature map (batch, channels, rows, columns)."""
    class_token: Tensor | None
    """Class token (batch, channels), or None for a level that has none."""
