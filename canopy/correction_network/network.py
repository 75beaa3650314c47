"""The network: a plain convolutional net on a window of imagery, joined by what is known of it.

Tolan et al. (2024) rescale their maps by such a net; of theirs only the kind is public:
convolution, rectifier and max-pooling, flattened, with metadata joined before the dense layers.
Sizes are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn import functional

from canopy.correction_network.metadata import ENCODED

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class CorrectionArchitecture:
    """Sizes of the network.

    Attributes:
        kind: of network; there is one.
        window_px: side of a window [px].
        channels: of each stage; every stage halves the sides.
        hidden: outputs of the first dense layer.
        scale_m: a first guess of heights, by which the last layer is scaled [m].
    """

    kind: Literal["plain"] = "plain"
    window_px: int = 128
    channels: tuple[int, ...] = (16, 24, 32, 48, 64)
    hidden: int = 64
    scale_m: float = 15.0

    def __post_init__(self) -> None:
        """Refuse sizes that make no network.

        Raises:
            ValueError: as said.
        """
        if not self.channels or min(*self.channels, self.hidden) < 1 or self.scale_m <= 0:
            sizes = f"channels {self.channels}, hidden {self.hidden}, scale_m {self.scale_m}"
            msg = f"{sizes}: expected numbers above 0"
            raise ValueError(msg)
        if self.window_px < 1 or self.window_px % self.reduction:
            halved = f"{self.reduction}, two to the number of stages"
            msg = f"window_px {self.window_px}: expected a multiple of {halved}"
            raise ValueError(msg)

    @property
    def reduction(self) -> int:
        """How many pixels of a window are one of the last stage, along a side."""
        return int(2 ** len(self.channels))


class CorrectionNetwork(nn.Module):
    """Windows of imagery and what is known of them in, relative heights out."""

    def __init__(self, architecture: CorrectionArchitecture) -> None:
        """Build the network with weights at random."""
        super().__init__()
        self.scale_m = architecture.scale_m
        layers: list[nn.Module] = []
        before = 3
        for channels in architecture.channels:
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            before = channels
        self.stages = nn.Sequential(*layers)
        side = architecture.window_px // architecture.reduction
        self.joined = nn.Linear(before * side**2 + ENCODED, architecture.hidden)
        self.height = nn.Linear(architecture.hidden, 1)

    def forward(self, images: Tensor, metadata: Tensor) -> Tensor:
        """Return the relative height at the middle of windows (batch,) [m], at least 0.

        Args:
            images: normalised windows (batch, 3, window_px, window_px).
            metadata: as :meth:`canopy.correction_network.metadata.Metadata.encoded` gives it.
        """
        seen = torch.cat([self.stages(images).flatten(1), metadata], dim=1)
        joined = self.joined(seen.to(self.joined.weight.dtype))
        heights = functional.softplus(self.height(functional.relu(joined)))
        return self.scale_m * heights[:, 0].to(seen.dtype)

    def add_exactly(self) -> CorrectionNetwork:
        """Let the dense layers add in float64 from here on; return the network.

        In float32 the last bit of a sum depends on where in a batch a window stands, and with it
        which of two steps a height is rounded to: a map must not depend on its cells.
        """
        self.joined.double()
        self.height.double()
        return self
