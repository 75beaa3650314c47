"""The probe: what a linear layer can read from the taps, and nothing learnt beyond it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from decoders.levels import FOUR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decoders.levels import Levels


@dataclass(frozen=True, kw_only=True)
class LinearSettings:
    """Size of a linear probe.

    Attributes:
        in_channels: channels of the taps that are read: one for the last tap alone, more for the
            last taps together.
        in_strides: strides of these taps [px].
        head_channels: channels of the map that the probe returns; the rank of what it reads.
    """

    kind: Literal["linear"] = "linear"
    in_channels: tuple[int, ...]
    in_strides: tuple[int, ...]
    head_channels: int = 64

    @classmethod
    def for_levels(cls, levels: Levels) -> LinearSettings:
        """Return a probe of the last four taps that an encoder advertises."""
        read = levels.last(FOUR)
        return cls(in_channels=read.channels, in_strides=read.strides)

    def build(self) -> LinearDecoder:
        """Return a probe of this size with random weights."""
        return LinearDecoder(self)


class LinearDecoder(nn.Module):
    """A 1x1 convolution on the taps, upsampled to pixels; class tokens are not read."""

    def __init__(self, settings: LinearSettings) -> None:
        """Build the probe with random weights."""
        super().__init__()
        self.settings = settings
        self.out_channels = settings.head_channels
        self.multiple_px = math.lcm(*settings.in_strides)
        self.projections = nn.ModuleList(
            nn.Conv2d(dim, settings.head_channels, 1, bias=index == 0)
            for index, dim in enumerate(settings.in_channels)
        )

    def forward(self, taps: Sequence[tuple[Tensor, Tensor | None]]) -> Tensor:
        """Return features at pixel resolution.

        Args:
            taps: pairs of a map (B, C, h, w) and its class token, from fine to coarse.

        Returns:
            (B, head_channels, H, W), H and W the cells of the last tap times its stride.
        """
        maps = [features for features, _ in taps[-len(self.projections) :]]
        # Projected one by one and summed: the 1x1 convolution of the concatenated taps, but
        # without ever holding these at the finest resolution.
        projected = [
            project(features) for project, features in zip(self.projections, maps, strict=True)
        ]
        finest = projected[0].shape[-2:]
        summed = torch.stack([enlarged(part, finest) for part in projected]).sum(dim=0)
        rows, columns = maps[-1].shape[-2:]
        stride = self.settings.in_strides[-1]
        return enlarged(summed, (rows * stride, columns * stride))


def enlarged(features: Tensor, size: Sequence[int]) -> Tensor:
    """Return a map (B, C, h, w) at another size (rows, columns), bilinear."""
    if tuple(features.shape[-2:]) == tuple(size):
        return features
    return functional.interpolate(features, tuple(size), mode="bilinear", align_corners=False)
