"""A distribution over height bins, read out as its mean in metres.

Following AdaBins (Bhat et al. 2021) as simplified for canopy height by Tolan et al. 2024: the bins
are fixed, the network gives each pixel a weight per bin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

CHUNK_PIXELS = 1 << 14
"""Pixels whose bin weights are held at once without gradients: they then stay in the cache."""

LINEAR_FLOOR = 0.1
"""Added to every weight by the linear readout of the released weights."""


@dataclass(frozen=True, kw_only=True)
class HeightBinsSettings:
    """What the bins are.

    Attributes:
        bins: their number.
        minimum_m: centre of the lowest bin [m].
        maximum_m: centre of the highest bin [m]; no height exceeds it.
        readout: how weights become a distribution. ``linear`` is the released CHMv1 form,
            ``(relu(w) + 0.1) / sum``: a pixel without evidence lies at the middle of the range.
            ``softmax`` is ours.
    """

    bins: int = 256
    minimum_m: float = 0.01
    maximum_m: float = 100.0
    readout: Literal["linear", "softmax"] = "linear"


class HeightBins(nn.Module):
    """The last layer: features to weights per bin to metres."""

    centres_m: Tensor

    def __init__(self, channels: int, settings: HeightBinsSettings) -> None:
        """Build the layer on maps of some channels."""
        super().__init__()
        self.settings = settings
        self.logits = nn.Conv2d(channels, settings.bins, 1)
        centres = torch.linspace(settings.minimum_m, settings.maximum_m, settings.bins)
        self.register_buffer("centres_m", centres, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return heights [m] (B, H, W) of features (B, C, H, W)."""
        if torch.is_grad_enabled():
            return self.expectation(self.logits(features))
        rows = max(1, CHUNK_PIXELS // features.shape[-1] // len(features))
        chunks = torch.split(features, rows, dim=2)
        return torch.cat([self.expectation(self.logits(chunk)) for chunk in chunks], dim=1)

    def expectation(self, logits: Tensor) -> Tensor:
        """Return the mean height [m] (B, H, W) of weights per bin (B, bins, H, W)."""
        if self.settings.readout == "softmax":
            return torch.einsum("bkhw,k->bhw", logits.softmax(dim=1), self.centres_m)
        weights = functional.relu(logits) + LINEAR_FLOOR
        return torch.einsum("bkhw,k->bhw", weights, self.centres_m) / weights.sum(dim=1)
