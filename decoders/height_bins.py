"""A distribution over height bins, read out as its mean in metres.

Following AdaBins (Bhat et al. 2021) as simplified for canopy height by Tolan et al. 2024: the bins
are fixed, the network gives each pixel a weight per bin. CHMv2 spaces them between logarithms and
lines: centimetres apart near the ground, where a line would waste none on shrubs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

MOST_BINS = 1 << 14
CHUNK_PIXELS = 1 << 14
"""Pixels whose bin weights are held at once without gradients: they then stay in the cache."""

FLOORS = {"linear": 0.1, "mixlog": 1e-8}
"""Added to every weight by the readouts of the released weights, CHMv1 and CHMv2."""


@dataclass(frozen=True, kw_only=True)
class HeightBinsSettings:
    """What the bins are.

    Attributes:
        bins: their number.
        minimum_m: centre of the lowest bin [m].
        maximum_m: centre of the highest bin [m]; no height exceeds it.
        readout: how weights become a distribution. ``linear`` is the released CHMv1 form,
            ``(relu(w) + 0.1) / sum``: a pixel without evidence lies at the middle of the range.
            ``mixlog`` is that of CHMv2, ``(relu(w) + 1e-8) / sum``. ``softmax`` is ours.
        spacing: how centres are spaced. ``linear`` is that of CHMv1. ``mixlog`` is that of CHMv2,
            from 0.008 to 96 m: logarithmic at the lowest bin, linear at the highest, and in
            between a mean of both whose weight moves evenly from the one to the other.
    """

    kind: Literal["bins"] = "bins"
    bins: int = 256
    minimum_m: float = 0.01
    maximum_m: float = 100.0
    readout: Literal["linear", "softmax", "mixlog"] = "linear"
    spacing: Literal["linear", "mixlog"] = "linear"

    def __post_init__(self) -> None:
        """Refuse bins that cannot be, and a logarithm of nothing."""
        if not 1 < self.bins <= MOST_BINS:
            msg = f"{self.bins} bins: expected 2 to {MOST_BINS}"
            raise ValueError(msg)
        if not 0 <= self.minimum_m < self.maximum_m < math.inf:
            msg = f"bins from {self.minimum_m} to {self.maximum_m} m: expected 0 or more, ascending"
            raise ValueError(msg)
        if self.spacing == "mixlog" and self.minimum_m <= 0:
            msg = f"minimum_m {self.minimum_m}: mixlog spacing needs a lowest centre above 0 m"
            raise ValueError(msg)

    def build(self, channels: int) -> HeightBins:
        """Return the layer on maps of some channels, with random weights."""
        return HeightBins(channels, self)


CHMV2_BINS = HeightBinsSettings(minimum_m=0.008, maximum_m=96.0, readout="mixlog", spacing="mixlog")
"""The bins of CHMv2: its 0.001 to 12, which it multiplies by 8."""


class HeightBins(nn.Module):
    """The last layer: features to weights per bin to metres."""

    centres_m: Tensor

    def __init__(self, channels: int, settings: HeightBinsSettings) -> None:
        """Build the layer on maps of some channels."""
        super().__init__()
        self.settings = settings
        self.logits = nn.Conv2d(channels, settings.bins, 1)
        self.register_buffer("centres_m", bin_centres(settings), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return heights [m] (B, H, W) of features (B, C, H, W)."""
        if torch.is_grad_enabled():
            return self.expectation(self.logits(features))
        rows = max(1, CHUNK_PIXELS // features.shape[-1] // len(features))
        chunks = torch.split(features, rows, dim=2)
        return torch.cat([self.expectation(self.logits(chunk)) for chunk in chunks], dim=1)

    def mean_and_spread(self, features: Tensor) -> Tensor:
        """Return heights and the standard deviation of their bins [m] (B, 2, H, W), no gradients.

        The heights are those of ``forward``, to the bit.

        Args:
            features: (B, C, H, W).
        """
        rows = max(1, CHUNK_PIXELS // features.shape[-1] // len(features))
        with torch.no_grad():
            chunks = torch.split(features, rows, dim=2)
            return torch.cat([self.moments(self.logits(chunk)) for chunk in chunks], dim=2)

    def moments(self, logits: Tensor) -> Tensor:
        """Return mean and standard deviation [m] (B, 2, H, W) of weights per bin (B, bins, H, W).

        The second moment is taken about the mean: the difference of two large numbers would leave
        nothing of a narrow spread.
        """
        means = self.expectation(logits)
        with torch.autocast(logits.device.type, enabled=False):
            weights = self.weights(logits.float())
            away = (self.centres_m[:, None, None] - means[:, None]).square_()
            spread = ((weights * away).sum(dim=1) / weights.sum(dim=1)).sqrt()
        return torch.stack([means, spread], dim=1)

    def weights(self, logits: Tensor) -> Tensor:
        """Return weights (B, bins, H, W), 0 or more, that are proportional to probabilities."""
        if self.settings.readout == "softmax":
            return logits.softmax(dim=1)
        return functional.relu(logits) + FLOORS[self.settings.readout]

    def expectation(self, logits: Tensor) -> Tensor:
        """Return the mean height [m] (B, H, W) of weights per bin (B, bins, H, W).

        In float32 whatever the precision of the network: bfloat16 would round tall bins to half
        metres, and the floor of CHMv2 vanishes in float16.
        """
        with torch.autocast(logits.device.type, enabled=False):
            weights = self.weights(logits.float())
            sums = torch.einsum("bkhw,k->bhw", weights, self.centres_m)
            return sums if self.settings.readout == "softmax" else sums / weights.sum(dim=1)


def bin_centres(settings: HeightBinsSettings) -> Tensor:
    """Return the centres of bins [m] (bins,), ascending.

    Always with values, also while a network is laid out without any on the meta device: no file
    of weights holds them.
    """
    lowest, highest, bins = settings.minimum_m, settings.maximum_m, settings.bins
    linear = torch.linspace(lowest, highest, bins, device="cpu")
    if settings.spacing == "linear":
        return linear
    logs = torch.linspace(math.log(lowest), math.log(highest), bins, device="cpu").exp()
    share = torch.linspace(1, 0, bins, device="cpu")
    return share * logs + (1 - share) * linear
