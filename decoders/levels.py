"""What a decoder is told of the taps that it will receive."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

FOUR = 4
"""Levels that a pyramid decoder fuses."""

FRACTIONS = (8, 4, 2, 1)
"""Share of the encoder's channels that each level is given, as in CHMv1 and CHMv2: one over it."""


@dataclass(frozen=True)
class Levels:
    """What an encoder advertises of its taps, from fine to coarse.

    Attributes:
        channels: channels of each tap.
        strides: stride of each tap [px].
        class_tokens: whether a class token comes with each tap.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    class_tokens: tuple[bool, ...]

    def last(self, count: int) -> Levels:
        """Return the coarsest taps.

        Raises:
            ValueError: there are fewer.
        """
        if len(self.strides) < count:
            msg = f"taps of strides {self.strides}: expected {count} or more, take another encoder"
            raise ValueError(msg)
        return Levels(self.channels[-count:], self.strides[-count:], self.class_tokens[-count:])

    @property
    def patch(self) -> int:
        """Stride to which four levels relate as a quarter, a half, one and two [px].

        The patch of a vision transformer, whose last taps lie at the same stride; 16 for the
        usual pyramid of strides 4, 8, 16 and 32.
        """
        return self.strides[-2]

    @property
    def doubling(self) -> bool:
        """Whether the taps are a pyramid as they come: each stride twice the one before."""
        return all(coarse == 2 * fine for fine, coarse in pairwise(self.strides))

    def level_channels(self) -> tuple[int, ...]:
        """Return channels of four levels, more for coarser ones."""
        return tuple(max(8, self.channels[-1] // fraction) for fraction in FRACTIONS)

    def width(self) -> int:
        """Return channels of a decoder in proportion to the encoder: 64, 128, 192 or 256."""
        return max(64, min(256, self.channels[-1] // 192 * 64))
