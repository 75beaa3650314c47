"""A height model: a network, and the card that says what pixels it expects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from canopy import radiometry
from canopy.errors import ModelError
from canopy.forward import Forward, ForwardSettings

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor, nn

    from canopy.height_network import Architecture
    from canopy.model_card import ModelCard


@dataclass(frozen=True, kw_only=True)
class HeightModel:
    """A network that maps imagery to canopy height, ready to predict.

    Attributes:
        network: normalised images (B, 3, H, W) to heights [m] (B, H, W).
        card: what the network expects and what it is.
        architecture: the sizes the network was built from; None for a network made elsewhere.
        fingerprint: hex digest of the weights file, which tells one set of weights from another.
        device: where it runs.
        run: how it runs.
        normalises: whether pixels are given the mean and spread of the card; where not, the
            network sees them as they are.
    """

    network: nn.Module
    card: ModelCard
    architecture: Architecture | None = None
    fingerprint: str = ""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    run: ForwardSettings = field(default_factory=ForwardSettings)
    normalises: bool = True
    forward: Forward = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Put the network on its device, in evaluation mode."""
        object.__setattr__(self, "forward", Forward(self.network, self.device, self.run))

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
        heights = self.forward(self._extend(self._normalise(pixels)))
        metres: Heights = heights[:, :height, :width].cpu().numpy()
        return metres

    def _normalise(self, pixels: Tensor) -> Tensor:
        if self.normalises:
            return radiometry.normalise(pixels, self.card.mean, self.card.std)
        return radiometry.normalise(pixels, (0.0,) * 3, (1.0,) * 3)

    def _extend(self, images: Tensor) -> Tensor:
        multiple = self.card.multiple_px
        down, right = (-side % multiple for side in images.shape[-2:])
        if not (down or right) or getattr(self.network, "takes_any_size", False):
            return images
        return functional.pad(images, (0, right, 0, down), mode="replicate")


Heights = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
