"""Metres straight from features: one number per pixel, without a distribution behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

START_M = 1.0
"""Where heights start, about [m]: a rectifier that starts below zero everywhere never learns."""


@dataclass(frozen=True, kw_only=True)
class RegressionSettings:
    """How a number becomes a height.

    Attributes:
        maximum_m: no height exceeds it when the network predicts [m].
        positive: what keeps heights from being negative: ``softplus``, which never quite reaches
            0 m and always learns, or ``relu``, which gives bare ground exactly 0 m.
    """

    kind: Literal["regression"] = "regression"
    maximum_m: float = 100.0
    positive: Literal["softplus", "relu"] = "softplus"

    def build(self, channels: int) -> HeightRegression:
        """Return the layer on maps of some channels, with random weights."""
        return HeightRegression(channels, self)


class HeightRegression(nn.Module):
    """The last layer: features to metres."""

    def __init__(self, channels: int, settings: RegressionSettings) -> None:
        """Build the layer on maps of some channels."""
        super().__init__()
        self.settings = settings
        self.height = nn.Conv2d(channels, 1, 1)
        nn.init.constant_(self.height.bias, START_M)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Return heights [m] (B, H, W) of features (B, C, H, W)."""
        raw = self.height(features)[:, 0]
        with torch.autocast(raw.device.type, enabled=False):
            positive = functional.softplus if self.settings.positive == "softplus" else torch.relu
            heights: Tensor = positive(raw.float())
            # While it learns, a height beyond the maximum must still feel that it is wrong.
            return heights if self.training else heights.clamp(max=self.settings.maximum_m)
