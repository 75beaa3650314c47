"""A height network: encoder, decoder and head in a row."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from canopy.encoders import AnyEncoderSettings, build_encoder
from decoders import DecoderSettings, HeadSettings, build_decoder, build_head


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Kinds and sizes of the three parts of a height network.

    Attributes:
        encoder: images to taps.
        decoder: taps to features at pixel resolution; it reads the last taps of the encoder.
        head: features to metres.
    """

    encoder: AnyEncoderSettings
    decoder: DecoderSettings
    head: HeadSettings

    def __post_init__(self) -> None:
        """Refuse a decoder for other taps than the encoder gives."""
        levels = self.encoder.levels.last(len(self.decoder.in_channels))
        for what, found, expected in (
            ("channels", self.decoder.in_channels, levels.channels),
            ("strides", self.decoder.in_strides, levels.strides),
        ):
            if tuple(found) != expected:
                msg = f"the decoder takes taps of {what} {found}, the encoder gives {expected}"
                raise ValueError(msg)


class HeightNetwork(nn.Module):
    """Encoder, decoder and head in a row: normalised images to metres.

    Attributes:
        multiple_px: sides of images that all three parts take as they are [px].
    """

    def __init__(self, architecture: Architecture) -> None:
        """Build the network with random weights.

        Raises:
            ValueError: the decoder cannot be built on the encoder's taps.
        """
        super().__init__()
        self.encoder = build_encoder(architecture.encoder)
        self.decoder = build_decoder(architecture.decoder)
        self.head = build_head(architecture.head, self.decoder.out_channels)
        self.multiple_px = math.lcm(self.encoder.multiple_px, self.decoder.multiple_px)

    def forward(self, images: Tensor) -> Tensor:
        """Return heights [m] (B, H', W') of normalised images (B, 3, H, W).

        H' and W' are H and W when those are multiples of ``multiple_px``, else larger.

        Raises:
            ValueError: a decoder of segmentation-models-pytorch is given other multiples.
        """
        heights: Tensor = self.head(self.decoder(self.encoder(images)))
        return heights
