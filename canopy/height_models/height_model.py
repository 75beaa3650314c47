"""A height model: a network, and the card that says what pixels it expects."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch.nn import functional

from canopy import radiometry
from canopy.errors import ModelError
from canopy.height_models.forward import Forward, ForwardSettings
from canopy.height_models.network import WithSpread
from canopy.intervals import INTERVALS_FILE, read_calibration, scale_of

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor, nn

    from canopy.height_models.card import ModelCard
    from canopy.height_models.network import Architecture, GivesSpread
    from canopy.intervals import HeightInterval, Heights, Scale


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
        folder: where it was loaded from, which may hold its ``intervals.json``; None for a model
            that is no folder.
    """

    network: nn.Module
    card: ModelCard
    architecture: Architecture | None = None
    fingerprint: str = ""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    run: ForwardSettings = field(default_factory=ForwardSettings)
    normalises: bool = True
    folder: Path | None = None
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
        prepared = self._prepared(images)
        height, width = images.shape[-2:]
        metres: Heights = self.forward(prepared)[:, :height, :width].cpu().numpy()
        return metres

    @torch.inference_mode()
    def predict_with_scale(
        self, images: npt.NDArray[np.uint8] | npt.NDArray[np.float32]
    ) -> tuple[Heights, Heights]:
        """Return canopy heights of images and the scale of their errors, by one forward pass.

        Args:
            images: as :meth:`predict` takes them.

        Returns:
            Heights [m], to the bit those of :meth:`predict`, and scales [m], both (batch, height,
            width), float32; see :func:`canopy.intervals.scale_of`.

        Raises:
            ModelError: the array has another shape.
        """
        if self.scale == "height":
            heights = self.predict(images)
            return heights, scale_of(heights, None)
        prepared = self._prepared(images)
        height, width = images.shape[-2:]
        both = self.forward_with_spread(prepared)[..., :height, :width].cpu().numpy()
        return both[:, 0], scale_of(both[:, 0], both[:, 1])

    def predict_interval(
        self, images: npt.NDArray[np.uint8] | npt.NDArray[np.float32], interval: HeightInterval
    ) -> tuple[Heights, Heights, Heights]:
        """Return lower ends of intervals, heights and upper ends.

        Args:
            images: as :meth:`predict` takes them.
            interval: of :meth:`interval`.

        Returns:
            Three arrays [m] (batch, height, width), float32.

        Raises:
            ModelError: the array has another shape.
        """
        heights, scale = self.predict_with_scale(images)
        lower, upper = interval.ends(heights, scale)
        return lower, heights, upper

    def interval(self, level: float, calibration: str | Path | None = None) -> HeightInterval:
        """Return what makes intervals of a level of this model's heights.

        Args:
            level: share of pixels whose height shall lie inside, 0.50 to 0.99.
            calibration: file of ``canopy calibrate``; None for the one in the model's folder.

        Raises:
            ModelError: there is no calibration, it is broken, or it is of another model.
            SettingsError: the level is none, or the plots of the calibration are too few for it.
        """
        file = self._calibration_file() if calibration is None else Path(calibration)
        found = read_calibration(file)
        if found.weights_sha256 != self.fingerprint:
            msg = (
                f"{file} was made for other weights ({found.model} "
                f"{found.weights_sha256[:12] or 'without a digest'}) than {self.card.name} "
                f"{self.fingerprint[:12]}: calibrate this model with canopy calibrate"
            )
            raise ModelError(msg)
        if (found.scale, found.gsd_m) != (self.scale, self.card.gsd_m):
            msg = (
                f"{file} was made for pixels of {found.gsd_m:g} m and errors by {found.scale}, "
                f"{self.card.name} has {self.card.gsd_m:g} m and {self.scale}: calibrate it anew"
            )
            raise ModelError(msg)
        return found.at(level)

    def _calibration_file(self) -> Path:
        """Return the calibration in the model's folder.

        Raises:
            ModelError: there is none.
        """
        file = self.folder / INTERVALS_FILE if self.folder else None
        if file is None or not file.is_file():
            msg = (
                f"{self.card.name} has no calibration, which intervals need: canopy calibrate "
                "PAIRS... --model NAME --output intervals.json, then --calibration intervals.json"
            )
            raise ModelError(msg)
        return file

    @property
    def scale(self) -> Scale:
        """What errors are measured in: the spread of bins where the network has them."""
        return "bins" if getattr(self.network, "gives_spread", False) else "height"

    @cached_property
    def forward_with_spread(self) -> Forward:
        """What runs the network for heights and their spread; only where the scale is ``bins``."""
        network = cast("GivesSpread", self.network)
        return Forward(WithSpread(network), self.device, self.run)

    def _prepared(self, images: npt.NDArray[np.uint8] | npt.NDArray[np.float32]) -> Tensor:
        """Return images as the network takes them.

        Raises:
            ModelError: the array has another shape.
        """
        if images.ndim != 4 or images.shape[1] != len(self.card.bands):  # noqa: PLR2004 - NCHW
            msg = (
                f"images of shape {images.shape}: the model takes "
                f"(batch, {len(self.card.bands)}, height, width)"
            )
            raise ModelError(msg)
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self.device)
        return self._extend(self._normalise(pixels))

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
