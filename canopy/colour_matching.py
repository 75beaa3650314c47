"""Colour matching: aerial images given the colours of the satellite images a model learned from.

Tolan et al. 2024: a small network sees an aerial image of 256 px and predicts the 5th and 95th
percentile that each channel has in the satellite image of the same ground; a linear stretch of each
channel brings the image's own percentiles there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from canopy.inference_threads import submitting

if TYPE_CHECKING:
    import numpy.typing as npt

    from geo.raster import Mask

    Floats = npt.NDArray[np.float32]

WINDOW_PX = 256
"""Side of what the network sees; its first dense layer fixes it [px]."""
BATCH = 16
"""Windows that the network sees at once: a wide scene has many in a row."""
PERCENTILES = (5, 95)
CHANNELS = (3, 8, 16, 32, 64, 64, 128)
FLATTEST = 1 / 255
"""A channel whose percentiles are closer than one step of a byte is not stretched further."""


class ColourMatchingNetwork(nn.Module):
    """Six convolutional blocks with five poolings between, and four dense layers.

    Names of parameters are those of the released file.
    """

    def __init__(self) -> None:
        """Build the network with random weights."""
        super().__init__()
        first, *blocks = (convolutional_block(*pair) for pair in pairwise(CHANNELS))
        self.input_layer = first
        for number, block in enumerate(blocks, start=1):
            self.add_module(f"conv_block{number}", block)
        side = WINDOW_PX >> len(blocks)
        self.fc1 = nn.Sequential(nn.Linear(CHANNELS[-1] * side**2, 64), nn.ReLU())
        self.fc2 = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
        self.fc3 = nn.Sequential(nn.Linear(64, 32), nn.ReLU())
        self.fc4 = nn.Linear(32, 2 * CHANNELS[0])

    def forward(self, images: Tensor) -> Tensor:
        """Return percentiles (B, 6) of images (B, 3, 256, 256) in [0, 1], not normalised.

        The first three are the 5th percentiles of red, green and blue, the others the 95th.
        """
        features = self.input_layer(images)
        for number in range(1, len(CHANNELS) - 1):
            features = self.get_submodule(f"conv_block{number}")(functional.max_pool2d(features, 2))
        percentiles: Tensor = self.fc4(self.fc3(self.fc2(self.fc1(features.flatten(1)))))
        return percentiles


def convolutional_block(channels_in: int, channels_out: int) -> nn.Sequential:
    """Return a 1x1 convolution, batch norm, ReLU and a 3x3 convolution that keeps the size."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 1),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
        nn.Conv2d(channels_out, channels_out, 3, padding=1),
    )


@dataclass(frozen=True, kw_only=True)
class Stretches:
    """Linear stretches of colour: ``gain * value + offset``.

    Attributes:
        gain: (..., 3), of red, green and blue.
        offset: (..., 3), of red, green and blue, of values in [0, 1].
    """

    gain: Floats
    offset: Floats

    def apply(self, image: Floats) -> Floats:
        """Return an image (3, rows, columns) stretched by the one stretch that this is."""
        stretched: Floats = image * self.gain[:, None, None] + self.offset[:, None, None]
        return stretched


def stretch_to(own: Floats, target: Floats) -> Stretches:
    """Return the stretches that bring percentiles to where they belong.

    A flat channel, which says nothing about contrast, is moved and not stretched without end.

    Args:
        own: (..., 6), 5th percentiles of the three channels, then their 95th, of the images.
        target: the same, of what the images shall look like.
    """
    spread = own[..., 3:] - own[..., :3]
    gain = (target[..., 3:] - target[..., :3]) / np.maximum(spread, FLATTEST)
    flat = spread < FLATTEST
    middle_own, middle = (own[..., :3] + own[..., 3:]) / 2, (target[..., :3] + target[..., 3:]) / 2
    offset = np.where(flat, middle - gain * middle_own, target[..., :3] - gain * own[..., :3])
    return Stretches(gain=gain.astype(np.float32), offset=offset.astype(np.float32))


def own_percentiles(image: Floats, valid: Mask | None = None) -> Floats:
    """Return the percentiles (6,) of an image (3, rows, columns), of its valid pixels where told.

    The 5th of the three channels, then their 95th, interpolated linearly as numpy does.
    """
    values = image.reshape(len(image), -1) if valid is None else image[:, valid]
    low, high = np.percentile(values, PERCENTILES, axis=1)
    return np.concatenate([low, high]).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class ColourMatcher:
    """The network, ready to say how images are stretched.

    Attributes:
        network: images to percentiles.
        fingerprint: hex digest of its file.
        device: where it runs.
    """

    network: nn.Module
    fingerprint: str = ""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        """Put the network on its device, in evaluation mode."""
        self.network.to(self.device).eval()

    def predict(self, images: Floats) -> Floats:
        """Return percentiles (batch, 6) of images (batch, 3, 256, 256) in [0, 1]."""
        pixels = torch.from_numpy(np.ascontiguousarray(images))
        with submitting(self.device, "colours") as submit:
            parts = [submit(self._part, part) for part in torch.split(pixels, BATCH)]
            return np.concatenate([part.result() for part in parts])

    @torch.inference_mode()
    def _part(self, images: torch.Tensor) -> Floats:
        percentiles: Floats = self.network(images.to(self.device)).float().cpu().numpy()
        return percentiles

    def stretches(self, windows: Floats, valid: npt.NDArray[np.bool_]) -> Stretches:
        """Return how windows are stretched; one without a valid pixel is left as it is.

        Args:
            windows: (count, 3, rows, columns) in [0, 1], at most 256 px a side; smaller ones are
                mirrored at their edge for the network.
            valid: (count, rows, columns), True where there is an image.
        """
        some = valid.any(axis=(1, 2))
        gain, offset = (
            np.ones((len(windows), 3), np.float32),
            np.zeros((len(windows), 3), np.float32),
        )
        if some.any():
            seen = [filled(*pair) for pair in zip(windows[some], valid[some], strict=True)]
            own = np.stack(
                [own_percentiles(*pair) for pair in zip(windows[some], valid[some], strict=True)]
            )
            found = stretch_to(own, self.predict(np.stack(seen)))
            gain[some], offset[some] = found.gain, found.offset
        return Stretches(gain=gain, offset=offset)


def filled(image: Floats, valid: Mask) -> Floats:
    """Return an image (3, 256, 256): gaps in its median colour, small ones mirrored at the edge."""
    if not valid.all():
        median = np.median(image[:, valid], axis=1).astype(np.float32)
        image = np.where(valid, image, median[:, None, None])
    missing = [WINDOW_PX - side for side in image.shape[1:]]
    return np.pad(image, ((0, 0), (0, missing[0]), (0, missing[1])), mode="symmetric")
