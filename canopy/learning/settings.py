"""What a training run is told beyond what it learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from canopy.errors import SettingsError

Arithmetic = Literal["32-true", "16-mixed", "bf16-mixed"]


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How long and how fast a run learns, and what it leaves behind.

    AdamW with linear warm-up and cosine decay to zero (Loshchilov and Hutter 2017, 2019), and a
    moving average of the weights, which is what is kept.

    Attributes:
        steps: optimiser steps.
        seed: source of all chance: batch and dropout of a step follow from it and the step alone.
        learning_rate: its peak.
        weight_decay: decay of weights; norms, biases and scales do not decay.
        betas: decay of AdamW's two averages.
        warm_up: share of the steps until the peak.
        clip: largest norm of the gradient.
        average: decay of the moving average of the weights.
        validate_every: steps between two looks at what was kept aside.
        checkpoint_every: steps between two checkpoints, from which a killed run goes on.
        log_every: steps that a line of the log tells the mean of.
        arithmetic: ``32-true``, or mixed ``16-mixed`` or ``bf16-mixed`` on a GPU.
        devices: GPUs to use; on a CPU it is 1.
    """

    steps: int = 1000
    seed: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    warm_up: float = 0.08
    clip: float = 1.0
    average: float = 0.995
    validate_every: int = 200
    checkpoint_every: int = 200
    log_every: int = 20
    arithmetic: Arithmetic = "32-true"
    devices: int = 1

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SettingsError: a value is out of range.
        """
        counts = ("steps", "validate_every", "checkpoint_every", "log_every", "devices")
        for name in counts:
            if getattr(self, name) < 1:
                msg = f"{name} of {getattr(self, name)}: expected 1 or more"
                raise SettingsError(msg)
        if not (self.learning_rate > 0 and self.clip > 0 and 0 <= self.average < 1):
            msg = (
                f"learning_rate {self.learning_rate}, clip {self.clip}, average {self.average}: "
                "expected the first two above 0, the last from 0 to under 1"
            )
            raise SettingsError(msg)
