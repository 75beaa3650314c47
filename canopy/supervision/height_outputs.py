"""A height network as training sees it: metres, and the weights of bins that a loss may look at."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

from torch import Tensor, nn

from canopy.errors import ModelError
from decoders import HeightBins

if TYPE_CHECKING:
    from canopy.height_models.height_model import HeightModel
    from canopy.height_models.network import HeightNetwork

Outputs = tuple[Tensor, Tensor | None]
"""Heights [m] (B, H, W), and weights per bin (B, bins, H, W) where there are any."""


class Heights(nn.Module):
    """A height network with its weights of bins; one forward for all."""

    def __init__(self, network: HeightNetwork) -> None:
        """Wrap a network."""
        super().__init__()
        self.network = network

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's own signature
        """Set the mode of learning; an encoder that does not learn keeps its running statistics."""
        super().train(mode)
        encoder = self.network.encoder
        if not any(parameter.requires_grad for parameter in encoder.parameters()):
            encoder.eval()
        return self

    def forward(self, images: Tensor) -> Outputs:
        """Return heights and weights per bin of normalised images (B, 3, H, W)."""
        features = self.network.decoder(self.network.encoder(images))
        head = self.network.head
        if isinstance(head, HeightBins):
            logits = head.logits(features)
            return head.expectation(logits), logits
        return head(features), None


def trained(model: HeightModel, average: nn.Module) -> HeightModel:
    """Return a model with the network that training gave.

    Raises:
        ModelError: training gave another kind of network.
    """
    if not isinstance(average, Heights):
        msg = f"training gave {type(average).__name__}, expected a height network"
        raise ModelError(msg)
    return replace(model, network=average.network.cpu())
