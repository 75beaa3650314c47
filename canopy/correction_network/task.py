"""Learning relative heights from windows: batches, the L1 loss, errors on ground kept aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from canopy.correction_network.metadata import DEFAULTS, Metadata
from canopy.height_errors import height_errors
from canopy.radiometry import normalise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    from canopy.correction_network.network import CorrectionNetwork
    from canopy.correction_network.samples import Samples
    from canopy.correction_network.training_run import CorrectionRun, ViewSettings

Array = NDArray[np.float64]
LOOK = 64
"""Windows looked at together when errors are taken."""


class CorrectionTask:
    """What is learned from footprints."""

    def __init__(
        self,
        network: CorrectionNetwork,
        samples: Samples,
        run: CorrectionRun,
        colours: tuple[Sequence[float], Sequence[float]],
    ) -> None:
        """Prepare to learn; `colours` are mean and spread of the pixels."""
        self.network: nn.Module = network
        self.samples, self.settings = samples, run
        self.mean, self.std = colours

    def batch(self, step: int, rank: int) -> dict[str, Tensor]:
        """Return the batch of a step, counted from 0, for one of several devices.

        Returns:
            ``images`` (B, 3, side, side) in 0..255, ``metadata`` (B, ENCODED) and ``rh`` (B,) [m].
        """
        rng = np.random.default_rng([self.settings.run.seed, step, rank])
        which = rng.choice(self.samples.train, self.settings.batch)
        views = self.settings.views
        images = np.stack([changed(self.samples.windows[i], views, rng) for i in which])
        facts = self.samples.metadata.part(which)
        facts = facts.hidden(rng.random((len(which), len(DEFAULTS))) < views.hide)
        return {
            "images": torch.from_numpy(images),
            "metadata": torch.from_numpy(facts.encoded()),
            "rh": torch.from_numpy(self.samples.rh[which].astype(np.float32)),
        }

    def losses(
        self,
        network: nn.Module,
        batch: Mapping[str, Tensor],
        done: float,  # noqa: ARG002 - the loss stays the same to the end
    ) -> dict[str, Tensor]:
        """Return the mean absolute error [m]."""
        images = normalise(batch["images"] / 255, self.mean, self.std)
        return {"l1": (network(images, batch["metadata"]) - batch["rh"]).abs().mean()}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return errors on the footprints that are kept aside: MAE, bias [m] and R2."""
        predicted = self.predict(network, self.samples.aside)
        errors = height_errors(predicted, self.samples.rh[self.samples.aside])
        return {"mae_m": errors.mae, "bias_m": errors.bias, "r2": errors.r2}

    @torch.no_grad()
    def predict(self, network: nn.Module, which: NDArray[np.int64]) -> Array:
        """Return what a network predicts for some footprints (n,) [m]."""
        device = next(network.parameters()).device
        found = []
        for first in range(0, len(which), LOOK):
            part = which[first : first + LOOK]
            images = torch.from_numpy(self.samples.windows[part]).to(device)
            facts = torch.from_numpy(facts_of(self.samples, part).encoded()).to(device)
            heights = network(normalise(images, self.mean, self.std), facts)
            found.append(heights.float().cpu().numpy())
        return np.concatenate(found).astype(np.float64)


def facts_of(samples: Samples, which: NDArray[np.int64]) -> Metadata:
    """Return what is known of some footprints."""
    return samples.metadata.part(which)


def changed(
    window: NDArray[np.uint8], views: ViewSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return a window turned, mirrored and lit otherwise (3, side, side), in 0..255."""
    pixels = window.astype(np.float32)
    if views.turn:
        pixels = np.rot90(pixels, int(rng.integers(4)), axes=(1, 2))
        if rng.random() < 0.5:  # noqa: PLR2004 - half of them
            pixels = pixels[:, :, ::-1]
    logs = rng.normal(0, views.brightness) + rng.normal(0, views.colour, 3)
    lit = pixels * np.exp(logs).astype(np.float32)[:, None, None]
    return np.ascontiguousarray(np.clip(lit, 0, 255), np.float32)
