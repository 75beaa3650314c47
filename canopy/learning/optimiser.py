"""AdamW with warm-up and cosine decay, and the moving average of the weights."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn

    from canopy.learning.settings import RunSettings


def make_optimiser(network: nn.Module, settings: RunSettings) -> torch.optim.AdamW:
    """Return AdamW over what may learn; vectors (norms, biases, scales) do not decay."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas)


def rate_factor(step: int, settings: RunSettings) -> float:
    """Return the learning rate of a step, counted from 0, over its peak."""
    warm = max(1, round(settings.warm_up * settings.steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm) / max(1, settings.steps - warm))


def set_rate(optimiser: torch.optim.Optimizer, step: int, settings: RunSettings) -> None:
    """Give an optimiser the learning rate of a step."""
    for group in optimiser.param_groups:
        group["lr"] = settings.learning_rate * rate_factor(step, settings)


def average_of(network: nn.Module) -> nn.Module:
    """Return a copy of a network to hold the moving average of its weights."""
    return copy.deepcopy(network).requires_grad_(requires_grad=False)


@torch.no_grad()
def blend(average: nn.Module, network: nn.Module, step: int, settings: RunSettings) -> None:
    """Move the average towards the weights after a step, counted from 0.

    Early on it follows them closely: what they were at random must not stay in it. Statistics of
    batch norms are averaged too: as they stand they are those of the last ten batches or so.
    """
    decay = min(settings.average, (step + 1) / (step + 11))
    for kept, latest in zip(average.parameters(), network.parameters(), strict=True):
        kept.lerp_(latest.detach(), 1 - decay)
    for statistic, current in zip(average.buffers(), network.buffers(), strict=True):
        if statistic.is_floating_point():
            statistic.lerp_(current, 1 - decay)
        else:
            statistic.copy_(current)
