"""Losses that published height models were trained with: SiLog, Charbonnier, patch gradient.

CHMv1 (Tolan et al. 2024) learned by SiLog alone. CHMv2 (Brandt et al. 2026, section 2.5) begins
with SiLog, which ranks heights, and goes over to Charbonnier, which has no bias; a loss on
gradients joins in slowly and sharpens crowns. Constants that the papers do not give are settings
with our choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from canopy.supervision.height_losses import masked_mean

if TYPE_CHECKING:
    from collections.abc import Callable

SCALES = 3
"""The patch gradient is taken at full, half and quarter resolution."""

WINDOWS_PX = (3, 5)
"""Sides of the windows in which the range of gradients is compared."""

TINY = 1e-6


@dataclass(frozen=True, kw_only=True)
class CurriculumSettings:
    """How the terms follow one another, in shares of all steps.

    Attributes:
        charbonnier_at: where Charbonnier has wholly taken SiLog's place; linear from the start.
            CHMv2: 30,000 of 100,000 steps; the shape of the passage is not published.
        gradient_from: where the patch gradient begins to count. CHMv2: 5,000 of 100,000.
        gradient_at: where it has its full weight. CHMv2: 50,000 of 100,000.
        gradient: its full weight.
        silog_offset_m: added to heights before the logarithm [m]; the authors' depth code has
            0.001 of its own unit.
        silog_mean: weight of the squared mean of log ratios beside their variance.
        charbonnier_m: error below which Charbonnier is quadratic [m]; not published, our choice.
        gradient_floor_m: heights below it count as it in the logarithm [m]; not published.
    """

    charbonnier_at: float = 0.3
    gradient_from: float = 0.05
    gradient_at: float = 0.5
    gradient: float = 0.075
    silog_offset_m: float = 0.01
    silog_mean: float = 0.15
    charbonnier_m: float = 0.1
    gradient_floor_m: float = 0.5


def curriculum_weights(done: float, settings: CurriculumSettings) -> dict[str, float]:
    """Return the weight of each term after a share of all steps in [0, 1]."""
    passed = ramp(done, 0.0, settings.charbonnier_at)
    return {
        "silog": 1 - passed,
        "charbonnier": passed,
        "gradient": settings.gradient * ramp(done, settings.gradient_from, settings.gradient_at),
    }


def ramp(done: float, start: float, stop: float) -> float:
    """Return 0 before the start, 1 from the stop on, linear between."""
    if stop <= start:
        return float(done >= stop)
    return min(1.0, max(0.0, (done - start) / (stop - start)))


def curriculum_losses(
    prediction: Tensor, target: Tensor, valid: Tensor, done: float, settings: CurriculumSettings
) -> dict[str, Tensor]:
    """Return the weighted terms of the curriculum, those of no weight left out.

    Args:
        prediction: heights [m] (batch, y, x).
        target: heights [m] (batch, y, x).
        valid: True where the target is known (batch, y, x).
        done: share of all steps that is done.
        settings: the curriculum.
    """
    terms: dict[str, Callable[[], Tensor]] = {
        "silog": lambda: silog_loss(prediction, target, valid, settings),
        "charbonnier": lambda: charbonnier_loss(prediction, target, valid, settings.charbonnier_m),
        "gradient": lambda: patch_gradient_loss(
            prediction, target, valid, settings.gradient_floor_m
        ),
    }
    weights = curriculum_weights(done, settings)
    return {name: weights[name] * term() for name, term in terms.items() if weights[name]}


def silog_loss(
    prediction: Tensor, target: Tensor, valid: Tensor, settings: CurriculumSettings
) -> Tensor:
    """Scale-invariant loss of log ratios (Eigen et al. 2014), as the authors' depth code has it.

    ``sqrt(variance(g) + w * mean(g)^2)`` of ``g = log(p + e) - log(t + e)`` over all valid pixels
    of a batch.
    """
    offset = settings.silog_offset_m
    ratios = ((prediction.clamp(min=0) + offset) / (target.clamp(min=0) + offset)).log()
    mean = masked_mean(ratios, valid)
    variance = masked_mean((ratios - mean).square(), valid)
    return (variance + settings.silog_mean * mean.square() + TINY).sqrt()


def charbonnier_loss(prediction: Tensor, target: Tensor, valid: Tensor, knee_m: float) -> Tensor:
    """Mean of ``sqrt(error^2 + knee^2) - knee`` [m] (Charbonnier et al. 1994)."""
    errors = ((prediction - target).square() + knee_m**2).sqrt() - knee_m
    return masked_mean(errors, valid)


def patch_gradient_loss(
    prediction: Tensor, target: Tensor, valid: Tensor, floor_m: float
) -> Tensor:
    """Difference of the gradients of log heights, at three scales (Brandt et al. 2026, Alg. 1).

    At each scale 0.3 times the difference of magnitudes, 0.6 times that of their range in windows
    of 3 and 5 px, 0.4 times one minus the cosine of directions; the mean over scales. A gradient
    counts where all nine pixels that it is made of are known.
    """
    logs = [centred_log(heights, valid, floor_m) for heights in (prediction, target)]
    known = valid.to(prediction.dtype)
    losses = []
    for scale in range(SCALES):
        if scale:
            *logs, known = (halved(part) for part in (*logs, known))
        if min(known.shape[-2:]) < max(WINDOWS_PX):
            break
        losses.append(gradient_difference(logs[0], logs[1], known > 1 - TINY))
    return torch.stack(losses).mean() if losses else prediction.new_zeros(())


def centred_log(heights: Tensor, valid: Tensor, floor_m: float) -> Tensor:
    """Return log heights of each image less their mean; 0 where nothing is known."""
    logs = heights.clamp(min=floor_m).log()
    counts = valid.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    mean = (logs * valid).sum(dim=(1, 2), keepdim=True) / counts
    return (logs - mean) * valid


def halved(values: Tensor) -> Tensor:
    """Return a map (batch, y, x) at half the resolution, by means."""
    return functional.avg_pool2d(values[:, None], 2)[:, 0]


def gradient_difference(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Return the weighted differences of magnitude, range and direction at one scale."""
    ours, theirs = sobel(prediction), sobel(target)
    whole = functional.avg_pool2d(valid[:, None].float(), 3, stride=1)[:, 0] > 1 - TINY
    sizes = [magnitude(gradients) for gradients in (ours, theirs)]
    ranges = [
        masked_mean((local_range(sizes[0], side) - local_range(sizes[1], side)).abs(), whole)
        for side in WINDOWS_PX
    ]
    cosine = (ours * theirs).sum(dim=1) / (sizes[0] * sizes[1])
    # Where the target is flat it has no direction.
    sloping = whole & (sizes[1] > 10 * TINY**0.5)
    return (
        0.3 * masked_mean((sizes[0] - sizes[1]).abs(), whole)
        + 0.6 * torch.stack(ranges).mean()
        + 0.4 * masked_mean(1 - cosine, sloping)
    )


def sobel(values: Tensor) -> Tensor:
    """Return gradients across and down (batch, 2, y - 2, x - 2), per pixel."""
    smooth, difference = values.new_tensor([1, 2, 1]) / 4, values.new_tensor([-1, 0, 1]) / 2
    kernels = torch.stack([torch.outer(smooth, difference), torch.outer(difference, smooth)])
    return functional.conv2d(values[:, None], kernels[:, None])


def magnitude(gradients: Tensor) -> Tensor:
    """Return the length of gradients (batch, 2, y, x), with a finite slope at zero."""
    return (gradients.square().sum(dim=1) + TINY).sqrt()


def local_range(values: Tensor, side: int) -> Tensor:
    """Return the largest less the smallest value in the window around each pixel."""
    padded = values[:, None]
    highest = functional.max_pool2d(padded, side, stride=1, padding=side // 2)
    lowest = -functional.max_pool2d(-padded, side, stride=1, padding=side // 2)
    return (highest - lowest)[:, 0]
