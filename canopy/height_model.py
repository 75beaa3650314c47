"""A height model: encoder, decoder and bins, with the card that says what pixels it expects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from canopy import radiometry
from canopy.encoder import EncoderSettings, VisionTransformer
from canopy.errors import ModelError
from decoders import DPTDecoder, DPTSettings, HeightBins, HeightBinsSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Sizes of the three parts of a height network."""

    encoder: EncoderSettings
    decoder: DPTSettings
    bins: HeightBinsSettings


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a user of a height model must know; the content of ``config.json``.

    Attributes:
        name: short name.
        version: version of the weights.
        summary: one sentence.
        licence: SPDX identifier or name of the licence of the weights.
        training_data: what the weights learned from.
        gsd_m: ground sampling distance the model expects [m].
        maximum_height_m: no height exceeds it [m].
        mean: mean of red, green and blue, of pixels in [0, 1].
        std: standard deviation of red, green and blue, of pixels in [0, 1].
        bands: bands the model takes, in order.
        tile_px: recommended side of a tile [px].
        overlap_px: recommended least overlap of neighbouring tiles [px].
        multiple_px: sides of a tile must be multiples of it [px].
        url: where the model is described.
        notice: what every user must be told, in one sentence; shown with every map.
    """

    name: str
    version: str
    summary: str
    licence: str
    training_data: str
    gsd_m: float
    maximum_height_m: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bands: tuple[str, str, str] = ("red", "green", "blue")
    tile_px: int = 256
    overlap_px: int = 32
    multiple_px: int = 32
    url: str = ""
    notice: str = ""


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


@dataclass(frozen=True, kw_only=True)
class HeightModel:
    """A network that maps imagery to canopy height, ready to predict.

    Attributes:
        network: normalised images (B, 3, H, W) to heights [m] (B, H, W).
        card: what the network expects and what it is.
        architecture: the sizes the network was built from; None for a network made elsewhere.
        fingerprint: hex digest of the weights file, which tells one set of weights from another.
    """

    network: nn.Module
    card: ModelCard
    architecture: Architecture | None = None
    fingerprint: str = ""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        """Put the network on its device, in evaluation mode."""
        self.network.to(self.device).eval()

    @torch.inference_mode()
    def predict(self, images: npt.NDArray[np.uint8] | npt.NDArray[np.float32]) -> Heights:
        """Return canopy heights of images.

        Args:
            images: (batch, 3, height, width), red, green, blue: uint8, or float32 in [0, 1]. Any
                size: sides are extended by their last row or column up to a multiple of
                ``card.multiple_px`` and the heights cropped back.

        Returns:
            Heights [m] (batch, height, width), float32.

        Raises:
            ModelError: the array has another shape.
        """
        if images.ndim != 4 or images.shape[1] != len(self.card.bands):  # noqa: PLR2004 - NCHW
            msg = (
                f"images of shape {images.shape}: the model takes "
                f"(batch, {len(self.card.bands)}, height, width)"
            )
            raise ModelError(msg)
        height, width = images.shape[-2:]
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self.device)
        normalised = radiometry.normalise(pixels, self.card.mean, self.card.std)
        heights: Tensor = self.network(self._extend(normalised))
        metres: Heights = heights[:, :height, :width].float().cpu().numpy()
        return metres

    def _extend(self, images: Tensor) -> Tensor:
        multiple = self.card.multiple_px
        down, right = (-side % multiple for side in images.shape[-2:])
        if not (down or right):
            return images
        return functional.pad(images, (0, right, 0, down), mode="replicate")


Heights = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def key_differences(found: Sequence[str], expected: Sequence[str], most: int = 3) -> str:
    """Say which names of tensors are missing or too many, a few of each."""
    missing = sorted(set(expected) - set(found))[:most]
    extra = sorted(set(found) - set(expected))[:most]
    parts = [
        f"{word} {', '.join(names)}"
        for word, names in (("missing", missing), ("extra", extra))
        if names
    ]
    return "; ".join(parts)
