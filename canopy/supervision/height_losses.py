"""What a network is told: its error, the likelihood of its bins, how far its tiles disagree."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class HuberSettings:
    """How heights are compared.

    Attributes:
        window_px: Side of the window over which heights are averaged before they are compared. It
            forgives misalignments of imagery and lidar of about one pixel.
        knee_m: Error above which the error counts linearly instead of squared [m].
    """

    window_px: int = 3
    knee_m: float = 3.0

    def __post_init__(self) -> None:
        """Refuse a window without a middle, and a knee at nothing.

        Raises:
            ValueError: A number is out of range.
        """
        if self.window_px < 1 or self.window_px % 2 == 0 or self.knee_m <= 0:
            message = f"window_px {self.window_px}, knee_m {self.knee_m}: expected odd, and above 0"
            raise ValueError(message)


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of the values where valid (True = counts); 0 if nothing is."""
    return (values * valid).sum() / valid.sum().clamp(min=1)


def window_means(heights: Tensor, valid: Tensor, window: int) -> Tensor:
    """Mean of the valid heights in the window around each pixel, 0 where there is none.

    Args:
        heights: Heights [m] (batch, y, x).
        valid: True where a height counts (batch, y, x).
        window: Side of the window [px], odd.

    Returns:
        Means [m] (batch, y, x).
    """
    weights = valid.to(heights.dtype)
    both = torch.stack([heights * weights, weights], dim=1)
    sums, counts = functional.avg_pool2d(both, window, stride=1, padding=window // 2).unbind(1)
    return sums / counts.clamp(min=1e-6)


def height_loss(
    prediction: Tensor, target: Tensor, valid: Tensor, settings: HuberSettings
) -> Tensor:
    """Huber loss (Huber 1964) of window means over the knee: near |error| [m] for large errors.

    Args:
        prediction: Heights [m] (batch, y, x).
        target: Heights [m] (batch, y, x).
        valid: True where the target is known (batch, y, x).
        settings: Window and knee.
    """
    predicted = window_means(prediction, valid, settings.window_px)
    true = window_means(target, valid, settings.window_px)
    errors = functional.smooth_l1_loss(predicted, true, reduction="none", beta=settings.knee_m)
    return masked_mean(errors, valid)


def bin_loss(logits: Tensor, target: Tensor, valid: Tensor, centres: Tensor) -> Tensor:
    """Cross-entropy of the bins against soft labels whose mean is the target.

    A height between two bin centres belongs to both, in proportion to its nearness.

    Args:
        logits: Weights of the bins before the softmax (batch, bins, y, x).
        target: Heights [m] (batch, y, x).
        valid: True where the target is known (batch, y, x).
        centres: Ascending, evenly spaced centres of the bins [m] (bins,).
    """
    place = ((target - centres[0]) / (centres[1] - centres[0])).clamp(0, len(centres) - 1)
    lower = place.floor().clamp(max=len(centres) - 2)
    upper_share = place - lower
    indices = torch.stack([lower, lower + 1], dim=1).long()
    chosen = logits.log_softmax(dim=1).gather(1, indices)
    likelihood = chosen[:, 0] * (1 - upper_share) + chosen[:, 1] * upper_share
    return masked_mean(-likelihood, valid)


def disagreement_loss(first: Tensor, second: Tensor, shared: Tensor) -> Tensor:
    """Mean absolute difference [m] of two tiles over their shared ground.

    Args:
        first: Heights [m] of one tile (batch, y, x), cut to the overlap.
        second: Heights [m] of the other tile, of the same ground.
        shared: True where both tiles show ground (batch, y, x).
    """
    return masked_mean((first - second).abs(), shared)
