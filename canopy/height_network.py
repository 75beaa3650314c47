"""A height network: encoder, decoder and bins in a row."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from canopy.encoders.vision_transformer import EncoderSettings, VisionTransformer
from decoders import DPTDecoder, DPTSettings, HeightBins, HeightBinsSettings


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Sizes of the three parts of a height network."""

    encoder: EncoderSettings
    decoder: DPTSettings
    bins: HeightBinsSettings


class HeightNetwork(nn.Module):
    """Encoder, DPT decoder and height bins in a row: normalised images to metres."""

    def __init__(self, architecture: Architecture) -> None:
        """Build the network with random weights."""
        super().__init__()
        self.encoder = VisionTransformer(architecture.encoder)
        self.decoder = DPTDecoder(architecture.decoder)
        self.bins = HeightBins(self.decoder.out_channels, architecture.bins)

    def forward(self, images: Tensor) -> Tensor:
        """Return heights [m] (B, H', W') of normalised images (B, 3, H, W).

        H' and W' are H and W when those are multiples of two patches, else larger.
        """
        heights: Tensor = self.bins(self.decoder(self.encoder(images)))
        return heights
