"""Taps of any strides to a pyramid of maps whose strides double from level to level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from decoders.levels import FOUR, Levels

if TYPE_CHECKING:
    from collections.abc import Sequence

Padding = Literal["zeros", "replicate"]

LEVELS = (0.25, 0.5, 1.0, 2.0)
"""Strides of the four levels, over the patch."""


class Pyramid(nn.Module):
    """A feature pyramid from what an encoder gives.

    A convolutional or hierarchical encoder gives one as it is. The taps of a plain vision
    transformer all have the stride of a patch: each is projected and resized by a learnt layer to
    a quarter, a half, one or two patches, as in ViTDet (Li et al. 2022).
    """

    def __init__(self, levels: Levels, level_channels: Sequence[int]) -> None:
        """Build the layers, none where the taps are a pyramid already.

        Args:
            levels: the taps that will come; four, or any number that double in stride.
            level_channels: channels of the four levels where taps are resized.

        Raises:
            ValueError: a tap cannot be brought to the stride of its level.
        """
        super().__init__()
        self.resized = not levels.doubling
        self.multiple_px = levels.strides[-1] if levels.doubling else 2 * levels.patch
        self.channels: tuple[int, ...] = levels.channels
        self.strides: tuple[float, ...] = levels.strides
        if not self.resized:
            return
        self.channels = tuple(level_channels)
        self.strides = tuple(level * levels.patch for level in LEVELS)
        self.projections = nn.ModuleList(
            nn.Conv2d(dim, channels, 1)
            for dim, channels in zip(levels.channels, self.channels, strict=True)
        )
        self.resizings = nn.ModuleList(
            resizing(channels, factor, "zeros")
            for channels, factor in zip(self.channels, level_factors(levels), strict=True)
        )

    def forward(self, taps: Sequence[Tensor]) -> list[Tensor]:
        """Return maps (B, C, rows, columns) from fine to coarse, halved from level to level.

        Args:
            taps: maps of images whose sides are multiples of ``multiple_px``.
        """
        if not self.resized:
            return list(taps)
        return [
            resize(project(tap))
            for tap, project, resize in zip(taps, self.projections, self.resizings, strict=True)
        ]


def level_factors(levels: Levels) -> tuple[float, ...]:
    """Return by what the resolution of each of four taps is multiplied to reach its level.

    Raises:
        ValueError: there are not four taps.
    """
    if len(levels.strides) != FOUR:
        msg = f"taps of strides {levels.strides}: expected four, or strides that double"
        raise ValueError(msg)
    return tuple(
        stride / (level * levels.patch)
        for stride, level in zip(levels.strides, LEVELS, strict=True)
    )


def pixel_size(taps: Sequence[Tensor], strides: Sequence[int], multiple_px: int) -> tuple[int, int]:
    """Return height and width of the images that taps (B, C, h, w) come from [px].

    Raises:
        ValueError: a side is no multiple, or was none of a stride before the encoder rounded it.
    """
    sizes = {
        (tap.shape[-2] * stride, tap.shape[-1] * stride)
        for tap, stride in zip(taps, strides, strict=True)
    }
    height, width = max(sizes)
    if len(sizes) > 1 or height % multiple_px or width % multiple_px:
        msg = (
            f"taps of images of {height} x {width} px: expected multiples of {multiple_px} px, "
            "extend the images by their last rows and columns"
        )
        raise ValueError(msg)
    return height, width


def resizing(channels: int, factor: float, padding: Padding) -> nn.Module:
    """Return the learnt layer that multiplies a map's resolution by a factor.

    Raises:
        ValueError: for a factor that no layer of the architecture serves.
    """
    if factor > 1 and factor.is_integer():
        return nn.ConvTranspose2d(channels, channels, int(factor), stride=int(factor))
    if factor == 1:
        return nn.Identity()
    if factor == 0.5:  # noqa: PLR2004 - one half
        return nn.Conv2d(channels, channels, 3, 2, padding=1, padding_mode=padding)
    msg = f"no layer resizes a tap by {factor}: expected a whole factor, 1 or 0.5"
    raise ValueError(msg)
