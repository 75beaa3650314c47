"""A height network: encoder, decoder and head in a row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from canopy.encoders import AnyEncoderSettings, build_encoder
from decoders import DecoderSettings, HeadSettings, HeightBins, build_decoder, build_head


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

    @property
    def gives_spread(self) -> bool:
        """Whether the head gives each pixel a distribution, whose width says how sure it is."""
        return isinstance(self.head, HeightBins)

    def heights_and_spread(self, images: Tensor) -> Tensor:
        """Return heights and the spread of their bins [m] (B, 2, H', W'), as ``forward`` does.

        Raises:
            TypeError: the head has no bins, see ``gives_spread``.
        """
        if not isinstance(self.head, HeightBins):
            msg = f"a head of {type(self.head).__name__} has no spread"
            raise TypeError(msg)
        return self.head.mean_and_spread(self.decoder(self.encoder(images)))


class GivesSpread(Protocol):
    """A network that can tell heights and their spread by one pass."""

    def heights_and_spread(self, images: Tensor) -> Tensor:
        """Return heights and spread [m] (B, 2, H', W') of normalised images (B, 3, H, W)."""
        ...


class WithSpread(nn.Module):
    """A network with bins, run once for heights and their spread."""

    network: GivesSpread

    def __init__(self, network: GivesSpread) -> None:
        """Wrap a network; its weights are shared."""
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return heights and spread [m] (B, 2, H', W') of normalised images (B, 3, H, W)."""
        return self.network.heights_and_spread(images)
